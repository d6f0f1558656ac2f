"""Shared by several nodes: category, common inputs, temporary files, progress and warnings."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from comfy_api.latest import InputImpl, io

from ..core import execution, folders, server
from ..core.video import source_file
from ..media.clip_writer import ClipWriter
from ..results.result_store import Kept, item
from ..runs import finished, timing
from ..story.results import STORE, Kind

CATEGORY = "Story Studio"
HIDDEN = [io.Hidden.dynprompt, io.Hidden.unique_id, io.Hidden.extra_pnginfo]


def advanced(node_input: io.Input) -> io.Input:
    """Marks an input that few users need; the interface may collapse it."""
    # The input classes of ComfyUI 0.3.75 have no such parameter.
    node_input.extra_dict = {"advanced": True}
    return node_input


def after_input(**options: Any) -> io.Input:
    """An input that only sets the execution order; its value is not used."""
    return io.AnyType.Input(
        "after",
        optional=True,
        tooltip="Only sets the order: this node waits for what is linked here. Link the contact sheet, or "
        "the previous still or clip, so that all stills are rendered before any clip.",
        **options,
    )


def area_inputs() -> list[io.Input]:
    """Width and height, whose product limits the size of a clip."""
    return [
        io.Int.Input(
            "width",
            default=832,
            min=64,
            max=4096,
            step=16,
            tooltip="Width times height limits the pixels of a frame: 832x480 is 480p, 1280x720 is 720p. The "
            "image keeps its aspect ratio; both sides become multiples of 64.",
        ),
        io.Int.Input(
            "height",
            default=480,
            min=64,
            max=4096,
            step=16,
            tooltip="See width: only the product of the two matters.",
        ),
    ]


def seed_input(tooltip: str) -> io.Input:
    """A seed of 64 bits with ComfyUI's control after generate."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        tooltip=tooltip,
    )


def name_input(default: str) -> io.Input:
    """The start of the file's name, which does not affect its content."""
    return io.String.Input(
        "name", default=default, tooltip="Start of the file name. Changing it does not cause a new render."
    )


def take_input() -> io.Input:
    """The key of an earlier result to use instead of what is linked."""
    return advanced(
        io.String.Input(
            "take",
            default="",
            optional=True,
            tooltip="Empty: use what is linked. Or the 24 digits in the file name of an earlier take, to use "
            "that one whatever is linked. With a second key, as the Story tab writes it, the take is used "
            "only until what is linked changes.",
        )
    )


def check_take(kept: Kept, kind: Kind) -> list[str]:
    """The warning that a chosen take is not used, shown on the running node; empty if all is well.

    Raises:
        RuntimeError: it is used, and is not there.
    """
    if kept.pin is None:
        return []
    if kept.holds:
        if kept.path is None:
            raise RuntimeError(
                f"There is no take {kept.pin.key!r} in output/{STORE}/{kind.folder}: enter the 24 digits "
                "from one of its file names, or leave `take` empty."
            )
        return []
    text = (
        f"The chosen take {kept.pin.key} is not used: the prompt, seed or settings have changed since it was "
        "chosen. Choose it again, or empty `take`."
    )
    warn_on_running_node(text)
    return [text]


def result_ui(
    path: Path,
    key: str,
    reused: bool,
    animated: bool = False,
    node_id: str | None = None,
    warnings: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A result for the interface and the driver: its file, its key, and whether it was reused.

    `node_id` is that of the node which shows it, if that is not the running one. `warnings` are sentences for
    the driver, whose users do not see what stands on a node. `more` is what a kind of result says besides.
    """
    # `checkpoint` is an older name for a result, which clients of the API read.
    ui: dict[str, Any] = {"images": [item(path)], "checkpoint": [{"key": key, "reused": reused}]}
    ui |= {"animated": (True,)} if animated else {}
    ui |= {"warnings": [*warnings]} if warnings else {}
    ui |= more or {}
    finished.note(execution.prompt_id(), node_id or execution.node_id(), ui)
    timing.note(execution.prompt_id(), execution.node_id(), reused)
    return ui


def temporary_file(suffix: str) -> Path:
    """An unused path in ComfyUI's folder for temporary files."""
    folder = folders.temporary() / "story_studio"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{uuid.uuid4().hex}{suffix}"


def video_path(video: InputImpl.VideoFromFile) -> Path:
    """The file of a VIDEO; a VIDEO that is not a whole file is saved to a temporary one."""
    if path := source_file(video):
        return path
    path = temporary_file(".mp4")
    video.save_to(str(path))
    return path


def footage_path(video: InputImpl.VideoFromFile | InputImpl.VideoFromComponents) -> Path:
    """The file of a VIDEO whose frames are to be used further.

    One that is in memory, as stock nodes make it, is saved visually lossless, and not as ComfyUI would.

    Raises:
        ValueError: it has no frames, or an odd side.
    """
    if not isinstance(video, InputImpl.VideoFromComponents):
        return video_path(video)
    parts, path = video.get_components(), temporary_file(".mp4")
    if not len(parts.images):
        raise ValueError("The video has no frames: check what is linked.")
    # A recording of no channels has no track.
    waveform, rate = np.zeros((0, 0), np.float32), 48_000
    if parts.audio is not None:
        waveform, rate = parts.audio["waveform"][0].cpu().float().numpy(), int(parts.audio["sample_rate"])
    height, width = parts.images.shape[1:3]
    with ClipWriter(path, width, height, waveform, rate, Fraction(parts.frame_rate)) as writer:
        writer.write(parts.images[..., :3])
    return path


def progress_bar(steps: int = 100) -> Callable[[float], None]:
    """A function that sets the node's progress bar to a fraction, and raises if the user has interrupted."""
    move = server.progress_bar(steps)
    shown = -1

    def show(fraction: float) -> None:
        nonlocal shown
        server.stop_if_interrupted()
        # Each update is sent to the browser, which falls behind if there are thousands.
        if (value := round(fraction * steps)) != shown:
            shown = value
            move(value, None)

    return show


def warn(node_id: str, text: str) -> None:
    """Shows a warning on the node and writes it to the server's log."""
    logging.warning("%s: %s", node_id, text)
    server.show_text(node_id, text)


def warn_on_running_node(text: str) -> None:
    """Shows a warning on the node that is running, of whatever pack, and writes it to the server's log."""
    warn(execution.node_id(), text)
