"""Storyboard and Contact Sheet: a story's stills, in order, on one page."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from comfy_api.latest import io
from PIL import Image

from .. import result_store
from ..files import written_aside
from ..media.cards import contact_sheet
from ..story.keys import hash_parts
from ..story.results import Kind
from .common import CATEGORY, after_input, name_input
from .film import FilmType

StoryboardType = io.Custom("STORY_STUDIO_STORYBOARD")
_THUMBNAIL = (640, 640)


class Panel(NamedTuple):
    """One still of a storyboard: a small copy of the picture, the scene's name and its prompt."""

    picture: Image.Image
    name: str
    prompt: str


class Storyboard(io.ComfyNode):
    """A chain: each node adds one still to what comes in and hands it on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Storyboard",
            display_name="Storyboard",
            category=CATEGORY,
            description="Adds a still to the storyboard. Link these nodes one after another in the "
            "story's order, and the last one to a Contact Sheet.",
            inputs=[
                StoryboardType.Input(
                    "storyboard", optional=True, tooltip="The storyboard so far; none for the first."
                ),
                io.Image.Input("still", tooltip="The scene's picture."),
                io.String.Input("name", default="", tooltip="Shown above the prompt, for example scene_1."),
                io.String.Input("prompt", default="", multiline=True, tooltip="Shown under the picture."),
            ],
            outputs=[
                StoryboardType.Output(
                    display_name="storyboard",
                    tooltip="With this still: to the next Storyboard, or a Contact Sheet.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, still: torch.Tensor, name: str, prompt: str, storyboard: tuple[Panel, ...] = ()
    ) -> io.NodeOutput:
        """The storyboard with one panel more."""
        pixels = (still[0, :, :, :3].cpu() * 255).round().to(torch.uint8).numpy()
        picture = Image.fromarray(pixels)
        picture.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS)
        return io.NodeOutput((*storyboard, Panel(picture, name, prompt)))


class ContactSheet(io.ComfyNode):
    """The end of the chain: it waits for every still, so whatever waits for it comes after all of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_ContactSheet",
            display_name="Contact Sheet",
            category=CATEGORY,
            description="Saves all stills of the storyboard as one page, and keeps order. Link its film to "
            "the first scene's box, or its storyboard to `after` of the first Talking Video: then all "
            "pictures are made before all videos, and each model is loaded once.",
            inputs=[
                StoryboardType.Input("storyboard", tooltip="The last Storyboard node of the chain."),
                io.String.Input("title", default="", tooltip="Heading of the page."),
                name_input("storyboard"),
                after_input(),
            ],
            outputs=[
                StoryboardType.Output(
                    display_name="storyboard",
                    tooltip="There when every still is: link it to `after` of the first Talking Video.",
                ),
                FilmType.Output(
                    display_name="film",
                    tooltip="The film before its first clip, there when every still is: link it to the box "
                    "of the first scene, whose video then waits for it.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, storyboard: tuple[Panel, ...], title: str, name: str, after: Any = None
    ) -> io.NodeOutput:
        """The storyboard as it came, and an empty film; the page goes to output/story_studio/sheets."""
        made_from: list[Any] = [title]
        for panel in storyboard:
            made_from += [panel.picture.tobytes(), panel.name, panel.prompt]
        key = hash_parts(*made_from)
        path = result_store.find(Kind.SHEET, key)
        reused = path is not None
        if path is None:
            path = result_store.place(Kind.SHEET, name, key)
            with written_aside(path) as aside:
                contact_sheet.compose(storyboard, title).save(aside, quality=88)
        found = {"images": [result_store.item(path)], "checkpoint": [{"key": key, "reused": reused}]}
        return io.NodeOutput(storyboard, (), ui=found)
