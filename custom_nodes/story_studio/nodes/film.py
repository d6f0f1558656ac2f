"""Film Scene and Film: the clips of a story, in order, as one finished video."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from comfy_api.latest import InputImpl, io

from .. import result_store
from ..media import film as assembly
from ..story.keys import hash_parts
from ..story.results import Kind
from .common import CATEGORY, HIDDEN, name_input, progress_bar, result_ui, video_path

FilmType = io.Custom("STORY_STUDIO_FILM")


class FilmScene(io.ComfyNode):
    """One link of a chain: adds a clip to the film."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_FilmScene",
            display_name="Film Scene",
            category=CATEGORY,
            description="Adds a clip to the film. Chain these nodes in the order of the story, and link the "
            "last one to a Film.",
            inputs=[
                FilmType.Input(
                    "film",
                    optional=True,
                    tooltip="The film so far; for the first scene, that of the Contact Sheet, or none.",
                ),
                io.Video.Input("clip", tooltip="The video of the scene, with its audio."),
                io.String.Input(
                    "title",
                    default="",
                    tooltip="Title of the scene's chapter. Empty: Scene 1, Scene 2 and so on.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    tooltip="What is said in the clip, for the captions. Empty: no captions.",
                ),
            ],
            outputs=[
                FilmType.Output(
                    display_name="film",
                    tooltip="The film with this scene. Link it to the next Film Scene or to a Film.",
                )
            ],
        )

    @classmethod
    def execute(
        cls, clip: InputImpl.VideoFromFile, title: str, text: str, film: tuple[assembly.Shot, ...] = ()
    ) -> io.NodeOutput:
        """Returns the film with one more shot."""
        return io.NodeOutput((*film, assembly.Shot(video_path(clip), title, text)))


class Film(io.ComfyNode):
    """The end of the chain. A film of the same clips and settings is rendered only once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StoryStudio_Film",
            display_name="Film",
            category=CATEGORY,
            description="Joins all scenes into one MP4 (H.264 and AAC at 48 kHz, ready for the web) with "
            "chapters and captions, in output/story_studio/films.",
            inputs=[
                FilmType.Input("film", tooltip="From the last Film Scene of the chain."),
                io.Combo.Input(
                    "join",
                    options=["cut", "crossfade"],
                    default="cut",
                    tooltip="How scenes are joined. A crossfade blends each clip with the held first or last "
                    "frame of its neighbour, so no word is lost and the film keeps its length.",
                ),
                io.Float.Input(
                    "crossfade_seconds",
                    default=0.5,
                    min=0.1,
                    max=3.0,
                    step=0.1,
                    tooltip="Duration of a crossfade; no effect with join cut.",
                ),
                io.Boolean.Input("chapters", default=True, tooltip="Adds a chapter for each scene."),
                io.Boolean.Input(
                    "captions",
                    default=True,
                    tooltip="Adds captions of the scenes' texts; viewers turn them on in the player.",
                ),
                io.String.Input("title", default="", tooltip="The film's title, shown by players."),
                name_input("film"),
                *(
                    io.Int.Input(
                        side,
                        optional=True,
                        default=0,
                        min=0,
                        max=8192,
                        step=2,
                        tooltip=f"The {side} of the story's clips. If they differ in size, the film has this "
                        "width and height, and the others are letterboxed. 0: the size shown for the longest "
                        "time.",
                    )
                    for side in ("width", "height")
                ),
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
        width: int = 0,
        height: int = 0,
    ) -> io.NodeOutput:
        """Returns the film, backed by its file."""
        settings = {"join": join, "chapters": chapters, "captions": captions, "title": title}
        if join == "crossfade":
            settings["crossfade_seconds"] = crossfade_seconds
        size = (width, height) if width and height else None
        footage = assembly.footage_of(film)
        canvas = assembly.canvas_key(footage, size) if footage else ""
        shots = [[_file_hash(shot), shot.title, shot.text] for shot in film]
        key = hash_parts(json.dumps([settings | ({"canvas": canvas} if canvas else {}), shots]))
        path = result_store.find(Kind.FILM, key)
        reused = path is not None
        if path is None:
            path = result_store.place(Kind.FILM, name, key)
            hidden = cls.hidden
            tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
            media = {"size": size, "footage": footage, "metadata": tags}
            assembly.assemble(film, path, **settings, **media, progress=progress_bar())
        ui = result_ui(path, key, reused, animated=True)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui)


def _file_hash(shot: assembly.Shot) -> str:
    with shot.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
