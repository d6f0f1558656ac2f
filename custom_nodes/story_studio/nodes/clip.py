"""Clip: saves a scene's video, and finds it again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from comfy_api.latest import InputImpl, io

from ..core import execution, folders
from ..files import written_aside
from ..results import result_store
from ..runs import timing
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, check_take, footage_path, name_input, result_ui, take_input


class KeptClip(io.ComfyNode):
    """Keeps a video as a clip, and requests it only if there is no result yet, so that nothing upstream runs
    for a finished clip. What Clip and Retake have in common: a node whose schema was read cannot be a base.
    """

    @classmethod
    def check_lazy_status(
        cls, name: str, video: InputImpl.VideoFromFile | None = None, take: str = ""
    ) -> list[str]:
        """Requests the video unless a take is chosen and holds, or a result with the same key exists."""
        if video is not None or not cls._kept().is_needed:
            return []
        timing.begin(execution.prompt_id())
        return ["video"]

    @classmethod
    def execute(
        cls, name: str, video: InputImpl.VideoFromFile | None = None, take: str = ""
    ) -> io.NodeOutput:
        """Returns the video, backed by the result's file."""
        kept = cls._kept()
        warnings = check_take(kept, Kind.CLIP)
        path = kept.path
        if path is None:
            if video is None:
                raise RuntimeError(
                    "The clip's file was removed while it was being read: run the graph again."
                )
            path = result_store.place(Kind.CLIP, name, kept.key)
            source = footage_path(video)
            with written_aside(path) as aside:
                _link_or_copy(source, aside)
        ui = result_ui(path, kept.key, kept.path is not None, animated=True, warnings=warnings)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui)

    @classmethod
    def _kept(cls) -> result_store.Kept:
        return result_store.kept_by(cls.hidden.dynprompt, cls.hidden.unique_id)


class Clip(KeptClip):
    """The clip of a scene, which is made whenever the graph runs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Clip",
            display_name="Clip",
            category=CATEGORY,
            description="Saves a scene's video in output/story_studio/clips. A video that was rendered "
            "before, from the same image, voice, models and settings, is reused and nothing is rendered.",
            inputs=[
                io.Video.Input(
                    "video",
                    lazy=True,
                    tooltip="From Talking Video or Animatic; rendered only if there is no result yet.",
                ),
                name_input("clip"),
                take_input(),
            ],
            outputs=[io.Video.Output(tooltip="The finished clip. Link it to a Film Scene.")],
            hidden=HIDDEN,
            is_output_node=True,
        )


def _link_or_copy(source: Path, target: Path) -> None:
    # Our own temporary file can be hard-linked for free; any other file may change later.
    if source.is_relative_to(folders.temporary()):
        with contextlib.suppress(OSError):
            return os.link(source, target)
    shutil.copyfile(source, target)
