"""Still: the checkpoint of a scene's picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import result_store
from ..files import written_aside
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, after_input, name_input, no_take, take_input


class Still(io.ComfyNode):
    """Asks for its picture only if no file holds it yet, so nothing upstream runs for a finished one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Still",
            display_name="Still",
            category=CATEGORY,
            description="Keeps a scene's picture in output/story_studio/stills. A picture that was made "
            "before, from the same prompt, models and settings, is read from there and nothing is rendered.",
            inputs=[
                io.Image.Input(
                    "image",
                    lazy=True,
                    tooltip="From VAE Decode or Title Card; made only if it is not there yet.",
                ),
                name_input("still"),
                after_input(),
                take_input(),
            ],
            outputs=[
                io.Image.Output(tooltip="The finished still. Link it to a Storyboard and to Talking Video.")
            ],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def check_lazy_status(
        cls, name: str, image: torch.Tensor | None = None, after: Any = None, take: str = ""
    ) -> list[str]:
        """Nothing, if a finished file was made from the same things or is told; else the picture."""
        return [] if take or image is not None or result_store.find(Kind.STILL, cls._key()) else ["image"]

    @classmethod
    def execute(
        cls, name: str, image: torch.Tensor | None = None, after: Any = None, take: str = ""
    ) -> io.NodeOutput:
        """The picture as the file holds it, 8 bits a channel: a resumed story equals an undisturbed one."""
        key = cls._key()
        path = result_store.find(Kind.STILL, key)
        reused = path is not None
        if path is None:
            if take:
                raise no_take(Kind.STILL, take)
            if image is None:
                raise RuntimeError(
                    "The still's file was removed while it was being read: run the graph again."
                )
            path = result_store.place(Kind.STILL, name, key)
            hidden = cls.hidden
            tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
            _save(image[0], path, tags)
        found = {"images": [result_store.item(path)], "checkpoint": [{"key": key, "reused": reused}]}
        return io.NodeOutput(_load(path), ui=found)

    @classmethod
    def _key(cls) -> str:
        return result_store.key_of(cls.hidden.dynprompt, cls.hidden.unique_id)


def _save(picture: torch.Tensor, path: Path, tags: dict[str, str]) -> None:
    pixels = (picture[:, :, :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    info = PngInfo()
    for name, value in tags.items():
        info.add_text(name, value)
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, pnginfo=info, compress_level=4)


def _load(path: Path) -> Any:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32) / 255).unsqueeze(0)
