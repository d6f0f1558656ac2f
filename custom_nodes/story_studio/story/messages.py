"""Pydantic's errors in the words of the author of a story or request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from .part import LANGUAGE
from .places import Date, Location, Place, dotted
from .problems import Problem, nearest

FAULTS = "faults"
"""The type of an error that lists several in `faults`, each a sentence, if possible after its place."""
_PLACED = re.compile(r"((?:style|scenes\[\d+\])(?:\.\w+|\[\d+\])*): (.*)", re.DOTALL)
MOST_PROBLEMS = 50
"""Problems of one kind in one file: nobody reads more, and a hint for each of a million takes minutes."""


def problems_of(error: ValidationError, root: type[BaseModel], place: Place | None = None) -> list[Problem]:
    """The problems of data that was validated.

    Args:
        error: what the validation found.
        root: the model that was validated.
        place: where the data stands, if that is known.
    """
    details = [each for detail in error.errors(include_url=False) for each in _each(detail)]
    problems = [_problem(detail, root, place or Place(0)) for detail in details[:MOST_PROBLEMS]]
    if more := len(details) - MOST_PROBLEMS:
        problems += [Problem("", f"And {more} more problems.")] if more > 0 else []
    return problems


def _each(detail: Any) -> Iterator[Any]:
    """A detail; or each of those that a validator of the whole story found, at the place that it names."""
    if detail["type"] != FAULTS:
        yield detail
        return
    for fault in detail["ctx"]["faults"]:
        found = _PLACED.fullmatch(fault)
        where: Location = ()
        if found:
            where = tuple(int(part) if part.isdecimal() else part for part in re.findall(r"\w+", found[1]))
        msg = found[2] if found else fault
        yield {**detail, "type": "value_error", "loc": (*detail["loc"], *where), "msg": msg}


def _problem(detail: Any, root: type[BaseModel], place: Place) -> Problem:
    location: Location = detail["loc"]
    written, line, text = _locate(location, root, place)
    where = dotted(written)
    return Problem(f"{where} (line {line})" if line else where, _what(detail, root, text))


def _locate(location: Location, root: type[BaseModel], place: Place) -> tuple[Location, int, str]:
    """The location with the names that the author used, the line, and the text that stands there."""
    written: list[str | int] = []
    line, text, known = place.line if location else 0, "", True
    # Of a wrong key, pydantic says so after the key.
    location = tuple(part for part in location if part != "[key]")
    for number, part in enumerate(location):
        other_names = getattr(_model_at(root, location[:number]), "other_names", {})
        names = [part, *(other for other, name in other_names.items() if name == part)]
        name = next((name for name in names if name in place.inside), part)
        written.append(name)
        known = known and name in place.inside
        if known:
            place = place.inside[name]
            line, text = place.line, place.text
    # The line of what lacks a key is the best one for the missing key; that of the whole file is none.
    return tuple(written), line, text if known else ""


def _what(detail: Any, root: type[BaseModel], text: str) -> str:
    kind, location, value = detail["type"], detail["loc"], detail["input"]
    what = detail["msg"].removeprefix("Value error, ")
    shown = repr(str(value)[:80])
    if kind == "extra_forbidden":
        return _unknown_key(str(location[-1]), _model_at(root, location[:-1]))
    if kind == "missing":
        field = _model_at(root, location[:-1]).model_fields.get(str(location[-1]))
        return "is missing: " + ((field.description if field else None) or "add it.")
    if kind == "string_pattern_mismatch" and str(location[-1]).endswith("_take"):
        return (
            f"{shown} is not a take: use the 24 digits that `story-studio takes` lists, or KEY@OWN as the "
            "Story tab saves it."
        )
    if kind == "string_pattern_mismatch" and detail["ctx"]["pattern"] == LANGUAGE:
        return f"{shown} is not a language: use a tag such as en, de or pt-BR."
    if kind == "string_pattern_mismatch" and detail["ctx"]["pattern"].startswith("^http"):
        return f"{shown} is not a web address: use one that begins with http:// or https://."
    if kind == "string_pattern_mismatch":
        return f"{shown} is not a valid id: use letters, digits, `_`, `.` and `-`, 64 at most."
    if kind == "value_error":
        return what
    if kind == "too_long":
        most = detail["ctx"]["max_length"]
        return f"has {len(value)} items, and {most} are the most: split the story into several files."
    if kind == "string_too_short":
        return f"{shown} is not valid: it is empty, write text."
    if kind == "string_too_long":
        return f"has {len(value)} characters, and {detail['ctx']['max_length']} are the most: shorten it."
    if kind == "string_unicode":
        return "holds half of a character (a lone surrogate): write the character itself."
    if kind in ("string_type", "model_type", "list_type", "dict_type"):
        return _wrong_type(kind, value, text, _model_at(root, location))
    if value is None:
        return "is empty: write a value, or leave the key out."
    what = what[0].lower() + what[1:]
    return f"{shown} is not valid: {what}."


def _unknown_key(key: str, model: type[BaseModel]) -> str:
    other_names: dict[str, str] = getattr(model, "other_names", {})
    if key in other_names:
        return f"is another name of `{other_names[key]}`, which is there too: keep one of them."
    if ":" in key:
        return "unknown key: write a space after the colon."
    names = {field.alias or name for name, field in model.model_fields.items()}
    return f"unknown key, {nearest(key[:80], {*names, *other_names})}"


def _wrong_type(kind: str, value: Any, text: str, model: type[BaseModel]) -> str:
    """What to do about a value where text, a mapping or a list is expected."""
    if kind == "string_type":
        return _not_text(value, text)
    keys = ", ".join(f"`{name}`" for name in list(model.model_fields)[:3])
    expected = {
        "list_type": 'a list: begin each item with "- " in YAML, or put all into "[" and "]"',
        "dict_type": "a mapping",
        "model_type": f"a mapping with keys like {keys}",
    }[kind]
    if value is None:
        return f"is empty, and must be {expected}; or leave the key out."
    return f"is {_name(value)}, and must be {expected}."


def _not_text(value: Any, text: str) -> str:
    if value is None and not text:
        return 'is empty: write text, leave the key out, or put the empty text in quotes: "".'
    if isinstance(value, list | dict):
        hint = 'put text that begins with "[" or "{", or that has ": " in it, in quotes.'
        return f"is {_name(value)}, and must be text: {hint}"
    written = text or {True: "true", False: "false", None: "null"}.get(value, str(value)[:80])
    return f'{written} is read as {_name(value)}: put it in quotes: "{written}".'


def _name(value: Any) -> str:
    if value is None:
        return "no value"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, Date):
        return "a date"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else "text"


def _model_at(root: type[BaseModel], location: Location) -> type[BaseModel]:
    model = root
    for part in location:
        field = model.model_fields.get(str(part))
        model = next(_models_in(field.annotation), model) if field else model
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
