"""An API workflow under construction: equal nodes stand in it once, and each has an owner."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .keys import STAND_INS
from .recipes import Link, Nodes, Recipe, is_link, title_of
from .results import Kind
from .scene_prompt import escaped

Phase = Literal["still", "clip", "film"]
_STAND_IN_OF = {stock: ours for ours, stock in STAND_INS.items()}


class SceneId(NamedTuple):
    """A scene among several stories: the index of the story and the id of the scene."""

    story: int
    scene: str


class CharacterId(NamedTuple):
    """A character among several stories: the index of the story and the character's key."""

    story: int
    character: str

    @property
    def owner(self) -> SceneId:
        """What nodes that are only for the character belong to; no scene has such an id."""
        return SceneId(self.story, f"character {self.character}")


class Owner(NamedTuple):
    """What a node belongs to, a scene or a character; `scene` is None if it serves several."""

    phase: Phase
    scene: SceneId | None


@dataclass
class Graph:
    """An API workflow, and what its nodes are for.

    Attributes:
        nodes: the workflow as ComfyUI's /prompt expects it.
        owners: what each node belongs to.
        stills, clips, masters: the Still, Clip and Master node of each scene; few have a Master.
        checks: the Check Clip node of each scene whose clip is checked.
        retakes: the Retake nodes of each scene that may be made again, from the first to the last.
        characters: the Still node of each character sheet.
        sheets, films: the Contact Sheet and Film node of each story; a story can be without a film.
    """

    nodes: Nodes = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    stills: dict[SceneId, str] = field(default_factory=dict)
    clips: dict[SceneId, str] = field(default_factory=dict)
    masters: dict[SceneId, str] = field(default_factory=dict)
    checks: dict[SceneId, str] = field(default_factory=dict)
    retakes: dict[SceneId, list[str]] = field(default_factory=dict)
    characters: dict[CharacterId, str] = field(default_factory=dict)
    sheets: dict[int, str] = field(default_factory=dict)
    films: dict[int, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def of_scenes(self) -> dict[Kind, dict[SceneId, str]]:
        """The nodes that keep the results of scenes, by the kind of the result."""
        return {Kind.STILL: self.stills, Kind.CLIP: self.clips, Kind.MASTER: self.masters}

    @property
    def kept(self) -> dict[str, Kind]:
        """The nodes that keep results of scenes and characters, and the kinds of the results.

        A check is none of them: its key is that of the clip's content, which no graph says.
        """
        of_scenes = {node: kind for kind, nodes in self.of_scenes.items() for node in nodes.values()}
        retakes = {node: Kind.CLIP for nodes in self.retakes.values() for node in nodes}
        return dict.fromkeys(self.characters.values(), Kind.STILL) | of_scenes | retakes

    def chosen_clip(self, scene: SceneId) -> Link:
        """The clip that a scene has in the film: the best of its takes if there are retakes."""
        return Link(self.checks[scene] if self.retakes.get(scene) else self.clips[scene])

    def add(self, owner: Owner, title: str, cls: str, /, **inputs: Any) -> Link:
        """Adds a node with these inputs, constants or links; an equal node is returned instead."""
        inputs = {name: list(value) if isinstance(value, Link) else value for name, value in inputs.items()}
        inputs = {name: value for name, value in inputs.items() if value is not None}
        key = json.dumps([cls, inputs], sort_keys=True)
        if key not in self._known:
            node_id = self._known[key] = str(len(self.nodes) + 1)
            title = f"{owner.scene.scene}: {title}" if owner.scene else title
            self.nodes[node_id] = {"class_type": cls, "inputs": inputs, "_meta": {"title": title}}
            self.owners[node_id] = owner
        elif self.owners[self._known[key]].scene != owner.scene:
            node_id = self._known[key]
            self.nodes[node_id]["_meta"]["title"] = title
            self.owners[node_id] = Owner(self.owners[node_id].phase, None)
        return Link(self._known[key])

    def add_recipe(self, owner: Owner, recipe: Recipe, values: dict[str, Any]) -> Link:
        """Adds a recipe with these parameter values, constants or links, and returns its result."""
        placed: dict[str, Link] = {}
        by_node = {node: values[name] for name, node in recipe.parameters.items() if name in values}
        by_node |= {node: escaped(by_node[node]) for node in recipe.encoded() & set(by_node)}
        for node_id in recipe.ordered():
            node, value = recipe.nodes[node_id], by_node.get(node_id)
            if isinstance(value, Link):
                placed[node_id] = value
                continue
            inputs = {
                name: Link(placed[old[0]].node, placed[old[0]].output + old[1]) if is_link(old) else old
                for name, old in node["inputs"].items()
            }
            if value is not None:
                inputs |= value if isinstance(value, dict) else {_value_input(node["inputs"]): value}
            title = (title_of(node) or node["class_type"]).lstrip("$")
            cls: str = node["class_type"]
            placed[node_id] = self.add(owner, title, _STAND_IN_OF.get(cls, cls), **inputs)
        return Link(placed[recipe.result.node].node, recipe.result.output)


def _value_input(inputs: dict[str, Any]) -> str:
    """The input of a parameter node that holds its value: the first one in stock primitives and loaders."""
    return next(iter(inputs), "value")
