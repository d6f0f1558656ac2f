"""The film in a graph: what is done to finished clips."""

from __future__ import annotations

from collections.abc import Iterable

from .api_graph import Graph, Owner, SceneId
from .classes import FILM_SCENE, LOAD_AUDIO
from .film_settings import LOUDNESS, FilmSettings, Music
from .formats import AS_RENDERED
from .masters import Mastering, add_master
from .plan import Plan, film_setting
from .recipes import Link
from .schema import Scene, Story
from .word_times import WORD_TIMES, encoder_of

_FILM = Owner("film", None)


def add_film(graph: Graph, number: int, plan: Plan) -> None:
    """Adds the film of the story of this number, whose clips are in the graph; none if it lacks a clip."""
    film: Link | None = None
    mastering = mastering_of(plan)
    for scene in plan.story.scenes:
        scene_id = SceneId(number, scene.id)
        if scene_id in graph.clips:
            if mastering.is_needed():
                clip, name = graph.chosen_clip(scene_id), f"{plan.story.project_id}_{scene.id}"
                master = add_master(graph, Owner("film", scene_id), clip, mastering, name)
                graph.masters[scene_id] = master.node
            film = _add_scene(graph, scene_id, plan, scene, film)
    settings = plan.story.film
    complete = all(SceneId(number, scene.id) in graph.clips for scene in plan.story.scenes)
    if settings is None or film is None or not (complete or settings.partial):
        return
    end = graph.add(
        _FILM,
        "film",
        "StoryStudio_Film",
        film=film,
        join=settings.join,
        crossfade_seconds=settings.crossfade_seconds,
        chapters=settings.chapters,
        captions=settings.captions,
        title=plan.story.title,
        name=plan.story.project_id,
        width=plan.story.frame_size[0],
        height=plan.story.frame_size[1],
        delivery=_delivery(graph, settings),
        sound=_sound(graph, settings, plan.music, (scene.pause_after for scene in plan.story.scenes)),
        burned_captions=_burned_captions(graph, settings),
        cards=_cards(graph, settings, plan.story),
        language=plan.story.language,
        pause_after=settings.pause_after or None,
    )
    graph.films[number] = end.node


def mastering_of(plan: Plan) -> Mastering:
    """What the masters of a story are made with; nothing without a film."""
    film, profile = plan.story.film, plan.profile
    if film is None:
        return Mastering()
    width, height = film.size or (0, 0)
    return Mastering(
        width,
        height,
        film.fps,
        profile.interpolation or film_setting(plan.story, profile, "interpolation"),
        profile.upscale,
        film_setting(plan.story, profile, "match_color"),
    )


def _add_scene(graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene, film: Link | None) -> Link:
    translations = (f"{language}: {' '.join(text.split())}" for language, text in scene.translations.items())
    return graph.add(
        Owner("film", scene_id),
        "film scene",
        FILM_SCENE,
        film=film,
        clip=Link(graph.masters[scene_id]) if scene_id in graph.masters else graph.chosen_clip(scene_id),
        title=scene.title or scene.id,
        text=scene.text,
        transition=scene.transition,
        pause_after=scene.pause_after,
        music=None if scene.music else False,
        translations="\n".join(translations) or None,
        chapter=False if scene.continues else None,
        words=_words(graph, scene_id, plan, scene),
    )


def _words(graph: Graph, scene_id: SceneId, plan: Plan, scene: Scene) -> Link | None:
    """When the words of a scene are said, found with the audio encoder that its clip needs anyway.

    None without captions, or in a draft: without an encoder the film estimates it.
    """
    film = plan.story.film
    file, encoder = plan.files[scene.id].audio, encoder_of(graph.nodes, graph.clips[scene_id])
    wanted = film is not None and (film.captions or film.burned_captions)
    if not (wanted and scene.text and file and encoder):
        return None
    owner = Owner("film", scene_id)
    audio = graph.add(owner, "audio", LOAD_AUDIO, audio=file)
    return graph.add(
        owner,
        "word times",
        WORD_TIMES,
        audio=audio,
        text=scene.text,
        audio_encoder=encoder,
        after=Link(graph.clips[scene_id]),
    )


def _delivery(graph: Graph, film: FilmSettings) -> Link | None:
    if (film.size, film.fps, film.fit, film.codec) == (None, None, "letterbox", "h264"):
        return None
    return graph.add(
        _FILM,
        "delivery",
        "StoryStudio_FilmDelivery",
        format=film.format,
        width=film.width or 0,
        height=film.height or 0,
        fps=str(film.fps or AS_RENDERED),
        fit=film.fit,
        codec=film.codec,
    )


def _sound(graph: Graph, film: FilmSettings, file: str | None, pauses: Iterable[float | None]) -> Link | None:
    has_gaps = any((film.pause_after, film.credits, film.opening is not None, *pauses))
    if not (film.loudness or film.music or (film.room_tone and has_gaps)):
        return None
    music = film.music or Music(file="-")
    return graph.add(
        _FILM,
        "sound",
        "StoryStudio_FilmSound",
        normalize=film.loudness is not False,
        loudness=film.loudness or LOUDNESS,
        room_tone=film.room_tone,
        music=graph.add(_FILM, "music", LOAD_AUDIO, audio=file) if film.music and file else None,
        music_level=music.level,
        music_fade=music.fade_seconds,
        duck=music.duck,
    )


def _burned_captions(graph: Graph, film: FilmSettings) -> Link | None:
    captions = film.burned_captions
    if captions is None:
        return None
    return graph.add(
        _FILM,
        "burned captions",
        "StoryStudio_BurnedCaptions",
        style=captions.style,
        font=captions.font,
        size=captions.size,
        position=captions.position,
        language=captions.language or "",
    )


def _cards(graph: Graph, film: FilmSettings, story: Story) -> Link | None:
    if film.opening is None and not film.credits and not film.fade_seconds:
        return None
    return graph.add(
        _FILM,
        "cards",
        "StoryStudio_FilmCards",
        opening="" if film.opening is None else film.opening or story.title or story.project_id,
        credits=film.credits or "",
        card_seconds=film.card_seconds,
        fade_seconds=film.fade_seconds,
    )
