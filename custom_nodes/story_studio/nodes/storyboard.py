"""Storyboard and Contact Sheet: the stills of a story, in order, on one page."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from comfy_api.latest import io
from PIL import Image

from ..files import written_aside
from ..media.cards import contact_sheet
from ..results import result_store
from ..story.descriptions import without_descriptions
from ..story.keys import hash_parts
from ..story.results import Kind
from .common import CATEGORY, after_input, name_input, result_ui
from .film import FilmType

StoryboardType = io.Custom("STORY_STUDIO_STORYBOARD")
_THUMBNAIL_SIZE = (640, 640)


class Panel(NamedTuple):
    """One still of a storyboard: its thumbnail, the scene's name and its prompt."""

    thumbnail: Image.Image
    name: str
    prompt: str


class Storyboard(io.ComfyNode):
    """One link of a chain: adds a still to the storyboard."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Storyboard",
            display_name="Storyboard",
            category=CATEGORY,
            description="Adds a still to the storyboard. Chain these nodes in the order of the story, and "
            "link the last one to a Contact Sheet.",
            inputs=[
                StoryboardType.Input(
                    "storyboard",
                    optional=True,
                    tooltip="The storyboard so far; none for the first still.",
                ),
                io.Image.Input("still", tooltip="The still of the scene."),
                io.String.Input("name", default="", tooltip="Shown above the prompt, for example scene_1."),
                io.String.Input("prompt", default="", multiline=True, tooltip="Shown under the still."),
                io.String.Input(
                    "characters",
                    optional=True,
                    force_input=True,
                    tooltip="Link a text with a line for each character, Mara: an old keeper in a yellow "
                    "coat. Where the prompt describes a character so, the page shows the name.",
                ),
            ],
            outputs=[
                StoryboardType.Output(
                    display_name="storyboard",
                    tooltip="The storyboard with this still: for the next Storyboard, or a Contact Sheet.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        still: torch.Tensor,
        name: str,
        prompt: str,
        storyboard: tuple[Panel, ...] = (),
        characters: str = "",
    ) -> io.NodeOutput:
        """Returns the storyboard with one more panel."""
        pixels = (still[0, :, :, :3].cpu() * 255).round().to(torch.uint8).numpy()
        thumbnail = Image.fromarray(pixels)
        thumbnail.thumbnail(_THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
        return io.NodeOutput((*storyboard, Panel(thumbnail, name, without_descriptions(prompt, characters))))


class ContactSheet(io.ComfyNode):
    """The end of the chain. It waits for all stills, and so does everything linked to its outputs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_ContactSheet",
            display_name="Contact Sheet",
            category=CATEGORY,
            description="Saves all stills of the storyboard as one page, and sets the order of work. Link "
            "its film to the first scene's box, or its storyboard to `after` of the first Talking Video: "
            "then all stills are rendered before any clip, and each model is loaded once.",
            inputs=[
                StoryboardType.Input("storyboard", tooltip="From the last Storyboard of the chain."),
                io.String.Input("title", default="", tooltip="Heading of the page."),
                name_input("storyboard"),
                after_input(),
            ],
            outputs=[
                StoryboardType.Output(
                    display_name="storyboard",
                    tooltip="Ready when all stills are: link it to `after` of the first Talking Video.",
                ),
                FilmType.Output(
                    display_name="film",
                    tooltip="An empty film, ready when all stills are: link it to the box of the first "
                    "scene, whose clip then waits for it.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, storyboard: tuple[Panel, ...], title: str, name: str, after: Any = None
    ) -> io.NodeOutput:
        """Saves the page in output/story_studio/sheets; returns the storyboard and an empty film."""
        made_from: list[Any] = [title]
        for panel in storyboard:
            made_from += [panel.thumbnail.tobytes(), panel.name, panel.prompt]
        key = hash_parts(*made_from)
        path = result_store.find(Kind.SHEET, key)
        reused = path is not None
        if path is None:
            path = result_store.place(Kind.SHEET, name, key)
            with written_aside(path) as aside:
                contact_sheet.compose(storyboard, title).save(aside, quality=88)
        return io.NodeOutput(storyboard, (), ui=result_ui(path, key, reused))
