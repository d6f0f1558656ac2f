"""Film: the clips of a story, in order, as one finished video."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comfy_api.latest import InputImpl, io

from ..core import execution
from ..media import film as assembly
from ..media.burned import CaptionStyle
from ..media.cards.film_cards import NO_CARDS, Cards
from ..media.cut import Transition
from ..media.delivery import AS_CLIPS, Delivery
from ..media.footage import Footage
from ..media.sound import Sound
from ..results import made_films, result_store
from ..runs import timing
from ..story.keys import hash_parts
from ..story.results import Kind
from .burned_captions import BurnedCaptionsType
from .common import CATEGORY, HIDDEN, name_input, progress_bar, result_ui, warn_on_running_node
from .film_cards import CardsType
from .film_delivery import DeliveryType
from .film_sound import SoundType

FilmType = io.Custom("STORY_STUDIO_FILM")


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
                    options=["cut", "crossfade", "dip"],
                    default="cut",
                    tooltip="How scenes are joined. A crossfade blends each clip with the held first or last "
                    "frame of its neighbour, a dip goes through black; no word is lost, and the film keeps "
                    "its length.",
                ),
                io.Float.Input(
                    "crossfade_seconds",
                    default=0.5,
                    min=0.1,
                    max=3.0,
                    step=0.1,
                    tooltip="Duration of a crossfade or dip; no effect with cuts only.",
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
                *_further_inputs(),
            ],
            outputs=[io.Video.Output(tooltip="The finished film, backed by its file.")],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        film: tuple[assembly.Shot, ...],
        join: Transition,
        crossfade_seconds: float,
        chapters: bool,
        captions: bool,
        title: str,
        name: str,
        width: int = 0,
        height: int = 0,
        delivery: Delivery = AS_CLIPS,
        cards: Cards = NO_CARDS,
        language: str = "",
        pause_after: float = 0.0,
        sound: Sound | None = None,
        burned_captions: CaptionStyle | None = None,
    ) -> io.NodeOutput:
        """Returns the film, backed by its file."""
        timing.begin(execution.prompt_id())
        settings = {"join": join, "chapters": chapters, "captions": captions, "title": title}
        transitions = {join, *(shot.transition or join for shot in film)}
        if transitions != {"cut"} or cards.shows_any:
            settings["crossfade_seconds"] = crossfade_seconds
        size = (width, height) if width and height else None
        language = language.strip()
        finish = assembly.Finish(delivery, cards, language, pause_after, sound, burned_captions)
        footage = assembly.footage_of(film)
        key = _key(film, footage, size, settings, finish)
        path = result_store.find(Kind.FILM, key)
        reused = path is not None
        warnings = [*_without_effect(film, captions, finish)]
        if path is None:
            path = result_store.place(Kind.FILM, name, key)
            hidden = cls.hidden
            tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
            media = {"size": size, "footage": footage, "metadata": tags, "finish": finish}
            warnings += assembly.assemble(film, path, **settings, **media, progress=progress_bar())
        _note_what_it_is_made_from(cls.hidden, key, assembly.needs_size(footage))
        if warnings:
            warn_on_running_node(" ".join(warnings))
        ui = result_ui(path, key, reused, animated=True, warnings=warnings)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui)


def _note_what_it_is_made_from(hidden: Any, key: str, needs_size: bool) -> None:
    """Lets the panel know this film for that of the graph, without rendering its clips."""
    workflow = (hidden.extra_pnginfo or {}).get("workflow")
    workflow_id = workflow.get("id") if isinstance(workflow, dict) else None
    try:
        made = made_films.made_from(hidden.dynprompt, hidden.unique_id, str(workflow_id or ""))
        made_films.note(key, made._replace(any_size="") if needs_size else made)
    except Exception as error:
        # The film is finished and is what counts. What the error says may hold prompts.
        reason = getattr(error, "strerror", None) or type(error).__name__
        logging.warning("It could not be noted what the film %s was made from: %s.", key, reason)


def _further_inputs() -> list[io.Input]:
    return [
        DeliveryType.Input(
            "delivery",
            optional=True,
            tooltip="From a Film Delivery: size, frame rate and codec. Without it, the film has those of "
            "its clips, and is H.264.",
        ),
        CardsType.Input(
            "cards", optional=True, tooltip="From a Film Cards: opening title, end credits and fades."
        ),
        SoundType.Input(
            "sound",
            optional=True,
            tooltip="From a Film Sound: loudness, room tone and music. Without it, the voices stay as they "
            "are.",
        ),
        BurnedCaptionsType.Input(
            "burned_captions",
            optional=True,
            tooltip="From a Burned Captions: draws captions into the frames, for players that show no "
            "others.",
        ),
        io.String.Input(
            "language",
            default="",
            optional=True,
            tooltip="The language of the scenes' texts, as a tag such as en or pt-BR, which players show "
            "with the captions.",
        ),
        io.Float.Input(
            "pause_after",
            default=0.0,
            min=0.0,
            max=10.0,
            step=0.1,
            optional=True,
            tooltip="Seconds between two scenes, in which the last frame is held and nobody speaks.",
        ),
    ]


def _key(
    film: Sequence[assembly.Shot],
    footage: Sequence[Footage],
    size: tuple[int, int] | None,
    settings: Mapping[str, Any],
    finish: assembly.Finish,
) -> str:
    """The key of the film, without what is at its default, so that films of earlier versions are found."""
    further = {
        "canvas": assembly.canvas_key(footage, size) if footage else "",
        "delivery": finish.delivery.parts(),
        "cards": finish.cards.parts(),
        "language": finish.language,
        "pause_after": finish.pause_after,
        "sound": finish.sound.parts() if finish.sound else None,
        "burned_captions": finish.burned.parts() if finish.burned else None,
    }
    shots = [[_file_hash(shot), shot.title, shot.text, *_further_parts(shot)] for shot in film]
    return hash_parts(json.dumps([{**settings, **_set(further)}, shots]))


def _further_parts(shot: assembly.Shot) -> list[dict[str, Any]]:
    further = {
        "transition": shot.transition,
        # A pause of 0 seconds is another setting than none, which is that of the film.
        "pause_after": None if shot.pause_after is None else [shot.pause_after],
        "no_music": not shot.music,
        "translations": shot.translations,
        "words": shot.words,
        "no_chapter": not shot.chapter,
        "is_ambient": shot.is_ambient,
    }
    return [parts] if (parts := _set(further)) else []


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _without_effect(film: Sequence[assembly.Shot], captions: bool, finish: assembly.Finish) -> Iterator[str]:
    """What is set and changes nothing in this film, or not what one expects."""
    burned = finish.burned
    if not captions and not burned and any(shot.translations for shot in film):
        yield "The scenes' translations are not used, because captions are off."
    if film and film[-1].transition and not finish.cards.credits:
        yield "The last scene's transition has no effect: nothing follows it."
    if (finish.sound is None or finish.sound.music is None) and not all(shot.music for shot in film):
        yield "Scenes without music make no difference: the film has none."
    if burned and burned.language not in ("", finish.language):
        missing = [shot.title or str(i) for i, shot in enumerate(film, 1) if not _has(shot, burned.language)]
        if missing:
            yield (
                f"No captions are burned in where there is no translation to {burned.language}: "
                f"{', '.join(missing)}."
            )


def _has(shot: assembly.Shot, language: str) -> bool:
    return not shot.text or any(tag == language and text for tag, text in shot.translations)


def _file_hash(shot: assembly.Shot) -> str:
    with shot.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
