"""The memory plan of stories on this machine, before there is a server (`story_studio/story/memory.py`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from story_studio.ram import read_ram
from story_studio.story.graph import Plan, build
from story_studio.story.memory import MemoryPlan, ModelUse, plan_memory
from story_studio.story.model_files import TEXT_ENCODERS
from story_studio.story.needed import needed_nodes
from story_studio.weights import memory_of

from ..comfy.care import is_careful
from ..comfy.flags import ServerError, read_core, uses_dynamic_vram
from ..comfy.machine import Machine
from ..comfy.models import ModelFile, listed_models, locate
from ..paths import COMFYUI
from .manifest import SHEET_STEP
from .retakes import takes_of


def memory_plan(
    plans: Sequence[Plan],
    finished: Collection[tuple[int, str, str]],
    machine: Machine,
    models: Path,
    workspace: Path,
    flags: Sequence[str] = (),
) -> MemoryPlan:
    """How the models of stories would share the memory.

    Args:
        plans: the stories.
        finished: the stills and clips that exist: the story's number, `still` or `clip`, and the scene's id.
        machine: this machine.
        models: the folder of models; for a file that is not there, its published size counts.
        workspace: of the server, which remembers whether memory ran out.
        flags: the user's flags for ComfyUI.
    """
    uses = model_uses(plans, finished, models, machine.gpu is None, flags)
    return plan_memory(() if _dynamic_vram(machine, flags) else uses, read_ram().free, is_careful(workspace))


def model_uses(
    plans: Sequence[Plan],
    finished: Collection[tuple[int, str, str]],
    models: Path,
    on_cpu: bool,
    flags: Sequence[str] = (),
) -> Iterator[ModelUse]:
    """The models that stories need; arguments as in `memory_plan`."""
    graph = build(plans)
    places = {node: (scene.story, "still", scene.scene) for scene, node in graph.stills.items()}
    places |= {node: (sheet.story, SHEET_STEP, sheet.character) for sheet, node in graph.characters.items()}
    # A clip that is finished may still be made again, which nobody knows before its check.
    places |= {
        node: (scene.story, "clip", scene.scene) for scene in graph.clips for node in takes_of(graph, scene)
    }
    get_node = graph.nodes.__getitem__
    needed = needed_nodes(
        graph.nodes, get_node, {node for node, place in places.items() if place in finished}
    )
    for phase, folder, file in needed.files(get_node):
        if path := locate(models, ModelFile(file, folder, None, None)):
            yield ModelUse(phase, file, memory_of(path, folder, on_cpu, flags), folder == TEXT_ENCODERS)
        for model in listed_models() if not path else ():
            if model.file == file and model.gb:
                yield ModelUse(phase, file, model.gb, folder == TEXT_ENCODERS)


def _dynamic_vram(machine: Machine, flags: Sequence[str]) -> bool:
    """Whether weights stay in their files until they are used; not without a ComfyUI."""
    try:
        return uses_dynamic_vram(machine, read_core(COMFYUI), flags)
    except ServerError:
        return False
