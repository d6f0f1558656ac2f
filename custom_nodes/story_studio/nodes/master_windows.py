"""Master Window and Master Windows: what a Master expands into where nodes make its frames."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import InputImpl, io

from ..core import progress, server
from ..master_run import run_of
from ..story.recipes import is_link
from ..story.windows import INPUTS, VALUE, WINDOW, WINDOWS
from .clip_frames import as_floats
from .common import CATEGORY, HIDDEN

_STEPS = 1000


class MasterWindow(io.ComfyNode):
    """Reads the frames of a window, or adds what became of them to the master."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=WINDOW,
            display_name="Master Window",
            category=CATEGORY,
            description="A few frames of a clip. A Master adds these nodes itself; you need none of them.",
            inputs=[
                io.String.Input("run", default="", tooltip="Which master is being made."),
                io.Int.Input("index", default=0, min=0, max=2**31, tooltip="The number of the window."),
                io.Image.Input(
                    "frames", optional=True, tooltip="The changed frames; without them, the frames are read."
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="The frames of the window.")],
            hidden=HIDDEN,
        )

    @classmethod
    def execute(cls, run: str, index: int, frames: Any = None) -> io.NodeOutput:
        """Returns the frames that were read, float [n, height, width, 3]; or only that some were added."""
        if frames is None:
            return io.NodeOutput(as_floats(run_of(run).read(index)))
        done = run_of(run).add(index, frames)
        server.progress_bar(_STEPS, run_of(run).node_id)(round(done * _STEPS), None)
        return io.NodeOutput(True)


class MasterWindows(io.ComfyNode):
    """Requests windows one after the other, and expands into the next ones."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=WINDOWS,
            display_name="Master Windows",
            category=CATEGORY,
            description="Runs the windows of a master one after the other. A Master adds these nodes itself; "
            "you need none of them.",
            inputs=[
                io.String.Input("run", default="", tooltip="Which master is being made."),
                io.Combo.Input(
                    "step",
                    options=["begin", "rest", "wait", "end"],
                    default="wait",
                    tooltip="What is done when the windows are there.",
                ),
                *(
                    io.AnyType.Input(
                        name, optional=True, lazy=True, tooltip="Requested when those before it are there."
                    )
                    for name in INPUTS
                ),
            ],
            outputs=[io.Video.Output(tooltip="The master, when it is complete.")],
            hidden=HIDDEN,
            enable_expand=True,
        )

    @classmethod
    def check_lazy_status(cls, **inputs: Any) -> list[str]:
        """Requests the first window that is missing."""
        linked = cls.hidden.dynprompt.get_node(cls.hidden.unique_id)["inputs"]
        missing = [name for name in INPUTS if is_link(linked.get(name)) and inputs.get(name) is None]
        progress.forget_finished_nodes()
        return missing[:1]

    @classmethod
    def execute(cls, run: str, step: str, **inputs: Any) -> io.NodeOutput:
        """Returns the master at the end, and before that what leads to it."""
        if step == "wait":
            return io.NodeOutput(True)
        if step == "end":
            return io.NodeOutput(InputImpl.VideoFromFile(str(run_of(run).end())))
        shared = sorted((name for name in inputs if name.startswith(VALUE)), key=_number)
        more = run_of(run).share([inputs[name] for name in shared]) if step == "begin" else run_of(run).rest()
        if more is None:
            return io.NodeOutput(InputImpl.VideoFromFile(str(run_of(run).end())))
        nodes, link = more
        return io.NodeOutput(list(link), expand=nodes)


def _number(name: str) -> int:
    return int(name.removeprefix(VALUE))
