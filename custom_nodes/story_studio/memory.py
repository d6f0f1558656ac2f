"""The memory plan of the prompt that ComfyUI runs, and carrying it out: see `story/memory.py`.

A Still and a Talking Video ask for the plan before they request their inputs, so it exists before any model
is read, wherever the graph was queued.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from . import ram
from .core import device, execution, folders, output_cache
from .results import result_store
from .story.memory import CAREFUL, MemoryPlan, ModelUse, Phase, plan_memory
from .story.model_files import TEXT_ENCODERS
from .story.needed import Needed, needed_nodes
from .weights import memory_of


class _Prepared(NamedTuple):
    """What is known of one prompt."""

    prompt_id: str
    graph: weakref.ref[result_store.Graph]
    plan: MemoryPlan
    needed: Needed
    prompts: dict[str, list[str]]


_prepared: _Prepared | None = None
"""ComfyUI runs one prompt at a time."""


def prepare(graph: result_store.Graph) -> MemoryPlan:
    """The memory plan of a prompt, made when it is first asked for."""
    return _of(graph).plan


def latest() -> tuple[str, MemoryPlan] | None:
    """The latest plan, and before it the id of its prompt, which may have ended."""
    return (_prepared.prompt_id, _prepared.plan) if _prepared else None


def plan_of(graph: result_store.Graph, finished: Collection[str]) -> tuple[Needed, MemoryPlan]:
    """What of a graph has to run, and how its models would share the memory now.

    Args:
        graph: a prompt.
        finished: its Stills, Clips, Retakes and Masters whose results exist.
    """
    needed = needed_nodes(graph.all_node_ids(), graph.get_node, finished)
    # What models hold can be freed, so it counts as free.
    free = ram.read_ram().free + ram.held()
    return needed, plan_memory(_uses(graph, needed), free, careful=CAREFUL in os.environ)


def make_room(graph: result_store.Graph, phase: Phase) -> None:
    """Frees the models that a phase does not need, if the plan says so. Call it before their inputs load."""
    prepared = _of(graph)
    if not prepared.plan.keeps_all:
        output_cache.release_models(prepared.needed.nodes[phase])


def prompts_of(text_encoder: str) -> list[str]:
    """The prompts that the running prompt needs from a text encoder, by the name of its file."""
    running = _running()
    return running.prompts.get(text_encoder, []) if running else []


def keeps_text_encoders() -> bool:
    """Whether text encoders keep their weights once the prompts are encoded."""
    running = _running()
    return running is None or running.plan.keeps_text_encoders


def _running() -> _Prepared | None:
    """The prompt that runs; None if it has no plan, or not yet."""
    return _prepared if _prepared and _prepared.graph() else None


def _of(graph: result_store.Graph) -> _Prepared:
    global _prepared
    if _prepared is None or _prepared.graph() is not graph:
        needed, plan = plan_of(graph, result_store.finished(graph))
        _prepared = _Prepared(
            execution.prompt_id(), weakref.ref(graph), plan, needed, needed.prompts(graph.get_node)
        )
        if plan.needs.all:
            logging.info("Story Studio %s.", plan)
    return _prepared


def _uses(graph: result_store.Graph, needed: Needed) -> Iterator[ModelUse]:
    if device.reads_weights_as_needed():
        return
    on_cpu, flags = device.computes_on_cpu(), device.flags()
    for phase, folder, file in needed.files(graph.get_node):
        if path := folders.find_model(folder, file):
            size = memory_of(Path(path), folder, on_cpu, flags)
            yield ModelUse(phase, file, size, folder == TEXT_ENCODERS)
