"""A story's graph as an artist edits it: a box for each scene, and one for what the scenes share.

The results are those of the graph that the driver submits, under the same keys. What differs is who holds the
values: each scene has its own title, prompt, text, movement and seeds, even where scenes have the same, and
the style is typed once. Pure functions over plain data; `web/story/` makes nodes and boxes of it.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .api_graph import CharacterId, Graph, SceneId
from .characters import described
from .classes import CHAINS, FILM_SCENE, LOADERS, SEEDS, STORYBOARD, TITLE_CARD
from .descriptions import descriptions_of
from .keys import ORDER, PRIMITIVES
from .links import Nodes, is_link, upstream
from .plan import Plan
from .results import Kind
from .scene import Scene
from .scene_prompt import NODE as SCENE_PROMPT
from .scene_prompt import escaped, joined
from .still_graph import sheet_values, still_values
from .word_times import WORD_TIMES

BoxKind = Literal["settings", "character", "scene"]
_ENCODER = "CLIPTextEncode"
"""Interprets parentheses as weights."""
_STYLE = "style"


class Place(NamedTuple):
    """An input: the id of its node, and its name."""

    id: str
    input: str


@dataclass
class Field:
    """A value that a box shows, and the inputs inside that have it."""

    name: str
    value: Any
    to: list[Place] = field(default_factory=list)


@dataclass
class Box:
    """A box on the canvas.

    Attributes:
        kind: what it stands for.
        id: the id of its scene or character.
        title: its title.
        nodes: the ids of the nodes inside.
        fields: the values that it shows, in order.
        beside: the ids of the nodes in which its files are chosen.
        open: inputs that it has even if nothing is linked to them.
    """

    kind: BoxKind
    id: str
    title: str
    nodes: list[str] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    open: list[Place] = field(default_factory=list)


@dataclass
class Boxes:
    """A story on the canvas.

    Attributes:
        nodes: all nodes as an API workflow, those inside of boxes too; `_meta` has the `phase` of each.
        boxes: the boxes, in the order of the story.
        end: the ids of the nodes behind the scenes: the contact sheet and the film.
    """

    nodes: Nodes
    boxes: list[Box]
    end: list[str]


def boxes_of(plan: Plan, graph: Graph) -> Boxes:
    """The boxes of a story, whose graph is not changed."""
    return _Boxing(plan, graph).run()


class _Boxing:
    """A copy of a graph that is being divided into boxes.

    Attributes:
        nodes: the copy.
        phases: the phase of each node.
        owners: the scene or character of each node; shared nodes are left out.
        owned: the nodes of each scene or character, in order.
        typed: the classes of the primitive nodes whose values were typed into inputs, by the input.
    """

    def __init__(self, plan: Plan, graph: Graph):
        self.plan, self.story = plan, plan.story
        self.nodes: Nodes = copy.deepcopy(graph.nodes)
        self.phases = {node: owner.phase for node, owner in graph.owners.items()}
        self.owners: dict[str, SceneId] = {}
        self.owned: defaultdict[SceneId, list[str]] = defaultdict(list)
        for node, owner in graph.owners.items():
            # Their values are typed where they are used.
            if owner.scene and self._class(node) not in PRIMITIVES:
                self._own(node, owner.scene)
        self.typed: dict[Place, str] = {}
        self.style = described(self.story.style, self.story.characters)
        self.settings = Box("settings", "", "Models and settings")

    def run(self) -> Boxes:
        for node in self.nodes.values():
            # The server keeps the order of work by itself, and links between all boxes would show nothing.
            node["inputs"].pop(ORDER, None)
        self._type_values()
        sheets = [CharacterId(0, key) for key in self.story.characters]
        boxes = [self._character(sheet) for sheet in sheets if sheet.owner in self.owned]
        boxes += [self._scene(scene) for scene in self.story.scenes]
        self._share_values(boxes)
        self._fill_settings(boxes)
        inside = {node for box in (self.settings, *boxes) for node in (*box.nodes, *box.beside)}
        results = {kind.node for kind in Kind}
        ends = upstream(self.nodes, *(node for node in self.nodes if self._class(node) in results))
        end = [node for node in self.nodes if node in ends and node not in inside]
        self.nodes = {node: self.nodes[node] for node in self.nodes if node in inside or node in ends}
        for node, content in self.nodes.items():
            content["_meta"]["phase"] = self.phases[node]
        return Boxes(self.nodes, [*([self.settings] if self.settings.nodes else []), *boxes], end)

    def _type_values(self) -> None:
        """Types the values of primitive nodes into the inputs that they are linked to.

        Equal values share one primitive node, whatever they mean: a seed of 20 is also 20 steps.
        """
        primitives = {node for node, content in self.nodes.items() if content["class_type"] in PRIMITIVES}
        for node, content in self.nodes.items():
            for name, value in content["inputs"].items():
                if is_link(value) and value[0] in primitives:
                    content["inputs"][name] = self.nodes[value[0]]["inputs"]["value"]
                    self.typed[Place(node, name)] = self.nodes[value[0]]["class_type"]
        for node in primitives:
            del self.nodes[node]

    def _own(self, node: str, owner: SceneId) -> None:
        self.owners[node] = owner
        self.owned[owner].append(node)

    def _scene(self, scene: Scene) -> Box:
        owner, motion = SceneId(0, scene.id), self.story.motion_of(scene)
        drawn, heading = self.story.prompt_of(scene), str(still_values(self.plan, scene)["heading"])
        self._part(owner, {drawn, escaped(drawn), motion, escaped(motion), heading})
        mine = list(self.owned[owner])
        title = Field("title", scene.title or scene.id)
        title.to = self._places(mine, lambda place, cls, _: (cls, place.input) in _TITLES)
        if heading == title.value:
            title.to += self._places(
                mine, lambda place, _, value: place.input == "heading" and value == heading
            )
        subject = self.story.subject_of(scene)
        prompt = self._prompt(owner, drawn, subject)
        if not prompt.to:
            # It makes nothing: it stands on the contact sheet, and on a draft's card.
            prompt.value = subject
        shown = {(STORYBOARD, "prompt"), (TITLE_CARD, "text")}
        prompt.to += self._places(mine, lambda place, cls, _: (cls, place.input) in shown)
        if prompt.value != subject:
            self._name_characters(owner, scene)
        movement = Field("movement", motion, self._encoded(owner, "clip", motion, None))
        text = Field("text", scene.text)
        text.to = self._places(mine, lambda place, cls, _: place.input == "text" and cls in _SAID)
        box = Box("scene", scene.id, scene.title or scene.id)
        box.fields = [title, prompt, movement, text, *self._seeds(mine, self.story.seed_of(scene))]
        return self._filled(box, owner)

    def _name_characters(self, owner: SceneId, scene: Scene) -> None:
        """Lets the contact sheet show names where the prompt describes characters."""
        speaker = scene.character if scene.kind_of == "talking" else ""
        lines = descriptions_of(scene.prompt, speaker, self.story.characters)
        for panel in [node for node in self.owned[owner] if self._class(node) == STORYBOARD and lines]:
            node = f"{panel}_characters"
            self._add(node, "PrimitiveStringMultiline", {"value": lines}, "Characters", self.phases[panel])
            self._own(node, owner)
            self.nodes[panel]["inputs"]["characters"] = [node, 0]

    def _character(self, sheet: CharacterId) -> Box:
        drawn = str(sheet_values(self.plan, sheet.character)["prompt"])
        prompt = self._prompt(sheet.owner, drawn, "")
        seeds = self._seeds(self.owned[sheet.owner], self.story.sheet_seed(sheet.character))
        box = Box("character", sheet.character, self.story.name_of(sheet.character), fields=[prompt, *seeds])
        return self._filled(box, sheet.owner)

    def _filled(self, box: Box, owner: SceneId) -> Box:
        for node in self.owned[owner]:
            # Where files are chosen stands beside the box.
            (box.beside if self._class(node) in LOADERS else box.nodes).append(node)
            # Every box has these inputs, so that scenes can be moved.
            if name := CHAINS.get(self._class(node)):
                box.open.append(Place(node, name))
        for each in box.fields:
            for place in each.to:
                self.nodes[place.id]["inputs"][place.input] = each.value
        box.fields = [each for each in box.fields if each.to]
        return box

    def _class(self, node: str) -> str:
        return self.nodes[node]["class_type"]

    def _places(self, nodes: list[str], test: Callable[[Place, str, Any], bool]) -> list[Place]:
        """The inputs with typed values that pass a test of the place, the node's class and the value."""
        return [
            place
            for node in nodes
            for name, value in self.nodes[node]["inputs"].items()
            if not is_link(value) and test(place := Place(node, name), self._class(node), value)
        ]

    def _part(self, owner: SceneId, texts: set[str]) -> None:
        """Gives a scene nodes of its own for what is its author's to change, where several scenes share them.

        Args:
            owner: the scene.
            texts: its texts.
        """
        known: dict[str, bool] = {}

        def is_own(node: str) -> bool:
            if node not in known:
                content = self.nodes[node]
                known[node] = content["class_type"] in LOADERS or any(
                    (value[0] not in self.owners and is_own(value[0]))
                    if is_link(value)
                    else name in SEEDS or (value in texts and Place(node, name) in self.typed)
                    for name, value in content["inputs"].items()
                )
            return known[node]

        waiting = list(self.owned[owner])
        for node in waiting:
            inputs = self.nodes[node]["inputs"]
            for name, value in inputs.items():
                if not is_link(value) or value[0] in self.owners or not is_own(value[0]):
                    continue
                copied = f"{value[0]}_{owner.scene}"
                if copied not in self.nodes:
                    self._copy(value[0], copied, owner)
                    waiting.append(copied)
                inputs[name] = [copied, value[1]]

    def _copy(self, node: str, copied: str, owner: SceneId) -> None:
        self.nodes[copied] = copy.deepcopy(self.nodes[node])
        self._own(copied, owner)
        self.phases[copied] = self.phases[node]
        for name in self.nodes[copied]["inputs"]:
            if (place := Place(node, name)) in self.typed:
                self.typed[Place(copied, name)] = self.typed[place]

    def _prompt(self, owner: SceneId, drawn: str, shown: str) -> Field:
        """The prompt of a still, without the style if it ends with it."""
        end = shown[len(shown.rstrip(". ,")) :]
        for typed in (shown, drawn.removesuffix(f", {self.style}" if self.style else "") + end):
            if joined(typed, self.style, True) == drawn:
                return Field("prompt", typed, self._encoded(owner, "still", drawn, self.style, typed))
        return Field("prompt", drawn, self._encoded(owner, "still", drawn, None))

    def _encoded(
        self, owner: SceneId, phase: str, text: str, style: str | None, prompt: str | None = None
    ) -> list[Place]:
        """Adds Scene Prompts for the inputs that have this text, and returns their prompts."""
        found: dict[bool, str] = {}
        mine = [
            node
            for node in self.owned[owner]
            if self.phases[node] == phase and self._class(node) != TITLE_CARD
        ]
        for place in self._places(
            mine, lambda place, _, value: value in (text, escaped(text)) and bool(text)
        ):
            if place not in self.typed:
                continue
            weights = self._class(place.id) != _ENCODER
            if weights not in found:
                node = f"{place.id}_{place.input}"
                inputs: dict[str, Any] = {"prompt": text if prompt is None else prompt}
                inputs |= {} if style is None else {"style": [_STYLE, 0]}
                self._add(node, SCENE_PROMPT, inputs | {"weights": weights}, "Scene Prompt", phase)
                self._own(node, owner)
                found[weights] = node
                if style is not None:
                    self._add(_STYLE, "PrimitiveStringMultiline", {"value": style}, "Style", phase)
            self.nodes[place.id]["inputs"][place.input] = [found[weights], 0]
        return [Place(node, "prompt") for node in found.values()]

    def _add(self, node: str, cls: str, inputs: dict[str, Any], title: str, phase: Any) -> None:
        self.nodes[node] = {"class_type": cls, "inputs": inputs, "_meta": {"title": title}}
        self.phases[node] = phase

    def _seeds(self, mine: list[str], seed: int) -> Iterator[Field]:
        for phase, name in (("still", "seed"), ("clip", "clip_seed")):
            nodes = [node for node in mine if self.phases[node] == phase]
            yield Field(
                name,
                seed,
                self._places(nodes, lambda place, _, value: place.input in SEEDS and value == seed),
            )

    def _share_values(self, boxes: list[Box]) -> None:
        """Gives values that are the same in several boxes, or in the only scene, one node in the settings."""
        taken = {place for box in boxes for each in box.fields for place in each.to}
        uses: dict[tuple[str, str, Any], list[Place]] = defaultdict(list)
        for place, cls in self.typed.items():
            value = self.nodes[place.id]["inputs"][place.input]
            if place.id in self.owners and place not in taken and not is_link(value):
                uses[self.phases[place.id], place.input, (cls, value)].append(place)
        for (phase, name, (cls, value)), places in uses.items():
            if len(self.story.scenes) > 1 and len({self.owners[place.id] for place in places}) == 1:
                continue
            shared = f"{phase}_{name}_{places[0].id}"
            self._add(shared, cls, {"value": value}, name, phase)
            self.typed[Place(shared, "value")] = cls
            for place in places:
                self.nodes[place.id]["inputs"][place.input] = [shared, 0]

    def _fill_settings(self, boxes: list[Box]) -> None:
        """Puts into the settings' box whatever the others are made from, and shows its values."""
        theirs = upstream(self.nodes, *(node for box in boxes for node in box.nodes))
        self.settings.nodes = [node for node in self.nodes if node in theirs and node not in self.owners]
        found: dict[tuple[str, str, Any], Field] = {}
        for node in sorted(self.settings.nodes, key=lambda node: (self.phases[node] != "still", node)):
            for name, value in self.nodes[node]["inputs"].items():
                place = Place(node, name)
                if node == _STYLE:
                    found[_STYLE, "", ""] = Field(_STYLE, value, [place])
                elif place in self.typed and not is_link(value):
                    title = self._name(place)
                    each = found.setdefault((self.phases[node], title, value), Field(title, value))
                    each.to.append(place)
        self.settings.fields = list(_named(found))

    def _name(self, place: Place) -> str:
        """What a value is: the input's name, or for one that all prompts avoid `negative_prompt`."""
        if place.input == "value":
            return self.nodes[place.id]["_meta"]["title"]
        return "negative_prompt" if place.input in ("text", "prompt") else place.input


_TITLES = {(FILM_SCENE, "title"), (STORYBOARD, "name")}
_SAID = (FILM_SCENE, WORD_TIMES)


def _named(found: dict[tuple[str, str, Any], Field]) -> Iterator[Field]:
    """The fields of the settings, with names that differ; one field where stills and clips have one value."""
    merged: dict[tuple[str, Any], tuple[str, Field]] = {}
    for (phase, name, value), each in found.items():
        if (same := merged.get((name, value))) is not None:
            same[1].to += each.to
        else:
            merged[name, value] = (phase, each)
    names = [each.name for _, each in merged.values()]
    taken: set[str] = set()
    for phase, each in merged.values():
        if names.count(each.name) > 1:
            each.name = f"{phase}_{each.name}"
        while each.name in taken:
            each.name += "_2"
        taken.add(each.name)
        yield each
