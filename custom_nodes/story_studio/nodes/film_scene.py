"""Film Scene: a clip as a scene of the film."""

from __future__ import annotations

import re
from typing import Literal

from comfy_api.latest import InputImpl, io

from ..media.cut import Transition
from ..media.film import Shot
from ..media.text import is_visible
from ..media.word_times import WordTimes
from ..results import result_store
from ..story.part import LANGUAGE
from .common import CATEGORY, HIDDEN, video_path
from .film import FilmType
from .word_times import WordTimesType

_AS_FILM = "film's join"


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
                *_further_inputs(),
            ],
            outputs=[
                FilmType.Output(
                    display_name="film",
                    tooltip="The film with this scene. Link it to the next Film Scene or to a Film.",
                )
            ],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(
        cls,
        clip: InputImpl.VideoFromFile,
        title: str,
        text: str,
        film: tuple[Shot, ...] = (),
        transition: Transition | Literal["film's join"] = "film's join",
        pause_after: float = -1.0,
        music: bool = True,
        translations: str = "",
        words: WordTimes | None = None,
        chapter: bool = True,
    ) -> io.NodeOutput:
        """Returns the film with one more shot."""
        follows = None if transition == "film's join" else transition
        pause = pause_after if pause_after >= 0 else None
        times = words.words if words else ()
        path, texts = video_path(clip), _read(translations)
        # What is said in a clip of one's own has a text.
        is_ambient = not is_visible(text) and result_store.has_own_sound(
            cls.hidden.dynprompt, cls.hidden.unique_id
        )
        shot = Shot(path, title, text, follows, pause, music, texts, times, chapter, is_ambient)
        return io.NodeOutput((*film, shot))


def _further_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "transition",
            options=[_AS_FILM, "cut", "crossfade", "dip"],
            default=_AS_FILM,
            optional=True,
            tooltip="How the next scene follows: as set on the Film, or for this scene cut, crossfade or dip "
            "(through black).",
        ),
        io.Float.Input(
            "pause_after",
            default=-1.0,
            min=-1.0,
            max=10.0,
            step=0.1,
            optional=True,
            tooltip="Seconds until the next scene, in which the last frame is held and nobody speaks. -1: as "
            "set on the Film.",
        ),
        io.Boolean.Input(
            "music",
            default=True,
            optional=True,
            tooltip="Whether the music of the Film Sound plays in this scene.",
        ),
        io.String.Input(
            "translations",
            default="",
            multiline=True,
            optional=True,
            tooltip="The text in other languages, a line each, for further captions: de: Guten Tag.",
        ),
        WordTimesType.Input(
            "words",
            optional=True,
            tooltip="From a Word Times: when each word of the text is said. Without it, the words are timed "
            "by the loudness of the voice.",
        ),
        io.Boolean.Input(
            "chapter",
            default=True,
            optional=True,
            tooltip="Whether a chapter begins here. If not, this scene belongs to the chapter of the scene "
            "before; the first scene always begins one.",
        ),
    ]


def _read(translations: str) -> tuple[tuple[str, str], ...]:
    """Texts by language tag from lines such as `de: Guten Tag`."""
    found: dict[str, str] = {}
    for line in filter(str.strip, translations.splitlines()):
        tag, colon, text = line.partition(":")
        if not colon or not re.fullmatch(LANGUAGE, tag.strip()):
            raise ValueError(
                f"translations: {line.strip()[:60]!r} does not start with a language: write a line for "
                "each, such as `de: Guten Tag`."
            )
        if tag.strip() in found:
            raise ValueError(
                f"translations: {tag.strip()!r} is given twice: write all of a language's text in one line."
            )
        found[tag.strip()] = text.strip()
    return tuple(found.items())
