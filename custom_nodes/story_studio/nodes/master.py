"""Master: a clip at the film's size and frame rate, and finds it again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_api.latest import InputImpl, io

from .. import master_run, result_store
from ..media.footage import Footage, read_footage
from ..media.master import Target, target_of, write_master
from ..media.retime import INTERPOLATIONS
from ..story import windows
from ..story.keys import constant
from ..story.recipes import Link, is_link
from ..story.results import Kind
from .clip_frames import AS_RENDERED, RATES, source_of
from .common import CATEGORY, HIDDEN, name_input, progress_bar, result_ui, video_path


class Master(io.ComfyNode):
    """Requests its clip only if there is no result yet, and runs the nodes that make its frames itself."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id=Kind.MASTER.node,
            display_name="Master",
            category=CATEGORY,
            description="A clip at the size and frame rate of a film, with its own audio, saved in "
            "output/story_studio/masters. A master of the same clip and settings is reused.",
            inputs=[
                io.Video.Input("clip", lazy=True, tooltip="From a Clip. Its audio stays as it is."),
                *(
                    io.Int.Input(
                        side,
                        default=0,
                        min=0,
                        max=8192,
                        step=2,
                        tooltip="The frames are scaled to fit into width and height, and keep their shape, "
                        "without bars. 0: they keep their size.",
                    )
                    for side in ("width", "height")
                ),
                io.Combo.Input(
                    "fps", options=RATES, default=AS_RENDERED, tooltip="Frames a second of the master."
                ),
                io.Combo.Input(
                    "interpolation",
                    options=list(INTERPOLATIONS),
                    default="motion",
                    tooltip="How frames are made for another rate, where no nodes do: along the motion, "
                    "blended, or repeated.",
                ),
                io.Image.Input(
                    "frames",
                    optional=True,
                    lazy=True,
                    tooltip="The clip's frames as other nodes have changed them, which have to start at a Clip "
                    "Frames. They run for a few frames at a time, however long the clip is.",
                ),
                name_input("master"),
            ],
            outputs=[io.Video.Output(tooltip="The master. Link it to a Film Scene.")],
            hidden=HIDDEN,
            is_output_node=True,
            enable_expand=True,
        )

    @classmethod
    def check_lazy_status(
        cls, clip: InputImpl.VideoFromFile | None = None, frames: Any = None, **settings: Any
    ) -> list[str]:
        """Requests the clip unless a result with the same key exists; never the frames."""
        return [] if clip is not None or result_store.find(Kind.MASTER, cls._key()) else ["clip"]

    @classmethod
    def execute(
        cls,
        width: int,
        height: int,
        fps: str,
        interpolation: str,
        name: str,
        clip: InputImpl.VideoFromFile | None = None,
        frames: Any = None,
    ) -> io.NodeOutput:
        """Returns the master, backed by its file; or expands into the nodes that make it."""
        key, hidden = cls._key(), cls.hidden
        path = result_store.find(Kind.MASTER, key)
        if path is not None:
            ui = result_ui(path, key, True, animated=True)
            return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui)
        if clip is None:
            raise RuntimeError("The master's file was removed while it was being read: run the graph again.")
        path, source = result_store.place(Kind.MASTER, name, key), video_path(clip)
        footage = read_footage(source)
        rate = None if fps == AS_RENDERED else Fraction(fps)
        target = target_of(footage, width, height, rate, interpolation)
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        if is_link(hidden.dynprompt.get_node(hidden.unique_id)["inputs"].get("frames")):
            return cls._expanded(source, footage, path, target, tags, key)
        write_master(path, source, footage, target, tags, progress_bar())
        ui = result_ui(path, key, False, animated=True)
        return io.NodeOutput(InputImpl.VideoFromFile(str(path)), ui=ui)

    @classmethod
    def _expanded(
        cls, clip: Path, footage: Footage, path: Path, target: Target, tags: dict[str, str], key: str
    ) -> io.NodeOutput:
        graph, node_id = cls.hidden.dynprompt, cls.hidden.unique_id
        inputs = graph.get_node(node_id)["inputs"]
        repeat = windows.repeated(graph.get_node, Link(*inputs["frames"]))
        source = graph.get_node(repeat.source)["inputs"]
        if source.get("clip") != inputs.get("clip"):
            raise ValueError(
                "Master and Clip Frames have different clips: link the same clip to both, whose audio then "
                "belongs to the frames."
            )
        given = {name: constant(graph.get_node, source.get(name)) for name in ("fps", "interpolation")}
        context = constant(graph.get_node, source.get("context", 1))
        if any(map(is_link, (*given.values(), context))):
            raise ValueError("Enter the settings of Clip Frames as constants: they are read before it runs.")
        if repeat.is_frame_by_frame(graph.get_node):
            context = 0
        frames = source_of(clip, footage, given["fps"], given["interpolation"], context, target.fps)

        def finish() -> None:
            master_run.output_cache.show_on(node_id, result_ui(path, key, False, animated=True, node_id=node_id))

        run = master_run.Run(graph, repeat, frames, path, target, tags, finish)
        nodes, link = run.begin()
        return io.NodeOutput(list(link), expand=nodes)

    @classmethod
    def _key(cls) -> str:
        return result_store.key_of(cls.hidden.dynprompt, cls.hidden.unique_id)
