"""What several nodes share: category, inputs of the same meaning, temporary files, progress."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path

from comfy_api.latest import InputImpl, io

from ..core import folders, server
from ..core.video import source_file
from ..story.results import STORE, Kind

CATEGORY = "Story Studio"
HIDDEN = [io.Hidden.dynprompt, io.Hidden.unique_id, io.Hidden.extra_pnginfo]


def advanced(one: io.Input) -> io.Input:
    """Marks an input that few need: the interface may fold it away."""
    # The constructors of ComfyUI 0.3.75 know no such argument.
    one.extra_dict = {"advanced": True}
    return one


def after_input() -> io.Input:
    """An input whose value is not used: what it is linked to comes first."""
    return io.AnyType.Input(
        "after",
        optional=True,
        tooltip="Only for order: this node waits for whatever is linked here. Link the contact sheet or the "
        "previous still or clip, so that all pictures are made before all videos.",
    )


def area_inputs() -> list[io.Input]:
    """Width and height, whose product bounds the size of a clip."""
    return [
        io.Int.Input(
            "width",
            default=832,
            min=64,
            max=4096,
            step=16,
            tooltip="Together with the height, how many pixels a frame may have: 832x480 is 480p, "
            "1280x720 is 720p. The picture keeps its own shape; both sides become multiples of 64.",
        ),
        io.Int.Input(
            "height",
            default=480,
            min=64,
            max=4096,
            step=16,
            tooltip="See width: only the product of the two counts.",
        ),
    ]


def name_input(default: str) -> io.Input:
    """A name for the file, which has no influence on what is in it."""
    return io.String.Input(
        "name", default=default, tooltip="Start of the file's name. Changing it renders nothing again."
    )


def take_input() -> io.Input:
    """Another take than the one that would be made or found."""
    return advanced(
        io.String.Input(
            "take",
            default="",
            optional=True,
            tooltip="Empty: what is linked here. Or the 24 digits in the file name of an earlier take, to "
            "use that one whatever is linked.",
        )
    )


def no_take(kind: Kind, take: str) -> RuntimeError:
    """The error for a take that is not among the finished files of a kind."""
    return RuntimeError(
        f"There is no take {take!r} in output/{STORE}/{kind.folder}: give the 24 digits in the name of one "
        "of its files, or leave `take` empty."
    )


def temporary(suffix: str) -> Path:
    """A new name in ComfyUI's folder for temporary files."""
    folder = folders.temporary() / "story_studio"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{uuid.uuid4().hex}{suffix}"


def video_path(video: InputImpl.VideoFromFile) -> Path:
    """The file of a VIDEO; one that is not a whole file is written to a temporary one."""
    if path := source_file(video):
        return path
    path = temporary(".mp4")
    video.save_to(str(path))
    return path


def progress_bar(steps: int = 100) -> Callable[[float], None]:
    """A function that moves the node's progress bar to a fraction, and stops the work if the user asked."""
    move = server.progress_bar(steps)
    shown = -1

    def show(fraction: float) -> None:
        nonlocal shown
        server.stop_if_interrupted()
        # Every update is sent to the page, which falls behind where there are thousands.
        if (value := round(fraction * steps)) != shown:
            shown = value
            move(value, None)

    return show


def warn(node_id: str, text: str) -> None:
    """Says something on the node and in the server's log."""
    logging.warning("%s: %s", node_id, text)
    server.show_text(node_id, text)
