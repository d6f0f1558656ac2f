"""In Order: runs what it is linked to, one after the other."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core import execution, output_cache, progress
from ..runs import continuing, timing
from ..story.order import IN_ORDER, INPUTS, QUEUED
from ..story.recipes import is_link
from .common import CATEGORY, HIDDEN
from .film import FilmType
from .storyboard import StoryboardType


class _AnyType(str):
    """A type that fits every input: ComfyUI asks whether it differs."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class InOrder(io.ComfyNode):
    """Requests each input when the one before is there; the order of a story is made of these nodes.

    `story/order.py` puts them into a prompt in place of its chains.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=IN_ORDER,
            display_name="In Order",
            category=CATEGORY,
            description="Runs what is linked to its inputs one after the other, from the first to the last. "
            "Story Studio orders the scenes of a story with it when a workflow is queued, so you need "
            "it only for parts of your own.",
            inputs=[
                io.AnyType.Input(
                    name, optional=True, lazy=True, tooltip="Requested when the inputs before it are there."
                )
                for name in INPUTS
            ],
            outputs=[
                FilmType.Output(display_name="film", tooltip="The films that are linked, as one."),
                StoryboardType.Output(
                    display_name="storyboard", tooltip="The storyboards that are linked, as one."
                ),
                io.Custom(_AnyType("*")).Output(display_name="last", tooltip="The last input."),
            ],
            hidden=HIDDEN,
            is_output_node=True,
        )

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        """Requests the first input that is missing."""
        linked = cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"]
        missing = [name for name in INPUTS if is_link(linked.get(name)) and inputs.get(name) is None]
        if QUEUED in linked:
            continuing.follow(linked[QUEUED]["id"])
            timing.begin(execution.prompt_id())
        if QUEUED in linked and missing:
            progress.forget_finished_nodes()
            # They are not requested, but whoever queued the prompt waits for their files.
            output_cache.report_cached(linked[QUEUED]["results"])
        return missing[:1]

    @classmethod
    def execute(cls, **inputs: Any) -> io.NodeOutput:
        """Returns all films or storyboards as one, and the last input as it is."""
        values = [inputs[name] for name in INPUTS if inputs.get(name) is not None]
        joined = tuple(part for value in values if isinstance(value, tuple) for part in value)
        return io.NodeOutput(joined, joined, values[-1] if values else None)
