"""Sentences of the server that the panel shows: `web/shared/chinese/server` has each of them in Chinese.

The panel finds a sentence by its template, the text in the Python source with {} for each value in it.
"""

from __future__ import annotations

import ast
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic_core import PydanticKnownError

from driver.comfy.process import PACK
from driver.paths import COMFYUI
from story_studio.checks.verdict import thresholds
from story_studio.story.scene import Line, Scene
from story_studio.story.schema import Story

TABLES = PACK / "web" / "shared" / "chinese" / "server"
CHINESE = re.compile("[\u4e00-\u9fff]")
SAID = ("story/", "routes/", "s2v/checks.py", "checks/recording.py", "checks/voice.py")
"""Where any sentence may reach the panel; elsewhere those do that are raised, because a node fails."""
NOT_SAID = ("story/json_schema.py", "story/memory.py", "story/script/yaml_text.py")
"""Of editors, of the log and of the command line."""
SILENT = {"logging", "re", "Field"}
"""Calls whose texts nobody reads."""
REPORTED = {"Problem", "Unreadable", "TooLarge", "Fault"}
"""What is always shown, whether it ends like a sentence or goes on."""
FROM_SYSTEM = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
FROM_FFMPEG = ("Invalid data found when processing input",)
FROM_PYDANTIC: dict[Any, dict[str, Any]] = {
    "greater_than_equal": {"ge": 0},
    "less_than_equal": {"le": 0},
    "greater_than": {"gt": 0},
    "less_than": {"lt": 0},
    "multiple_of": {"multiple_of": 2},
    "literal_error": {"expected": "a"},
    "too_short": {"field_type": "List", "min_length": 1, "actual_length": 0},
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"), {}),
    **dict.fromkeys(("finite_number", "bool_type", "bool_parsing"), {}),
}
"""The errors that fields of a story may have, with values to make them with."""
NOT_SHOWN = re.compile(
    "|".join(
        (
            r"Send .*",  # To programs: the panel sends what is asked for.
            r"No Still or Talking Video has run yet\.|There is no film with this key.*",
            r".* is no number|no API workflow|no part of a file",
            r"(task|\{\}) \(line \{\}\)",  # A place, which the panel reads.
            r".*The script says: .*",  # A prompt.
            # Of recipes on the command line, where they are checked by themselves.
            r"\{\} is no parameter that stories set: .*|\{\} is not upstream of .*",
            r"has no parameter \$\{\}: \{\} has no effect\.",
            # Of what cannot be checked, which is passed on.
            r".* is an image: give a video\.|.* is not whole: .*|.* nothing to check: .*",
            r".* (is damaged|is not installed|is installed without|are not installed|expected file).*",
            # Of code that calls other code of the pack in a wrong way.
            r"Expected frames .*|Windows can only .*|The clip ends at frame .*|Voice \{\} is at .*",
            r"the VAE's decoder .*",
        )
    ),
    re.DOTALL,
)


def table(files: str = "*") -> dict[str, str]:
    """The entries in these files, English to Chinese."""
    found: dict[str, str] = {}
    for path in sorted(TABLES.glob(f"{files}.mjs")):
        lines = path.read_text("utf-8").splitlines()
        entries = json.loads(f"{{{''.join(lines[2:-1]).removesuffix(',')}}}")
        assert found.keys().isdisjoint(entries), path
        found |= entries
    return found


def template(node: ast.AST) -> str | None:
    """A string in a source, with {} for each value in it; None for anything else."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        return None
    # Something follows a space at the end.
    return f"{text.strip()} {{}}" if text.endswith(" ") else text.strip()


def forms(texts: Iterable[str]) -> set[str]:
    """Templates, also without the place that may stand before them."""
    return {form for text in texts for form in (text, re.sub(r"^(line )?\{\}(\.\w+)?: ", "", text))}


def strings(node: ast.AST, is_reported: bool = False) -> Iterator[tuple[str, bool]]:
    """The strings in a piece of code, without docstrings, and whether each is shown to somebody."""
    if (text := template(node)) is not None:
        yield text, is_reported
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    name = ""
    if isinstance(node, ast.Call):
        called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        name = called.id if isinstance(called, ast.Name) else ""
    if name in SILENT:
        return
    for child in ast.iter_child_nodes(node):
        yield from strings(child, is_reported or name in REPORTED or isinstance(node, ast.Raise))


def raised(tree: ast.Module) -> Iterator[str]:
    """The strings in what a module raises, and in its functions that make what is raised."""
    raises = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    calls = {
        ast.unparse(call.func).split(".")[-1]
        for node in raises
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    }
    for node in ast.walk(tree):
        is_maker = isinstance(node, ast.FunctionDef) and (
            node.name in calls or ast.unparse(node.returns or ast.Constant("")).endswith("Error")
        )
        if is_maker or isinstance(node, ast.Raise):
            yield from (text for text, _ in strings(node))


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACK.rglob("*.py")):
        yield path.relative_to(PACK).as_posix(), ast.parse(path.read_text("utf-8"))


def sentences() -> set[str]:
    """The templates of all sentences that the panel may show."""
    found: set[str] = set()
    for name, tree in sources():
        if not name.startswith(SAID):
            found |= {text for text in raised(tree) if text.endswith((".", "?", ": {}"))}
        elif name not in NOT_SAID:
            found |= {
                text
                for text, is_reported in strings(tree)
                if is_reported or text.endswith((".", "?", ": {}"))
            }
    return {text for text in found if text.count(" ") > 1 and not NOT_SHOWN.fullmatch(text)}


def from_data() -> set[str]:
    """The templates that are not in a source: of verdicts, and of libraries."""
    sides = (side for entry in thresholds().values() for side in (entry.above, entry.below) if side)
    found = {re.sub(r"\{[^}]*\}", "{}", side.text) for side in sides}
    messages = (PydanticKnownError(*about).message_template for about in FROM_PYDANTIC.items())
    messages = (message.replace("{field_type}", "List") for message in messages)
    found |= {re.sub(r"\{[^}]*\}", "{}", text[0].lower() + text[1:]) for text in messages}
    fields = (field for model in (Story, Scene, Line) for field in model.model_fields.values())
    found |= {field.description for field in fields if field.is_required() and field.description}
    causes = [*map(os.strerror, FROM_SYSTEM), *FROM_FFMPEG]
    # Alone, and as Python puts the number before it and the file behind it.
    found |= {*causes} | {f"{{}} {cause}: {{}}" for cause in causes}
    return found | {f"{{}} {os.strerror(errno.ENOSPC)}"}


def test_each_sentence_has_a_chinese_one() -> None:
    there = table()
    wanted = sentences() | from_data()
    assert len(wanted) > 250
    assert [text for text in sorted(wanted) if forms([text]).isdisjoint(there)] == []


def test_each_chinese_sentence_is_of_an_english_one_with_the_same_values() -> None:
    there = forms(text for _, tree in sources() for text, _ in strings(tree)) | from_data()
    of_comfyui = table("comfyui")
    assert sorted(table().keys() - of_comfyui.keys() - there) == []
    execution = (COMFYUI / "execution.py").read_text("utf-8")
    pieces = [piece.strip(": ") for english in of_comfyui for piece in english.split("{}")]
    assert [piece for piece in pieces if piece not in execution] == []
    for english, chinese in table().items():
        assert CHINESE.search(chinese), english
        marks, values = re.findall(r"\{([\d、]?)\}", chinese), english.count("{}")
        # Numbered, they stand in another order, and one may be left out.
        numbers = [int(mark) for mark in marks if mark.isdigit()]
        assert max(numbers) <= values if numbers else len(marks) == values, english
