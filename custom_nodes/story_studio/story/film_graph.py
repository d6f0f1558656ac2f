"""The film in a graph: what is done to finished clips."""

from __future__ import annotations

from .api_graph import Graph, Owner, SceneId
from .plan import Plan
from .recipes import Link
from .schema import Scene


def add_film(graph: Graph, number: int, plan: Plan, after: Link | None) -> None:
    """Adds the film of a story whose clips are in the graph; none if a clip is missing that it needs.

    Args:
        graph: to add to.
        number: of the story.
        plan: the story.
        after: the last clip of all stories.
    """
    film: Link | None = None
    for scene in plan.story.scenes:
        scene_id = SceneId(number, scene.id)
        if scene_id in graph.clips:
            film = _add_scene(graph, scene_id, scene, film)
    settings = plan.story.film
    complete = all(SceneId(number, scene.id) in graph.clips for scene in plan.story.scenes)
    if settings is None or film is None or not (complete or settings.partial):
        return
    end = graph.add(
        Owner("film", None),
        "film",
        "StoryStudio_Film",
        film=film,
        join=settings.join,
        crossfade_seconds=settings.crossfade_seconds,
        chapters=settings.chapters,
        captions=settings.captions,
        title=plan.story.title,
        name=plan.story.project_id,
        width=plan.story.video_settings.size[0],
        height=plan.story.video_settings.size[1],
    )
    graph.films[number] = end.node


def _add_scene(graph: Graph, scene_id: SceneId, scene: Scene, film: Link | None) -> Link:
    return graph.add(
        Owner("film", scene_id),
        "film scene",
        "StoryStudio_FilmScene",
        film=film,
        clip=Link(graph.clips[scene_id]),
        title=scene.title or scene.id,
        text=scene.text,
        translations="\n".join(
            f"{language}: {' '.join(text.split())}" for language, text in scene.translations.items()
        )
        or None,
        transition=scene.transition,
        pause_after=scene.pause_after,
        music=None if scene.music else False,
    )
