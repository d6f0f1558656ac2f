"""Whether a file of ComfyUI defines a name, and takes a parameter, by its source alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path


def read(path: Path) -> str | None:
    """The text of a file in any encoding, because names are ASCII; None if there is no such file."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def changes(path: Path, file: str, uses: tuple[str, ...]) -> Iterator[str]:
    """What a file lacks of the uses that a contract names, as parts of a sentence.

    Args:
        path: the file.
        file: its name for people.
        uses: see `Contract`.
    """
    source = read(path)
    if source is None:
        # A ComfyUI that ships only bytecode runs, but cannot be checked.
        if not path.with_suffix(".pyc").is_file():
            yield f"ComfyUI's {file} is missing"
        return
    for use in uses:
        name, _, listed = use.rstrip(")").partition("(")
        owner, _, member = name.rpartition(".")
        definition = _find(source, owner or member)
        if definition and owner:
            definition = _member(source, definition, member)
        if definition is None:
            yield f"{name} in ComfyUI's {file} is missing"
        elif missing := [p for p in listed.split(", ") if listed and not _takes(definition, p)]:
            yield f"{name} in ComfyUI's {file} no longer takes {' and '.join(missing)}"


UNKNOWN = ast.Pass()
"""Stands for a definition that is present but cannot be inspected, such as an imported one."""


@cache
def _find(source: str, name: str) -> ast.AST | None:
    """A definition at the top level of a module; only this part of the source is parsed."""
    start = re.search(rf"^(?:(?:async )?def|class) {name}\b", source, re.MULTILINE)
    if start is None:
        # Assigned, imported (perhaps by a star import), or defined in a branch.
        elsewhere = (
            rf"^ *(?:class |def )?{name}\b|^ *(?:from .+ )?import\b[^\n]*\b{name}\b|^from .+ import \*"
        )
        return UNKNOWN if re.search(elsewhere, source, re.MULTILINE) else None
    end = re.compile(r"^[^\s#)\]}]", re.MULTILINE).search(source, start.end())
    try:
        return ast.parse(source[start.start() : end.start() if end else None]).body[0]
    except SyntaxError:
        return UNKNOWN


def _member(source: str, owner: ast.AST, name: str) -> ast.AST | None:
    """A method or attribute of a class, or an attribute that its methods set on `self`."""
    if not isinstance(owner, ast.ClassDef):
        return UNKNOWN
    for node in owner.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == name or name in [getattr(t, "id", None) for t in targets]:
            return node
    for node in ast.walk(owner):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr == name:
            return node
    for base in map(ast.unparse, owner.bases):
        # These bases have none of the names. Any other base that is not in this file may have all of them.
        parent = None if base in _PLAIN_BASES else _find(source, base) or UNKNOWN
        if parent and (definition := _member(source, parent, name)):
            return definition
    return None


_PLAIN_BASES = ("ABC", "Enum", "torch.nn.Module", "nn.Module")


def _takes(function: ast.AST, parameter: str) -> bool:
    arguments = getattr(function, "args", None)
    if not isinstance(arguments, ast.arguments):
        return True
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    # A function with **kwargs may take any parameter.
    return parameter in named or arguments.kwarg is not None
