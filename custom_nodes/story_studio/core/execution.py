"""ComfyUI's knowledge about nodes: which inputs have an effect, fingerprints of input files, their prompt."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import folder_paths
import nodes
from comfy_api.internal import _ComfyNodeInternal, first_real_override
from comfy_execution.graph import DynamicPrompt, NodeNotFoundError, get_input_info
from comfy_execution.utils import get_executing_context
from execution import IsChangedCache

from ..files import read_once
from ..story.classes import LOAD_VIDEO, LOADERS

_HASHED = {cls: name for cls, name in LOADERS.items() if cls != LOAD_VIDEO}
"""Stock loaders whose fingerprint is the hash of their file, and the inputs that name it."""
NodeNotFound = NodeNotFoundError
"""What a graph raises for a link that leads nowhere."""
NEVER = object()
"""In place of a default: the input has no effect with any value."""


def default_without_effect(class_type: str, name: str) -> Any:
    """The constant at which an input has no effect.

    Returns:
        the default of an optional input; `NEVER` for an input that the class does not declare; None for an
        input that always has an effect.
    """
    return _default_without_effect(nodes.NODE_CLASS_MAPPINGS[class_type], name)


@functools.cache
def _default_without_effect(cls: type, name: str) -> Any:
    # Cached, because loaders list their model folders on each call.
    _, category, options = get_input_info(cls, name)
    if category is None:
        return NEVER
    return options.get("default") if category == "optional" and options else None


def fingerprint(
    node: dict[str, Any], constants: Callable[[], dict[str, Any]], stock: bool = False
) -> list[Any]:
    """The fingerprint of the files that a node reads, from its class (`fingerprint_inputs`, `IS_CHANGED`).

    Args:
        node: of an API workflow; ComfyUI's cache stores the fingerprint in it.
        constants: returns the node's inputs that are not links.
        stock: take what ComfyUI takes of a video, the time of its file.
    """
    value = False
    if node["class_type"] == LOAD_VIDEO and not stock:
        # Stock takes the time of the file, which another machine, or the same file sent again, has not.
        return [_hash_of_input(constants().get("file"))]
    if "is_changed" in node:
        value = node["is_changed"]
    elif known := _known_hash(node):
        value = [known]
    elif method := _fingerprint_method(nodes.NODE_CLASS_MAPPINGS[node["class_type"]]):
        # Without a cache (--cache-none) ComfyUI takes no fingerprints.
        value = [method(**constants())]
    return value if isinstance(value, list) else [value]


def _hash_of_input(name: Any) -> str | bool:
    """SHA-256 of a file in the input folder, as of stock images and audio; False if there is none."""
    if not isinstance(name, str) or not folder_paths.exists_annotated_filepath(name):
        return False
    return _sha256(Path(folder_paths.get_annotated_filepath(name)))


@read_once(1024)
def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _known_hash(node: dict[str, Any]) -> str | None:
    """The fingerprint of a stock loader whose file has not changed since it was last read; else None.

    Stock reads and hashes the whole file each time, which takes long for the recordings of a long story.
    """
    name = node["inputs"].get(_HASHED.get(node["class_type"], ""))
    if not isinstance(name, str):
        return None
    try:
        known = _hash_of_input(name)
    except OSError:
        return None
    return known if isinstance(known, str) and _is_hash(node["class_type"], name, known) else None


_are_hashes: dict[type, bool] = {}


def _is_hash(class_type: str, name: str, known: str) -> bool:
    """Whether this ComfyUI's loader has such a hash for its fingerprint; found out with its first file."""
    cls = nodes.NODE_CLASS_MAPPINGS[class_type]
    if cls not in _are_hashes:
        method = _fingerprint_method(cls)
        _are_hashes[cls] = method is not None and method(**{_HASHED[class_type]: name}) == known
    return _are_hashes[cls]


def _fingerprint_method(cls: type[Any]) -> Callable[..., Any] | None:
    if issubclass(cls, _ComfyNodeInternal):
        # Every V3 class inherits an empty one.
        return first_real_override(cls, "fingerprint_inputs")
    return getattr(cls, "IS_CHANGED", None)


def prompt_id() -> str:
    """The id of the prompt whose node is running; empty outside of nodes."""
    context = get_executing_context()
    return context.prompt_id if context else ""


def node_id() -> str:
    """The id of the node that is running; empty outside of nodes."""
    context = get_executing_context()
    return context.node_id if context else ""


def make_graph(prompt: dict[str, dict[str, Any]]) -> DynamicPrompt:
    """An API workflow in the form that ComfyUI passes to nodes."""
    return DynamicPrompt(prompt)


async def ask_fingerprints(graph: DynamicPrompt, node_ids: list[str]) -> None:
    """Lets ComfyUI take the fingerprints of nodes and store them in the nodes, as it does for a run.

    A node that has none, of a class or a file that is not there, is passed over.
    """
    cache = IsChangedCache("", graph, None)  # pyright: ignore[reportArgumentType]
    for node_id in node_ids:
        # A node of another pack fails when it is asked about its files.
        with suppress(Exception):
            node = graph.get_node(node_id)
            if "is_changed" not in node and (known := _known_hash(node)):
                node["is_changed"] = [known]
            await cache.get(node_id)
