"""Scene Prompt: what one scene shows, joined with the style that all scenes share."""

from __future__ import annotations

from comfy_api.latest import io

from ..story.scene_prompt import NODE, joined
from .common import CATEGORY


class ScenePrompt(io.ComfyNode):
    """A prompt as a story file has it, made into the text that an encoder reads."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=NODE,
            display_name="Scene Prompt",
            category=CATEGORY,
            description="Joins the prompt of a scene with the style of the story, which is typed once. "
            "Parentheses stay as they are typed, as in a story file.",
            inputs=[
                io.String.Input(
                    "prompt", multiline=True, default="", tooltip="What the scene shows, or how it moves."
                ),
                io.String.Input(
                    "style",
                    optional=True,
                    force_input=True,
                    tooltip="Link the text that every prompt ends with, for example the look of the images.",
                ),
                io.Boolean.Input(
                    "weights",
                    default=False,
                    tooltip="On: parentheses change the weight of words, (fog:1.2). Off: they are text.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="prompt",
                    tooltip="Link it to the text of CLIP Text Encode or of another encoder.",
                )
            ],
        )

    @classmethod
    def execute(cls, prompt: str, style: str | None = None, weights: bool = False) -> io.NodeOutput:
        """Returns the text."""
        return io.NodeOutput(joined(prompt, style, weights))
