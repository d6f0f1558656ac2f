"""Title Card: a scene's prompt as a painted card, for drafts that need no model."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io

from ..media.cards import title_card
from .common import CATEGORY, seed_input


class TitleCard(io.ComfyNode):
    """The draft of a still."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_TitleCard",
            display_name="Title Card",
            category=CATEGORY,
            description="Paints the prompt as a card marked as a draft. It needs no model: use it to check "
            "the order and timing of a story before any still is rendered.",
            inputs=[
                io.String.Input(
                    "text", multiline=True, default="", tooltip="What the scene shows: its prompt."
                ),
                io.String.Input(
                    "heading",
                    default="",
                    tooltip="A small line above the text, for example the name of the scene.",
                ),
                io.Int.Input(
                    "width", default=832, min=64, max=2048, step=16, tooltip="Width of the card in pixels."
                ),
                io.Int.Input(
                    "height", default=448, min=64, max=2048, step=16, tooltip="Height of the card in pixels."
                ),
                seed_input("Another seed gives other colours and shapes."),
            ],
            outputs=[io.Image.Output(tooltip="The card. Link it to a Still, which saves it.")],
        )

    @classmethod
    def execute(cls, text: str, heading: str, width: int, height: int, seed: int) -> io.NodeOutput:
        """Returns the card, an IMAGE [1, height, width, 3]."""
        card = np.asarray(
            title_card.paint(text, width, height, heading, seed).convert("RGB"), dtype=np.float32
        )
        return io.NodeOutput(torch.from_numpy(card / 255).unsqueeze(0))
