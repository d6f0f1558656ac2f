"""Film Scene and Film: a story's clips, in order, as one finished video."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from comfy_api.latest import InputImpl, io

from .. import result_store
from ..media import film as assembly
from ..story.keys import hash_parts
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, name_input, progress_bar, video_path

FilmType = io.Custom("STORY_STUDIO_FILM")


class FilmScene(io.ComfyNode):
    """A chain: each node adds one clip to what comes in and hands it on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_FilmScene",
            display_name="Film Scene",
            category=CATEGORY,
            description="Adds a clip to the film. Link these nodes one after another in the story's "
            "order, and the last one to a Film.",
            inputs=[
                FilmType.Input(
                    "film",
                    optional=True,
                    tooltip="The film so far; for the first scene that of the Contact Sheet, or none.",
                ),
                io.Video.Input("clip", tooltip="The scene's video, with its sound."),
                io.String.Input(
                    "title",
                    default="",
                    tooltip="Name of the scene's chapter. Empty: Scene 1, Scene 2 and so on.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    tooltip="What is said in the clip, to make captions from. Empty: none.",
                ),
            ],
            outputs=[
                FilmType.Output(
                    display_name="film", tooltip="With this scene: to the next Film Scene, or to a Film."
                )
            ],
        )

    @classmethod
    def execute(
        cls, clip: InputImpl.VideoFromFile, title: str, text: str, film: tuple[assembly.Shot, ...] = ()
    ) -> io.NodeOutput:
        """The film with one shot more."""
        return io.NodeOutput((*film, assembly.Shot(video_path(clip), title, text)))


class Film(io.ComfyNode):
    """The end of the chain. A film of the same clips and settings is not made twice."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Film",
            display_name="Film",
            category=CATEGORY,
            description="Joins all scenes into one MP4 (H.264 and AAC at 48 kHz, ready for the web) with "
            "chapters and captions, in output/story_studio/films.",
            inputs=[
                FilmType.Input("film", tooltip="The last Film Scene node of the chain."),
                io.Combo.Input(
                    "join",
                    options=["cut", "crossfade"],
                    default="cut",
                    tooltip="How scenes follow each other. A crossfade holds the pictures at the joint, "
                    "so it takes no word away and the film stays as long as its scenes.",
                ),
                io.Float.Input(
                    "crossfade_seconds",
                    default=0.5,
                    min=0.1,
                    max=3.0,
                    step=0.1,
                    tooltip="Length of a crossfade; without effect when joined by cut.",
                ),
                io.Boolean.Input(
                    "chapters", default=True, tooltip="A chapter for each scene, to jump to in a player."
                ),
                io.Boolean.Input(
                    "captions",
                    default=True,
                    tooltip="Captions of the scenes' texts, which the viewer switches on in the player.",
                ),
                io.String.Input("title", default="", tooltip="The film's title, as players show it."),
                name_input("film"),
            ],
            outputs=[io.Video.Output(tooltip="The finished film, backed by its file.")],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        film: tuple[assembly.Shot, ...],
        join: Literal["cut", "crossfade"],
        crossfade_seconds: float,
        chapters: bool,
        captions: bool,
        title: str,
        name: str,
    ) -> io.NodeOutput:
        """The film, backed by its file."""
        settings = {"join": join, "chapters": chapters, "captions": captions, "title": title}
        if join == "crossfade":
            settings["crossfade_seconds"] = crossfade_seconds
        shots = [[_file_hash(shot), shot.title, shot.text] for shot in film]
        key = hash_parts(json.dumps([settings, shots]))
        path = result_store.find(Kind.FILM, key)
        reused = path is not None
        if path is None:
            path = result_store.place(Kind.FILM, name, key)
            hidden = cls.hidden
            tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
            assembly.assemble(film, path, **settings, metadata=tags, progress=progress_bar())
        found = {
            "images": [result_store.item(path)],
            "animated": (True,),
            "checkpoint": [{"key": key, "reused": reused}],
        }
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=found)


def _file_hash(shot: assembly.Shot) -> str:
    with shot.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
