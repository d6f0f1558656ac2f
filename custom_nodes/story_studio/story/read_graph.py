"""A story read from an API workflow: the reverse of `graph.py`, also for workflows that an artist changed.

Pure functions over plain data: no file is read and nothing is sent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import graph
from .characters import with_names
from .classes import FILM_SCENE, LOAD_AUDIO, LOAD_IMAGE, STORYBOARD
from .keys import Node
from .problems import Problem, Problems
from .read_characters import Cast, read_cast, split_style, with_mentions
from .read_film import film_settings, has_own_frames, scene_settings
from .read_kinds import Maker, maker_of, narrated_workflow, scene_kind
from .read_settings import image_settings, nearest_profile, quality, video_settings
from .recipes import Nodes, Profile, is_link, load_profile, load_recipe
from .results import STORE, Kind
from .scene import DEFAULT_MOTION
from .scenes import CanvasScene, Workflow, is_not_still, read_scenes, sheets_in, source_of
from .schema import DEFAULT_VIDEO_PROMPT, ID_PATTERN, MAX_SEED, Scene, Story, parse
from .unfinished import left_to_do, to_be_filled_in

Inputs = dict[str, Any]


class StoryFile(NamedTuple):
    """What a workflow says, as a story file.

    Attributes:
        data: the story file's data, without what the profile or a default gives. Audio files and images have
            their names in ComfyUI's input folder.
        losses: sentences about what of the workflow has no place in a story.
        faults: sentences about what is wrong in the story, so that it cannot be opened.
        advice: sentences about what is missing in the story, as for one that is read from a file.
    """

    data: dict[str, Any]
    losses: list[str]
    faults: list[str]
    advice: list[str]

    @property
    def warnings(self) -> list[str]:
        return self.losses + self.faults + self.advice


class _SceneInputs(NamedTuple):
    """A scene's nodes, and what is read from them in several places.

    Attributes:
        scene: its nodes.
        id: its id in the story.
        image: the name of its own image; None if its still is generated.
        drawn: the whole prompt of its still, with the style; empty if there is none.
        still, clip, video, film, panel: the inputs of its Still, its Clip, the node that makes its video, its
            Film Scene and its Storyboard; empty without such a node.
        maker: what makes its clip.
    """

    scene: CanvasScene
    id: str
    image: str | None
    drawn: str
    still: Inputs
    clip: Inputs
    video: Inputs
    film: Inputs
    panel: Inputs
    maker: Maker


def read_graph(nodes: Nodes) -> StoryFile:
    """The story of a workflow. What scenes have in common is read from the first scene that has it.

    Raises:
        Problems: the workflow has no scenes, or is too large.
    """
    workflow = Workflow(nodes)
    film, sheet = (
        nodes[found[0]]["inputs"] if (found := workflow.of_class(kind.node)) else None
        for kind in (Kind.FILM, Kind.SHEET)
    )
    project = _project_of(workflow, film, sheet)
    scenes = _scene_inputs(workflow, project)
    if not scenes:
        raise Problems([Problem("", "The workflow has no Still and no Clip, so it has no scenes to save.")])
    made = [one for one in scenes if one.maker.own is None]
    stills = [one.scene.still for one in made if one.scene.still and not one.image]
    cast = read_cast(workflow, project, stills)
    scenes = _with_mentions(scenes, cast)
    drawn = next(iter(_drawn_by_profile(workflow, stills)), None)
    talking = [one for one in made if one.video and not one.maker.is_moving]
    video = next((one.video for one in (*talking, *made) if one.video), {})
    name, is_exact = nearest_profile(
        workflow,
        [
            *(["still"] if drawn else []),
            *(["clip"] if any(one.scene.clip and not one.maker.is_moving for one in scenes) else []),
        ],
    )
    profile = load_profile(name)
    style, prompts = _style_and_prompts(workflow, scenes)
    people = Story.model_construct(seed=0, characters=cast.known, style=style)
    seeds = [_Seeds.of(workflow, one, prompt, people) for one, prompt in zip(scenes, prompts, strict=True)]
    seed = _shared_seed(seeds)
    of_video = video_settings(workflow, profile, video)
    if own := narrated_workflow([one.maker for one in made], profile):
        of_video["narrated_workflow"] = own
    data: dict[str, Any] = {
        "project_id": project,
        "title": _title(workflow, project, film, sheet),
        "profile": name,
        "style": style,
        "seed": seed,
        "characters": cast.characters,
        "image_settings": image_settings(workflow, profile, drawn, of_video.get("resolution"))
        | {name: value for name, value in _of_cast(cast).items() if value},
        "video_settings": of_video,
        "quality": quality(workflow, any(one.maker.is_checked for one in made)),
    }
    data = {name: value for name, value in data.items() if value not in ("", 0, {})}
    if (of_film := film_settings(workflow, film, data.get("title") or project, profile)) != {}:
        data["film"] = of_film
    data["scenes"] = [
        _scene(workflow, profile, *one, seed) for one in zip(scenes, prompts, seeds, strict=True)
    ]
    losses = [*cast.warnings, *_of_films(workflow), *_losses(name, is_exact, has_own_frames(workflow))]
    # A scene whose recording is yet to be chosen has a LoadAudio.
    if lost := [one.id for one in scenes if _has_foreign_voice(workflow, one)]:
        losses.append(f"Voices that other nodes make have no place in a story: {', '.join(lost)}.")
    unfinished = [*left_to_do(data["scenes"])]
    try:
        return StoryFile(data, losses, [], [*unfinished, *_advice(parse(data), profile)])
    except Problems as error:
        return StoryFile(data, losses, [str(problem) for problem in error.problems], unfinished)


def _of_cast(cast: Cast) -> dict[str, Any]:
    return {"loras": cast.loras, "reference_workflow": cast.reference_workflow}


def _drawn_by_profile(workflow: Workflow, stills: list[str]) -> list[str]:
    """The Stills that are made without references; character sheets if there are no others."""
    sheets = sheets_in(workflow)

    def is_reference(node_id: str) -> bool:
        return node_id in sheets or workflow.nodes[node_id]["class_type"] == LOAD_IMAGE

    def has_reference(still: str) -> bool:
        above = workflow.upstream(still, through=is_not_still)
        return any(node_id != still and is_reference(node_id) for node_id, _ in above)

    without = [still for still in stills if not has_reference(still)]
    return without or sorted(sheets.difference(stills)) or stills


def _with_mentions(scenes: list[_SceneInputs], cast: Cast) -> list[_SceneInputs]:
    """The scenes with names in braces in the prompts that describe a character."""
    people, found = cast.known, []
    for one in scenes:
        drawn = with_mentions(one.drawn, people)
        # The box of a scene has one prompt for its still and for the storyboard, with descriptions.
        prompt = split_style(drawn, with_names(with_mentions(one.scene.prompt, people), people), people)
        if prompt is not None:
            one.scene.prompt = prompt
            one = one._replace(drawn=drawn)
        found.append(one)
    return found


def _of_films(workflow: Workflow) -> Iterator[str]:
    films = [
        workflow.text(workflow.nodes[film]["inputs"].get("name"))
        for film in workflow.of_class(Kind.FILM.node)
    ]
    if len(films) > 1:
        yield (
            f"The workflow has {len(films)} films, and a story has one: the settings of {films[0]!r} are in "
            "the story file, and not those of the others."
        )


def _losses(profile: str, is_exact: bool, has_own_frames: bool) -> Iterator[str]:
    if not is_exact:
        yield (
            "No profile has exactly the nodes, models and settings of this workflow: the story file names "
            f"the nearest, {profile!r}, and what is rendered from it will look different."
        )
    if has_own_frames:
        yield (
            "The nodes between Clip Frames and Master are not in the story file: export them as a frames "
            "recipe, and name its file in `film.interpolation` or `film.upscale`."
        )


def _advice(story: Story, profile: Profile) -> list[str]:
    if shipped := story.image_settings.reference_workflow:
        profile = profile._replace(reference=load_recipe(Path(shipped), "still"))
    if shipped := story.video_settings.narrated_workflow:
        profile = profile._replace(narrated=load_recipe(Path(shipped), "clip"), narrated_settings={})
    return graph.warnings(graph.Plan(story, profile, {}))


_UNNAMED = ("film", "storyboard")
"""What a Film and a Contact Sheet are called by themselves."""


def _project_of(workflow: Workflow, film: Inputs | None, sheet: Inputs | None) -> str:
    names = [workflow.text(end.get("name")) if end else "" for end in (film, sheet)]
    fitting = [name for name in names if re.fullmatch(ID_PATTERN, name) and name.lower() != STORE]
    named = [name for name in fitting if name not in _UNNAMED]
    return next(iter([*named, *fitting]), "story")


def _title(workflow: Workflow, project: str, film: Inputs | None, sheet: Inputs | None) -> str:
    """The title of the film or the contact sheet, which shows the project's id if the story has no title."""
    title, heading = (workflow.text(end.get("title")) if end else "" for end in (film, sheet))
    return title or (heading if heading != project else "")


def _scene_inputs(workflow: Workflow, project: str) -> list[_SceneInputs]:
    def inputs(node_id: str | None) -> Inputs:
        return workflow.nodes[node_id]["inputs"] if node_id is not None else {}

    films: dict[str | None, Inputs] = {}
    for node_id in workflow.of_class(FILM_SCENE):
        films.setdefault(workflow.nearest(inputs(node_id).get("clip"), Kind.CLIP.node), inputs(node_id))
    panels: dict[str | None, Inputs] = {}
    for node_id in workflow.of_class(STORYBOARD):
        panels.setdefault(source_of(inputs(node_id).get("still")), inputs(node_id))
    scenes = read_scenes(workflow)
    return [
        _SceneInputs(
            scene,
            scene_id,
            _own_image(workflow, inputs(scene.still).get("image")),
            workflow.prompt(workflow.inputs_above(scene.still, "positive").get("positive")) or "",
            inputs(scene.still),
            inputs(scene.clip),
            _video_inputs(workflow, scene.clip),
            films.get(scene.clip, {}) if scene.clip else {},
            panels.get(scene.still, {}) if scene.still else {},
            maker_of(workflow, scene.clip),
        )
        for scene, scene_id in zip(scenes, _ids(workflow, scenes, project), strict=True)
    ]


def _video_inputs(workflow: Workflow, clip: str | None) -> Inputs:
    """The inputs of the node that makes a video; a voice-over is laid below what others make."""
    inputs = workflow.inputs_above(clip, "audio")
    if "video" in inputs:
        return workflow.inputs_above(clip, "width", "height") | workflow.inputs_above(clip, "positive")
    return inputs


def _own_image(workflow: Workflow, value: Any) -> str | None:
    source = workflow.nodes.get(source_of(value) or "")
    if source is None or source["class_type"] != LOAD_IMAGE:
        return None
    name = workflow.constant(source["inputs"].get("image"))
    return name if isinstance(name, str) else None


def _ids(workflow: Workflow, scenes: list[CanvasScene], project: str) -> list[str]:
    """An id for each scene: from the name of its file, or a number if that is not an id or is taken."""
    taken: set[str] = set()
    ids = []
    for number, scene in enumerate(scenes, start=1):
        name = workflow.text(workflow.nodes[scene.end]["inputs"].get("name")).removeprefix(f"{project}_")
        while not re.fullmatch(ID_PATTERN, name) or name.lower() in taken:
            name = f"scene_{number}"
            number += len(scenes)
        taken.add(name.lower())
        ids.append(name)
    return ids


def _style_and_prompts(workflow: Workflow, scenes: list[_SceneInputs]) -> tuple[str, list[str]]:
    """The style that all stills have in common, and each scene's prompt without it."""
    # A scene with its own image may have no other text near it than its clip's.
    prompts = [workflow.text(one.panel.get("prompt")) if one.image else one.scene.prompt for one in scenes]
    styles = [
        _style_of(one.drawn, prompt) if one.drawn else None
        for one, prompt in zip(scenes, prompts, strict=True)
    ]
    common = {style for one, style in zip(scenes, styles, strict=True) if one.drawn}
    if len(common) == 1 and (style := common.pop()) is not None:
        return style, prompts
    return "", [
        one.drawn if one.drawn and style != "" else prompt
        for one, prompt, style in zip(scenes, prompts, styles, strict=True)
    ]


def _style_of(drawn: str, prompt: str) -> str | None:
    """The style that `Story.prompt_of` joined to a prompt; None if it did not make this of it."""
    start = prompt.rstrip(". ,")
    if not start or drawn == start:
        return drawn.removeprefix(start)
    return drawn.removeprefix(f"{start}, ") if drawn.startswith(f"{start}, ") else None


class _Seeds(NamedTuple):
    """The seeds of a scene's still and clip, and the seed that `Story.seed_of` adds to the story's."""

    still: float | None
    clip: float | None
    offset: int

    @classmethod
    def of(cls, workflow: Workflow, one: _SceneInputs, prompt: str, people: Story) -> _Seeds:
        still, clip = (
            workflow.number(workflow.inputs_above(end, "seed").get("seed"))
            for end in (one.scene.still, one.scene.clip)
        )
        scene = Scene.model_construct(id=one.id, seed=None, prompt=prompt)
        return cls(still, clip, people.seed_of(scene))

    @property
    def seed(self) -> float | None:
        return self.clip if self.clip is not None else self.still


def _shared_seed(seeds: list[_Seeds]) -> int:
    """The seed of the story that at least two scenes have their seeds from; without one 0, the default."""
    counted = Counter(
        (one.seed - one.offset) & MAX_SEED
        for one in seeds
        if isinstance(one.seed, int) and 0 <= one.seed <= MAX_SEED
    )
    return next((seed for seed, count in counted.most_common(1) if count > 1), 0)


def _scene(
    workflow: Workflow,
    profile: Profile,
    one: _SceneInputs,
    prompt: str,
    seeds: _Seeds,
    story_seed: int,
) -> dict[str, Any]:
    has_voice = one.maker.silence is None
    voice = _voice_of(workflow, one) if has_voice else None
    audio = workflow.constant(workflow.nodes[voice]["inputs"].get("audio")) if voice is not None else None
    texts = {
        "title": _scene_title(workflow, one),
        "prompt": prompt,
        "audio": audio,
        "image": one.image,
        "text": workflow.text(one.film.get("text")),
        "still_take": workflow.text(one.still.get("take")),
        "clip_take": workflow.text(one.clip.get("take")),
    }
    data = {"id": one.id} | {name: text for name, text in texts.items() if text not in (None, "")}
    data |= scene_kind(workflow, one.maker, profile) | scene_settings(workflow, one.film)
    video_prompt = workflow.prompt(one.video.get("positive"))
    default = DEFAULT_MOTION if {"kind", "seconds"} & data.keys() else DEFAULT_VIDEO_PROMPT
    if video_prompt not in (None, default):
        data["video_prompt"] = video_prompt
    if seeds.seed not in (None, (story_seed + seeds.offset) & MAX_SEED):
        data["seed"] = seeds.seed
    return data | to_be_filled_in(data)


def _has_foreign_voice(workflow: Workflow, one: _SceneInputs) -> bool:
    """Whether the voice of a scene is neither a recording nor silence."""
    is_known = one.maker.own is not None or one.maker.silence is not None or _voice_of(workflow, one)
    return is_link(one.video.get("audio")) and not is_known


def _voice_of(workflow: Workflow, one: _SceneInputs) -> str | None:
    return workflow.find(one.scene.clip, _is_voice, through=is_not_still)


def _is_voice(node: Node) -> bool:
    return node["class_type"] == LOAD_AUDIO


def _scene_title(workflow: Workflow, one: _SceneInputs) -> str:
    """The scene's title; empty if it is its id, which is shown for scenes without a title."""
    title = workflow.text(one.film.get("title")) or one.scene.name
    heading = workflow.text(workflow.inputs_above(one.scene.still, "heading").get("heading"))
    # A title card shows the id with spaces, but a title as it is.
    is_title = title != one.id or heading == title != title.replace("_", " ")
    return title if is_title else ""
