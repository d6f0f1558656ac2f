"""Retake: saves a further clip of a scene, if a check requests it."""

from __future__ import annotations

from comfy_api.latest import io

from ..story.results import RETAKE
from .clip import KeptClip
from .common import CATEGORY, HIDDEN, name_input


class Retake(KeptClip):
    """A clip like any other, but no output node: ComfyUI runs those whether their result is used or not."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=RETAKE,
            display_name="Retake",
            category=CATEGORY,
            description="Saves another take of a scene in output/story_studio/clips, made with another seed. "
            "It runs only if a Check Clip requests it because the takes before it have failed.",
            inputs=[
                io.Video.Input(
                    "video",
                    lazy=True,
                    tooltip="From another Talking Video; rendered only if this take is requested and there "
                    "is no result yet.",
                ),
                name_input("clip"),
            ],
            outputs=[io.Video.Output(tooltip="The finished take. Link it to a retake of a Check Clip.")],
            hidden=HIDDEN,
        )
