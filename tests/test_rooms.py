"""Which rooms import which: arrows go one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import driver
import story_studio

PACK = Path(story_studio.__file__).parent
DRIVER = Path(driver.__file__).parent
BELOW = {
    "story": set[str](),
    "signal": {"story"},
    "media": {"signal", "story"},
    "checks": {"media", "signal", "story"},
    "results": {"core", "signal", "story"},
    "runs": {"core", "media", "results", "s2v", "story"},
}
"""The rooms of the pack, and those below each, which it imports."""
SHARED = {"story", "signal", "checks"}
"""The rooms that the driver may import."""


def _imported(folder: Path, root: Path, package: str) -> Iterator[tuple[str, str]]:
    """All files of a folder, with each module that they import from anywhere in them."""
    for path in folder.rglob("*.py"):
        parents = (package, *path.parent.relative_to(root).parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = parents[: len(parents) - node.level + 1] if node.level else ()
                module = [*above, *(node.module or "").split(".")]
                # `from .. import room` names a room as well.
                yield from ((path.name, ".".join(filter(None, [*module, name.name]))) for name in node.names)


def _rooms(folder: Path, root: Path, package: str) -> dict[str, set[str]]:
    """The rooms of the pack that a folder's files import, each with those files."""
    rooms: dict[str, set[str]] = {}
    for file, module in _imported(folder, root, package):
        top, room = [*module.split("."), ""][:2]
        if top == "story_studio" and (PACK / room / "__init__.py").exists() and room:
            rooms.setdefault(room, set()).add(file)
    return rooms


@pytest.mark.parametrize("room", BELOW)
def test_arrows_between_the_rooms_go_one_way(room: str) -> None:
    rooms = _rooms(PACK / room, PACK, "story_studio")

    assert rooms.keys() - {room} == BELOW[room], rooms


def test_the_driver_imports_the_shared_rooms_only() -> None:
    rooms = _rooms(DRIVER, DRIVER, "driver")

    # They read what the pack uses of ComfyUI: `core.contracts`, which imports nothing of it.
    assert rooms.pop("core") == {"doctor.py", "flags.py"}
    assert rooms.keys() == SHARED, rooms
