"""The scenes of an API workflow, however its nodes are linked: for the panel, and for a story file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .classes import CHAINS, FILM_SCENE, SEEDS, STORYBOARD
from .clip_graph import VIDEO_FRAME
from .keys import ORDER, PRIMITIVES, Node
from .problems import Problem, Problems
from .recipes import Nodes, is_link
from .results import Kind
from .scene_prompt import NODE as SCENE_PROMPT
from .scene_prompt import joined

Part = Literal["still", "clip"]
_MAX_STEPS = 2_000_000
"""How much of a workflow is read before it is refused. A story of 500 scenes takes a tenth of it."""
_MAX_DEPTH = 6
"""How many nodes away from an input its text or number may be."""
_OF_INTERFACE = frozenset(
    ("audioUI", "upload", "video-preview", "preview_text", "preview_markdown", "preview_mode", "previewMode")
)
"""Widgets that an interface adds to nodes for what it shows there, and saves as if they were inputs; names of
others begin with `$$`."""


class Workflow:
    """An API workflow, searched against the direction of its links.

    Every method raises Problems once too much was read: the links of a hostile workflow can make a search
    take as long as they like.
    """

    def __init__(self, nodes: Nodes):
        self.nodes = nodes
        self._steps = 0

    def upstream(
        self,
        start: str,
        skip: Collection[str] = (),
        through: Callable[[Node], bool] = lambda node: True,
    ) -> Iterator[tuple[str, Node]]:
        """The nodes that a node is made from, itself first, then the nearest.

        Args:
            start: the node's id.
            skip: names of inputs that are not followed.
            through: whether the search continues above a node other than the first.
        """
        waiting = [start]
        seen = set()
        for node_id in waiting:
            node = self.nodes.get(node_id)
            if node is None or node_id in seen:
                continue
            seen.add(node_id)
            yield node_id, node
            if node_id != start and not through(node):
                continue
            self._count(1 + len(node["inputs"]))
            for name, value in node["inputs"].items():
                if name != ORDER and name not in skip and is_link(value):
                    waiting.append(value[0])

    def find(self, start: str | None, test: Callable[[Node], Any], **search: Any) -> str | None:
        """The first node `upstream` that passes a test."""
        found = self.upstream(start, **search) if start is not None else ()
        return next((node_id for node_id, node in found if test(node)), None)

    def nearest(self, value: Any, cls: str) -> str | None:
        """The nearest node of a class above an input with this value."""
        return self.find(value[0], lambda node: node["class_type"] == cls) if is_link(value) else None

    def inputs_above(self, node_id: str | None, *names: str) -> dict[str, Any]:
        """The inputs of the nearest node that has all of these, not looking above another still."""
        found = self.find(
            node_id, lambda node: all(name in node["inputs"] for name in names), through=is_not_still
        )
        return self.nodes[found]["inputs"] if found is not None else {}

    def of_class(self, cls: str) -> list[str]:
        """The ids of the nodes of a class."""
        return [node_id for node_id, node in self.nodes.items() if node["class_type"] == cls]

    def chains(self, cls: str, name: str) -> list[str]:
        """The nodes of the chains of a class, in order; in a chain, each node has an input that links to the
        one before it."""
        before = {
            node_id: source_of(self.nodes[node_id]["inputs"].get(name)) for node_id in self.of_class(cls)
        }
        inner = set(before.values())
        found: dict[str, None] = {}
        # In a circle each node has one after it, so that any may be taken for the end: the last one.
        for end in [*(node for node in before if node not in inner), *reversed(before)]:
            chain: list[str] = []
            node_id: str | None = end
            while node_id in before and node_id not in found:
                chain.append(node_id)
                found[node_id] = None
                node_id = before[node_id]
            for node_id in reversed(chain):
                found[node_id] = found.pop(node_id)
        return list(found)

    def text(self, value: Any, depth: int = _MAX_DEPTH) -> str:
        """The text of an input: typed, or that of the nodes that it is linked to, joined."""
        self._count(1 + len(value) // 100 if isinstance(value, str) else 1)
        if isinstance(value, str):
            return value
        if not is_link(value) or not depth or value[0] not in self.nodes:
            return ""
        inputs = self.nodes[value[0]]["inputs"]
        if self.nodes[value[0]]["class_type"] == SCENE_PROMPT:
            prompt, style = (self.text(inputs.get(name), depth - 1) for name in ("prompt", "style"))
            has_style = is_link(inputs.get("style"))
            return joined(prompt, style if has_style else None, bool(inputs.get("weights")))
        if self.nodes[value[0]]["class_type"] in PRIMITIVES:
            return self.text(inputs.get("value"), depth - 1)
        parts = [
            self.text(part, depth - 1) for name, part in own_inputs(inputs).items() if name != "delimiter"
        ]
        return " ".join(filter(None, parts))

    def prompt(self, value: Any, skip: Collection[str] = ()) -> str | None:
        """The text behind a conditioning as its author wrote it: a story escapes parentheses for the encoder.

        None if there is no text, or one that ConditioningZeroOut leaves without effect. Inputs named `skip`
        are not followed: through a node with two conditionings, such as ControlNet, leads the right one.
        """

        def text_of(node: Node) -> Any:
            # The encoders of edit models have a `prompt`, as other nodes that encode nothing.
            return node["inputs"].get(
                "text", node["inputs"].get("prompt") if "clip" in node["inputs"] else None
            )

        def is_end(node: Node) -> bool:
            return text_of(node) is not None or node["class_type"] == "ConditioningZeroOut"

        found = self.find(value[0], is_end, skip=skip) if is_link(value) else None
        if found is None or (text := text_of(self.nodes[found])) is None:
            return None
        return re.sub(r"\\([()])", r"\1", self.text(text))

    def constant(self, value: Any, depth: int = _MAX_DEPTH) -> str | float | bool | None:
        """The constant of an input: typed, or that of a linked node with a single input; else None."""
        if is_link(value):
            node = self.nodes.get(value[0], {"class_type": "", "inputs": {}})
            inputs = own_inputs(node["inputs"])
            named = inputs.get("value") if node["class_type"] in PRIMITIVES else None
            only = next(iter(inputs.values())) if len(inputs) == 1 else named
            return self.constant(only, depth - 1) if depth else None
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value if isinstance(value, str | int | float) else None

    def number(self, value: Any) -> float | None:
        """The number of an input, as `constant`."""
        found = self.constant(value)
        if isinstance(found, str | bool) or found is None:
            return None
        # JavaScript has one kind of number.
        return int(found) if found == int(found) else found

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > _MAX_STEPS:
            raise Problems(
                [Problem("", "The workflow is too large, or its links too entangled, to be read.")]
            )


@dataclass
class CanvasScene:
    """A scene as a workflow has it.

    Attributes:
        still, clip: the ids of its nodes; one may be missing.
        name: as the film or the storyboard has it, or the file's.
        prompt: as the storyboard has it, or the nearest text above the still or clip.
    """

    still: str | None
    clip: str | None
    name: str
    prompt: str

    @property
    def end(self) -> str:
        """The id of its last node."""
        return self.clip or self.still or ""


class Seed(NamedTuple):
    """The input that holds a seed: the id of its node, and its name."""

    id: str
    input: str


def is_not_still(node: Node) -> bool:
    """Whether a node is no Still: what is above a Still is another part of the story."""
    return node["class_type"] != Kind.STILL.node


def read_scenes(workflow: Workflow) -> list[CanvasScene]:
    """The scenes in the film's order, then those that are only on a storyboard, then the others."""
    found = _Scenes(workflow)
    for node_id in workflow.chains(FILM_SCENE, CHAINS[FILM_SCENE]):
        inputs = workflow.nodes[node_id]["inputs"]
        found.add_clip(
            workflow.nearest(inputs.get("clip"), Kind.CLIP.node), workflow.text(inputs.get("title"))
        )
    for node_id in workflow.chains(STORYBOARD, CHAINS[STORYBOARD]):
        inputs = workflow.nodes[node_id]["inputs"]
        name, prompt = (workflow.text(inputs.get(one)) for one in ("name", "prompt"))
        found.add(workflow.nearest(inputs.get("still"), Kind.STILL.node), None, name, prompt)
    for node_id in workflow.of_class(Kind.CLIP.node):
        found.add_clip(node_id)
    sheets = sheets_in(workflow)
    for node_id in workflow.of_class(Kind.STILL.node):
        if node_id not in sheets:
            found.add(node_id, None)
    for scene in found.scenes:
        scene.prompt = scene.prompt or prompt_of(workflow, scene.still) or prompt_of(workflow, scene.clip)
        scene.name = scene.name or workflow.text(workflow.nodes[scene.end]["inputs"].get("name"))
    return found.scenes


def sheets_in(workflow: Workflow) -> set[str]:
    """The Stills that other Stills are made from: character sheets, unless they are scenes themselves."""
    return {
        above
        for still in workflow.of_class(Kind.STILL.node)
        for above, node in workflow.upstream(still, through=is_not_still)
        if above != still and not is_not_still(node)
    }


def panel_of(workflow: Workflow) -> dict[str, Any]:
    """What the storyboard panel shows of a workflow, and what it needs to change it.

    Returns:
        `scenes`: each with its `id`, `still`, `clip`, `name`, `prompt`, and for its still and clip `seeds`,
        where the seed is, and `chosen`, the key of the take that is chosen; `check`: the Check Clip of
        its clip, or None.
        `films`: the ids of the films.
        `owners`: the number of the scene and the part that a node works for, by the node's id; nodes that
        serve several scenes are left out.

    Raises:
        Problems: the workflow is too large.
    """
    nodes, scenes = workflow.nodes, read_scenes(workflow)
    checks = {
        workflow.nearest(nodes[check]["inputs"].get("clip"), Kind.CLIP.node): check
        for check in workflow.of_class(Kind.CHECK.node)
    }
    shown = []
    for scene in scenes:
        ends: dict[Part, str | None] = {"still": scene.still, "clip": scene.clip}
        seeds = {part: seed_of(workflow, end) for part, end in ends.items()}
        takes = {part: nodes[end]["inputs"].get("take") if end else "" for part, end in ends.items()}
        shown.append(
            {
                "id": f"{scene.still} {scene.clip}",
                **ends,
                "check": checks.get(scene.clip) if scene.clip else None,
                "name": scene.name,
                "prompt": scene.prompt,
                "seeds": {part: seed._asdict() if seed else None for part, seed in seeds.items()},
                "chosen": {part: workflow.text(take) for part, take in takes.items()},
            }
        )
    owners = {node: owner for node, owner in _owners(workflow, scenes).items() if owner}
    return {"scenes": shown, "films": workflow.of_class(Kind.FILM.node), "owners": owners}


@dataclass
class _Scenes:
    """Scenes as they are found, each once."""

    workflow: Workflow
    scenes: list[CanvasScene] = field(default_factory=list)
    _by_clip: dict[str, CanvasScene] = field(default_factory=dict)
    _by_still: dict[str, CanvasScene] = field(default_factory=dict)
    _by_video: dict[str | None, str] | None = None

    def add_clip(self, clip: str | None, name: str = "") -> None:
        if clip:
            video = self.workflow.nodes[clip]["inputs"].get("video")
            still = self.workflow.nearest(video, Kind.STILL.node)
            self.add(still or self._stills_of_videos().get(source_of(video)), clip, name)

    def _stills_of_videos(self) -> dict[str | None, str]:
        """The Stills that show a frame of a video, by the node of the video: those of own clips."""
        if self._by_video is None:
            self._by_video = {}
            for still in self.workflow.of_class(Kind.STILL.node):
                frame = self.workflow.nodes.get(
                    source_of(self.workflow.nodes[still]["inputs"].get("image")) or ""
                )
                if frame and frame["class_type"] == VIDEO_FRAME:
                    self._by_video.setdefault(source_of(frame["inputs"].get("video")), still)
        return self._by_video

    def add(self, still: str | None, clip: str | None, name: str = "", prompt: str = "") -> None:
        if not still and not clip:
            return
        scene = self._by_clip.get(clip or "") or self._by_still.get(still or "")
        if scene and clip and scene.clip is None:
            scene.clip = clip
            self._by_clip[clip] = scene
        if scene is None or clip not in (None, scene.clip):
            scene = CanvasScene(still, clip, name, prompt)
            self.scenes.append(scene)
            if clip:
                self._by_clip[clip] = scene
            if still:
                self._by_still.setdefault(still, scene)
        scene.name = scene.name or name
        scene.prompt = prompt or scene.prompt


def own_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs that are the node's own, without those that an interface adds."""
    return {
        name: value
        for name, value in inputs.items()
        if name not in _OF_INTERFACE and not name.startswith("$$")
    }


def source_of(value: Any) -> str | None:
    """The id of the node that an input is linked to."""
    return value[0] if is_link(value) else None


def prompt_of(workflow: Workflow, node_id: str | None) -> str:
    """The nearest text above a still or clip, not looking above another still."""

    def text(node: Node) -> str:
        return workflow.text(node["inputs"].get("text")) or workflow.text(node["inputs"].get("prompt"))

    found = workflow.find(node_id, text, skip=("negative", "audio"), through=is_not_still)
    return text(workflow.nodes[found]) if found is not None else ""


def seed_of(workflow: Workflow, node_id: str | None) -> Seed | None:
    """Where the seed of a still or clip is; None if nothing above it has one."""
    found = workflow.find(node_id, _seed_input, through=is_not_still)
    return Seed(found, _seed_input(workflow.nodes[found]) or "") if found is not None else None


def _seed_input(node: Node) -> str | None:
    return next((name for name in SEEDS if name in node["inputs"]), None)


def _owners(workflow: Workflow, scenes: list[CanvasScene]) -> dict[str, tuple[int, Part] | None]:
    owners: dict[str, tuple[int, Part] | None] = {}
    for number, scene in enumerate(scenes):
        ends: tuple[tuple[Part, str | None], ...] = (("still", scene.still), ("clip", scene.clip))
        for part, end in ends:
            for node_id, _ in workflow.upstream(end, through=is_not_still) if end else ():
                owner = owners.setdefault(node_id, (number, part))
                if owner and owner[0] != number:
                    owners[node_id] = None
    return owners
