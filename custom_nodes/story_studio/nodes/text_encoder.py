"""Text Encoder: loads a text encoder that encodes the prompts of all scenes together."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from .. import memory
from ..core import folders, loading
from ..core.text_encoder import TextEncoder as EncodingClip
from ..core.text_encoder import shared
from .common import CATEGORY, advanced, warn_on_running_node


class TextEncoder(io.ComfyNode):
    """Takes the place of Load CLIP in a story's graph, with the same inputs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files, types = loading.clip_options()
        return io.Schema(
            node_id="StoryStudio_TextEncoder",
            display_name="Text Encoder",
            category=CATEGORY,
            description="Loads a text encoder as Load CLIP does. The prompts of all scenes are encoded at "
            "once, and where memory is short the text encoder is freed before the image model is read.",
            inputs=[
                io.Combo.Input(
                    "clip_name", options=files, tooltip="The file, for example qwen_3_4b.safetensors."
                ),
                io.Combo.Input(
                    "type", options=types, tooltip="The kind of model that it is for: lumina2 for Z-Image."
                ),
                advanced(
                    # Load CLIP has no default for it either, and the keys of results depend on that.
                    io.Combo.Input(
                        "device",
                        options=["default", "cpu"],
                        optional=True,
                        tooltip="cpu: encode on the CPU, which takes no GPU memory and is slower.",
                    )
                ),
            ],
            outputs=[io.Clip.Output(tooltip="Link it to the CLIP Text Encode of each prompt.")],
            hidden=[io.Hidden.dynprompt],
        )

    @classmethod
    async def execute(cls, clip_name: str, type: str, device: str = "default") -> io.NodeOutput:
        """Returns the CLIP. ComfyUI runs an `async` node first, so before the image model is read."""

        memory.prepare(cls.hidden.dynprompt)

        def load() -> Any:
            return loading.load_clip(clip_name, type, device)

        def make() -> EncodingClip:
            return EncodingClip(
                load, lambda: memory.prompts_of(clip_name), memory.keeps_text_encoders, warn_on_running_node
            )

        path = folders.model_file("text_encoders", clip_name)
        return io.NodeOutput(shared(path, f"{type} {device}", make))
