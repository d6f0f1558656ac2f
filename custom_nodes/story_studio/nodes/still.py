"""Still: saves a scene's image, and finds it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .. import memory
from ..core import execution
from ..files import written_aside
from ..results import result_store
from ..runs import timing
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, after_input, check_take, name_input, result_ui, take_input


class Still(io.ComfyNode):
    """Requests its image only if there is no result yet, so nothing upstream runs for a finished still."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Still",
            display_name="Still",
            category=CATEGORY,
            description="Saves a scene's image in output/story_studio/stills. An image that was rendered "
            "before, from the same prompt, models and settings, is reused and nothing is rendered.",
            inputs=[
                io.Image.Input(
                    "image",
                    lazy=True,
                    tooltip="From VAE Decode or Title Card; rendered only if there is no result yet.",
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
        """Requests the image unless a take is chosen and holds, or a result with the same key exists."""
        if image is not None or not cls._kept().is_needed:
            return []
        timing.begin(execution.prompt_id())
        memory.make_room(cls.hidden.dynprompt, "still")
        return ["image"]

    @classmethod
    def execute(
        cls, name: str, image: torch.Tensor | None = None, after: Any = None, take: str = ""
    ) -> io.NodeOutput:
        """Returns the image as read from the file: a resumed story then gets the same 8-bit pixels."""
        kept = cls._kept()
        warnings = check_take(kept, Kind.STILL)
        path = kept.path
        if path is None:
            if image is None:
                raise RuntimeError(
                    "The still's file was removed while it was being read: run the graph again."
                )
            path = result_store.place(Kind.STILL, name, kept.key)
            hidden = cls.hidden
            tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
            _save(image[0], path, tags)
        return io.NodeOutput(
            _load(path), ui=result_ui(path, kept.key, kept.path is not None, warnings=warnings)
        )

    @classmethod
    def _kept(cls) -> result_store.Kept:
        return result_store.kept_by(cls.hidden.dynprompt, cls.hidden.unique_id)


def _save(image: torch.Tensor, path: Path, tags: dict[str, str]) -> None:
    pixels = (image[:, :, :3].cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    info = PngInfo()
    for name, value in tags.items():
        info.add_text(name, value)
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, pnginfo=info, compress_level=4)


def _load(path: Path) -> Any:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32) / 255).unsqueeze(0)
