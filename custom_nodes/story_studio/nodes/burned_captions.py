"""Burned Captions: how a film shows its captions in the frames themselves."""

from __future__ import annotations

from typing import Literal

from comfy_api.latest import io

from ..media.burned import LARGEST, CaptionStyle
from ..media.fonts import family_named
from .common import CATEGORY, advanced

BurnedCaptionsType = io.Custom("STORY_STUDIO_BURNED_CAPTIONS")


class BurnedCaptions(io.ComfyNode):
    """A caption style for the Film, which draws it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_BurnedCaptions",
            display_name="Burned Captions",
            category=CATEGORY,
            description="Draws the captions into the film's frames, for sites and apps that show no others. "
            "Link it to a Film.",
            inputs=[
                io.Combo.Input(
                    "style",
                    options=["clean", "boxed", "words"],
                    default="clean",
                    tooltip="clean: white letters with a soft shadow. boxed: a dark box behind each line. "
                    "words: the spoken word is highlighted.",
                ),
                io.String.Input(
                    "font",
                    default="",
                    tooltip="A font family of the machine that runs ComfyUI, for example Noto Sans. Empty: "
                    "one is chosen. Letters that it lacks come from other fonts.",
                ),
                io.Float.Input(
                    "size",
                    default=0.0,
                    min=0.0,
                    max=LARGEST,
                    step=0.005,
                    tooltip="Size of the letters as a part of the frame's shorter side, for example 0.06. "
                    "0: one is chosen for the shape of the film.",
                ),
                io.Combo.Input(
                    "position",
                    options=["bottom", "middle", "top"],
                    default="bottom",
                    tooltip="Where the captions stand. In upright films they stay clear of what TikTok, "
                    "Reels and Shorts draw over a video.",
                ),
                advanced(
                    io.String.Input(
                        "language",
                        default="",
                        tooltip="Which captions are shown: the language tag of one of the translations of "
                        "the Film Scenes, for example ja. Empty: the scenes' own texts.",
                    )
                ),
            ],
            outputs=[
                BurnedCaptionsType.Output(
                    display_name="burned_captions", tooltip="The style. Link it to a Film."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, font: str | None = None) -> bool | str:
        """Refuses a font that is not there before anything is rendered."""
        try:
            if font and font.strip():
                family_named(font)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        style: Literal["clean", "boxed", "words"],
        font: str,
        size: float,
        position: Literal["bottom", "middle", "top"],
        language: str,
    ) -> io.NodeOutput:
        """Returns the style."""
        return io.NodeOutput(CaptionStyle(style, font.strip(), size, position, language.strip()))
