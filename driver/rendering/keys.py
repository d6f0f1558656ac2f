"""The keys of the results that a graph will find, predicted before there is a server.

When the graph runs, the node pack decides (`result_store.py`), which asks ComfyUI about classes and files; a
test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from story_studio.story.graph import Graph
from story_studio.story.keys import UNDECLARED, Keys
from story_studio.story.results import Kind

_LOADERS = {"LoadImage": "image", "LoadAudio": "audio"}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "StoryStudio_TalkingVideo": {
        "preset": "custom",
        "continuity": "reencode",
        "start_with_image": False,
        "crf": 16.0,
    }
}
"""Optional inputs that are not in a key at these values."""


def predict(
    graph: Graph, contents: Mapping[str, str], exists: Callable[[Kind, str], bool] = lambda *_: False
) -> dict[str, str]:
    """The key of every still and clip, by its node.

    Args:
        graph: the stories.
        exists: whether there is a result of this key. One that only version 0.1.0 made has the key that it
            had there.
        contents: SHA-256 in hexadecimal digits of the files in ComfyUI's input folder, by the names that
            loaders take. Other files that a custom recipe reads are assumed to be unchanged.
    """

    def fingerprint(node: Mapping[str, Any]) -> str:
        name = node["inputs"].get(_LOADERS.get(node["class_type"], ""))
        return json.dumps([contents.get(name, False) if isinstance(name, str) else False])

    get_node = graph.nodes.__getitem__
    keys = Keys(get_node, _default_of, fingerprint)
    earlier_keys = Keys(get_node, _default_of, fingerprint, as_written=True)
    found: dict[str, str] = {}
    for kind, nodes in ((Kind.STILL, graph.stills), (Kind.CLIP, graph.clips)):
        for node_id in nodes.values():
            key, earlier = keys.of(node_id), earlier_keys.of(node_id)
            use_earlier = key != earlier and not exists(kind, key) and exists(kind, earlier)
            found[node_id] = earlier if use_earlier else key
    return found


def _default_of(cls: str, name: str) -> Any:
    # A browser adds widgets of its own to the loaders, a player or a button, which their classes do not take.
    declared = name == _LOADERS.get(cls, name)
    return _DEFAULTS.get(cls, {}).get(name) if declared else UNDECLARED
