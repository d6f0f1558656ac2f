"""Film Cards: an opening title, end credits, and fades at both ends."""

from __future__ import annotations

from comfy_api.latest import io

from ..media.cards.film_cards import Cards
from .common import CATEGORY

CardsType = io.Custom("STORY_STUDIO_CARDS")


class FilmCards(io.ComfyNode):
    """What a film begins and ends with."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_FilmCards",
            display_name="Film Cards",
            category=CATEGORY,
            description="Adds an opening title and end credits, over the first and last scene out of focus, "
            "and fades from and to black. Link it to a Film.",
            inputs=[
                io.String.Input(
                    "opening",
                    default="",
                    tooltip="The title on the card at the start. Empty: no such card.",
                ),
                io.String.Input(
                    "credits",
                    default="",
                    multiline=True,
                    tooltip="The lines of the card at the end, for example `Voice: Ann Lee`. Empty: no such "
                    "card.",
                ),
                io.Float.Input(
                    "card_seconds",
                    default=3.0,
                    min=0.5,
                    max=30.0,
                    step=0.1,
                    tooltip="Duration of a card in seconds.",
                ),
                io.Float.Input(
                    "fade_seconds",
                    default=0.0,
                    min=0.0,
                    max=5.0,
                    step=0.1,
                    tooltip="Duration of the fade from black at the start, and to black at the end, of "
                    "video and audio. 0: none.",
                ),
            ],
            outputs=[CardsType.Output(display_name="cards", tooltip="Link it to a Film.")],
        )

    @classmethod
    def execute(cls, opening: str, credits: str, card_seconds: float, fade_seconds: float) -> io.NodeOutput:
        """Returns the cards."""
        return io.NodeOutput(Cards(opening, credits, card_seconds, fade_seconds))
