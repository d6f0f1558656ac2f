"""The settings of a story as values on the nodes of a workflow, where it has them.

A workflow that an artist has changed stays as it is then: only values differ. What cannot be set so, another
profile or LoRA, takes another graph. The reverse of `read_settings.py`. Pure functions over plain data.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

from .check_graph import retake_seed
from .classes import SEEDS
from .clip_graph import clip_values, recipe_of
from .graph import build
from .keys import PRIMITIVES, RETAKES, Node
from .plan import Plan
from .problems import Problems
from .read_characters import sheet_key
from .read_graph import read_graph
from .recipes import Nodes, Recipe, is_link, load_profile, profile_names
from .results import RETAKE, Kind
from .scene import Scene
from .scene_prompt import NODE as SCENE_PROMPT
from .scene_prompt import escaped
from .scenes import CanvasScene, Workflow, is_not_still, own_inputs, read_scenes, sheets_in
from .still_graph import sheet_values, still_recipe, still_values
from .story_data import data_of

Setting = Literal["still_steps", "clip_steps", "still_negative", "clip_negative", "style", "size", "seed"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)
"""What stands on nodes, by the names of the panel's form; `size` is that of clips, which stills follow."""
_SECTIONS = ("profile", "style", "seed", "image_settings", "video_settings", "quality")
_ENCODER = "CLIPTextEncode"
"""Interprets parentheses as weights."""
_MAX_DEPTH = 6


class Value(NamedTuple):
    """An input, by the id of its node and its name, and its value."""

    id: str
    input: str
    value: Any


class _End(NamedTuple):
    """A Still, Clip or Retake.

    Attributes:
        id: its node.
        recipe: what makes it in the changed story.
        values: the parameters that its recipe is given there.
        seed: the one that the workflow has been read with.
    """

    id: str
    recipe: Recipe
    values: dict[str, Any]
    seed: float | None

    def wanted(self, name: str) -> Any:
        """A parameter's value, of the story or else of the recipe; None if neither has one."""
        node = self.recipe.nodes.get(self.recipe.parameters.get(name, ""), {"inputs": {}})
        return self.values.get(name, next(iter(node["inputs"].values()), None))


class _Elsewhere(Exception):
    """A setting does not stand on nodes of this workflow, or something else has its value from there too."""


def values_of(nodes: Nodes, plan: Plan, settings: Collection[Setting]) -> list[Value] | None:
    """The values to set in a workflow, so that it makes what a story with other settings says.

    Args:
        nodes: the workflow, from which the story was read.
        plan: the story with the changed settings; its scenes are those of the workflow, in their order.
        settings: those that are changed.

    Returns:
        The values that differ; None if the workflow does not have each of the settings in each scene, or
        would not be read as the changed story.

    Raises:
        Problems: the workflow is too large.
    """
    workflow = Workflow(nodes)
    try:
        setting = _Setting(workflow, plan)
        for name in settings:
            setting.set(name)
        setting.check_links()
    except _Elsewhere:
        return None
    values = [
        Value(*place, value)
        for place, value in setting.values.items()
        if nodes[place[0]]["inputs"][place[1]] != value
    ]
    return values if _is_read_so(nodes, with_values(nodes, values), plan, "seed" in settings) else None


def with_values(nodes: Nodes, values: Sequence[Value]) -> Nodes:
    """A workflow with these values."""
    changed = copy.deepcopy(nodes)
    for value in values:
        changed[value.id]["inputs"][value.input] = value.value
    return changed


def _is_read_so(before: Nodes, after: Nodes, plan: Plan, has_other_seeds: bool) -> bool:
    """Whether a changed workflow is read with the settings of the plan's story, and otherwise as before."""
    try:
        old, new, built = (read_graph(one).data for one in (before, after, build([plan]).nodes))
    except Problems:
        return False
    for data in (old, new) if has_other_seeds else ():
        data["scenes"] = [scene | {"seed": 0} for scene in data["scenes"]]
    others = (old.keys() | new.keys()) - set(_SECTIONS)
    given = data_of(plan.story, {})
    if any(new.get(name) != old.get(name) for name in others):
        return False
    return all(_is_one_of(*(data.get(name, {}) for data in (new, built, given))) for name in _SECTIONS)


def _is_one_of(new: Any, built: Any, given: Any) -> bool:
    """Whether a section, and each value in it, is that of the graph that the story makes, or as it is
    written: an author's nodes may have a value for which the story's recipes have no place."""
    if not all(isinstance(one, dict) for one in (new, built, given)):
        return new in (built, given)
    return all(new.get(name) in (built.get(name), given.get(name)) for name in new.keys() | built.keys())


class _Setting:
    """Settings as they are set.

    Attributes:
        values: what is set, by the input: the id of its node and its name.
    """

    def __init__(self, workflow: Workflow, plan: Plan):
        self.workflow, self.nodes, self.plan = workflow, workflow.nodes, plan
        self.values: dict[tuple[str, str], Any] = {}
        self._links: set[tuple[str, str]] = set()
        self._passed: set[str] = set()
        scenes = read_scenes(workflow)
        if len(scenes) != len(plan.story.scenes):
            raise _Elsewhere
        pairs = list(zip(scenes, plan.story.scenes, strict=True))
        self._stills = [*self._ends_of_stills(pairs)]
        self._clips = [*self._ends_of_clips(pairs)]

    def set(self, name: Setting) -> None:
        """Sets a setting in each scene. Raises _Elsewhere: it does not stand there."""
        part, _, kind = name.rpartition("_")
        stills = [] if part == "clip" else self._stills
        clips = [] if part == "still" or kind == "style" else self._clips
        act = {
            "steps": self._set_steps,
            "negative": self._set_negative,
            "style": self._set_style,
            "size": self._set_size,
            "seed": self._set_seed,
        }[kind]
        if not sum([act(end) for end in (*stills, *clips)]):
            raise _Elsewhere

    def check_links(self) -> None:
        """Raises _Elsewhere: something else has its value from a node whose value is set."""
        for node_id, node in self.nodes.items():
            for name, value in node["inputs"].items():
                if is_link(value) and value[0] in self._passed and (node_id, name) not in self._links:
                    raise _Elsewhere

    def _ends_of_stills(self, pairs: list[tuple[CanvasScene, Scene]]) -> Iterator[_End]:
        plan = self.plan
        drawn = {
            found.still: _End(
                found.still, still_recipe(plan, scene), still_values(plan, scene), self._seed_of(found)
            )
            for found, scene in pairs
            if found.still and not scene.image and scene.kind_of != "clip"
        }
        yield from drawn.values()
        for sheet in sorted(sheets_in(self.workflow).difference(drawn)):
            key = sheet_key(self.workflow, sheet, plan.story.project_id)
            if key not in plan.story.characters:
                raise _Elsewhere
            seed = self._seed_of(CanvasScene(sheet, None, "", ""))
            yield _End(sheet, plan.profile.still, sheet_values(plan, key), seed)

    def _ends_of_clips(self, pairs: list[tuple[CanvasScene, Scene]]) -> Iterator[_End]:
        checks = {
            self.workflow.nearest(self.nodes[check]["inputs"].get("clip"), Kind.CLIP.node): check
            for check in self.workflow.of_class(Kind.CHECK.node)
        }
        for found, scene in pairs:
            recipe = recipe_of(self.plan, scene)
            if not found.clip or recipe is None:
                continue
            values, seed = clip_values(self.plan, scene), self._seed_of(found)
            yield _End(found.clip, recipe, values, seed)
            inputs = self.nodes[checks[found.clip]]["inputs"] if found.clip in checks else {}
            for number, name in enumerate(RETAKES, 1):
                if retake := self.workflow.nearest(inputs.get(name), RETAKE):
                    before = None if seed is None else retake_seed(int(seed), number)
                    yield _End(retake, recipe, values | {"seed": retake_seed(values["seed"], number)}, before)

    def _seed_of(self, scene: CanvasScene) -> float | None:
        """The seed that a scene is read with."""
        for end in (scene.clip, scene.still):
            seed = self.workflow.number(self.workflow.inputs_above(end, "seed").get("seed"))
            if seed is not None:
                return seed
        return None

    def _makers(self, end: _End, *names: str, parameter: str = "") -> list[str]:
        """The nodes that make a result: the nearest with these inputs, and those of its class.

        Raises _Elsewhere: there are none, but the recipe has such a parameter.
        """
        found = [
            node_id
            for node_id, node in self.workflow.upstream(end.id, through=is_not_still)
            if all(name in node["inputs"] for name in names)
        ]
        if not found and parameter in end.recipe.parameters:
            raise _Elsewhere
        return [one for one in found if self._class(one) == self._class(found[0])]

    def _alike(self, makers: list[str], *names: str) -> list[str]:
        """Those of the makers that have the same values as the nearest: an artist may have given others to a
        further one, which stay."""

        def values(maker: str) -> list[Any]:
            inputs = self.nodes[maker]["inputs"]
            return [self.workflow.constant(inputs[name]) for name in names]

        return [maker for maker in makers if values(maker) == values(makers[0])]

    def _class(self, node_id: str) -> str:
        return self.nodes[node_id]["class_type"]

    def _set_steps(self, end: _End) -> bool:
        makers = self._makers(end, "steps", parameter="steps")
        for maker in self._alike(makers, "steps"):
            preset = self.workflow.constant(self.nodes[maker]["inputs"].get("preset"))
            if preset in profile_names():
                # It overrules the node's own steps and guidance.
                self._put(maker, "preset", "custom")
                self._put(maker, "cfg", load_profile(str(preset)).clip_settings.get("cfg"))
            self._put(maker, "steps", end.wanted("steps"))
        return bool(makers)

    def _set_size(self, end: _End) -> bool:
        is_clip = self._class(end.id) != Kind.STILL.node
        # A still may be made from another image, and have its size.
        makers = self._makers(end, "width", "height", parameter="width" if is_clip else "")
        for maker in self._alike(makers, "width", "height"):
            for side in ("width", "height"):
                self._put(maker, side, end.wanted(side))
        return bool(makers)

    def _set_seed(self, end: _End) -> bool:
        name = next((name for name in SEEDS if self._makers(end, name)), "seed")
        makers = self._makers(end, name, parameter="seed")
        for maker in makers:
            before = self.workflow.number(self.nodes[maker]["inputs"][name])
            if before is None or end.seed is None:
                raise _Elsewhere
            # The segments of a long clip count on; any other seed was given by an artist, and stays.
            if 0 <= before - end.seed < len(makers):
                self._put(maker, name, end.wanted("seed") + int(before - end.seed))
        return bool(makers)

    def _set_negative(self, end: _End) -> bool:
        makers = self._makers(end, "negative", parameter="negative_prompt")
        for maker in makers:
            link = self.nodes[maker]["inputs"]["negative"]
            encoder = self.workflow.find(link[0], _ends_prompt, skip=("positive",)) if is_link(link) else None
            name = encoder and _text_input(self.nodes[encoder])
            if not encoder or not name:
                raise _Elsewhere
            self._put(encoder, name, end.wanted("negative_prompt"), self._class(encoder) == _ENCODER)
        return bool(makers)

    def _set_style(self, end: _End) -> bool:
        if "prompt" not in end.recipe.parameters:
            return False
        style = self.plan.story.style
        prompt = self.workflow.find(end.id, _has_style, through=is_not_still)
        # Characters in a style are in each still, and change its seed.
        if prompt is None or "{" in style:
            raise _Elsewhere
        self._put(prompt, "style", style)
        return True

    def _put(self, node_id: str, name: str, value: Any, escapes: bool = False) -> None:
        """Sets the value of an input, on the node that it comes from."""
        for _ in range(_MAX_DEPTH):
            linked = self.nodes[node_id]["inputs"].get(name)
            if not is_link(linked):
                break
            source = self.nodes.get(linked[0])
            if source is None:
                raise _Elsewhere
            self._links.add((node_id, name))
            self._passed.add(linked[0])
            node_id, inputs = linked[0], own_inputs(source["inputs"])
            if source["class_type"] == SCENE_PROMPT and not is_link(inputs.get("style")):
                name, escapes = "prompt", escapes and bool(inputs.get("weights"))
            elif source["class_type"] in PRIMITIVES or len(inputs) == 1:
                name = "value" if source["class_type"] in PRIMITIVES else next(iter(inputs))
            else:
                raise _Elsewhere
        else:
            raise _Elsewhere
        value = escaped(value) if escapes and isinstance(value, str) else value
        if linked is None or value is None or self.values.setdefault((node_id, name), value) != value:
            raise _Elsewhere


def _ends_prompt(node: Node) -> bool:
    return _text_input(node) is not None or node["class_type"] == "ConditioningZeroOut"


def _text_input(node: Node) -> str | None:
    """The input for a text that becomes a conditioning."""
    if "text" in node["inputs"]:
        return "text"
    return "prompt" if {"prompt", "clip"} <= node["inputs"].keys() else None


def _has_style(node: Node) -> bool:
    return node["class_type"] == SCENE_PROMPT and is_link(node["inputs"].get("style"))
