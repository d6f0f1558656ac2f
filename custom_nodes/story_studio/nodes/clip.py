"""Clip: the checkpoint of a scene's talking video."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from comfy_api.latest import InputImpl, io

from .. import result_store
from ..core import folders
from ..files import written_aside
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, name_input, no_take, take_input, video_path


class Clip(io.ComfyNode):
    """Asks for its video only if no file holds it yet, so nothing upstream runs for one that is finished."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Clip",
            display_name="Clip",
            category=CATEGORY,
            description="Keeps a scene's video in output/story_studio/clips. A video that was made "
            "before, from the same picture, voice, models and settings, is taken from there and nothing "
            "is rendered.",
            inputs=[
                io.Video.Input(
                    "video",
                    lazy=True,
                    tooltip="From Talking Video or Animatic; made only if it is not there yet.",
                ),
                name_input("clip"),
                take_input(),
            ],
            outputs=[io.Video.Output(tooltip="The finished clip. Link it to a Film Scene.")],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def check_lazy_status(
        cls, name: str, video: InputImpl.VideoFromFile | None = None, take: str = ""
    ) -> list[str]:
        """Nothing, if a finished file was made from the same things or is told; else the video."""
        return [] if take or video is not None or result_store.find(Kind.CLIP, cls._key()) else ["video"]

    @classmethod
    def execute(
        cls, name: str, video: InputImpl.VideoFromFile | None = None, take: str = ""
    ) -> io.NodeOutput:
        """The video, backed by the finished file."""
        key = cls._key()
        path = result_store.find(Kind.CLIP, key)
        reused = path is not None
        if path is None:
            if take:
                raise no_take(Kind.CLIP, take)
            if video is None:
                raise RuntimeError(
                    "The clip's file was removed while it was being read: run the graph again."
                )
            path = result_store.place(Kind.CLIP, name, key)
            source = video_path(video)
            with written_aside(path) as aside:
                _take(source, aside)
        found = {
            "images": [result_store.item(path)],
            "animated": (True,),
            "checkpoint": [{"key": key, "reused": reused}],
        }
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=found)

    @classmethod
    def _key(cls) -> str:
        return result_store.key_of(cls.hidden.dynprompt, cls.hidden.unique_id)


def _take(source: Path, target: Path) -> None:
    # A file of ours is linked, which costs nothing; one that its owner may yet change is copied.
    if source.is_relative_to(folders.temporary()):
        with contextlib.suppress(OSError):
            return os.link(source, target)
    shutil.copyfile(source, target)
