"""Master: a clip at the film's size and frame rate, and finds it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_api.latest import InputImpl, io

from .. import master_run
from ..core import output_cache
from ..media.clip_frames import frame_count
from ..media.drift import Drift
from ..media.footage import Footage, read_footage
from ..media.master import Target, measure_drift, target_of, write_master
from ..media.probe import probe
from ..media.progress import part_of
from ..results import result_store
from ..s2v import timeline
from ..story import windows
from ..story.formats import AS_RENDERED, INTERPOLATIONS, RATES, Interpolation
from ..story.keys import Node, constant
from ..story.recipes import Link, is_link
from ..story.results import REPORT_TAG, Kind
from .clip_frames import source_of
from .common import CATEGORY, HIDDEN, name_input, progress_bar, result_ui, video_path

_MEASURING = 0.2
"""The part of the progress in which the drift is measured."""


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
                    "fps",
                    options=[AS_RENDERED, *map(str, RATES)],
                    default=AS_RENDERED,
                    tooltip="Frames a second of the master.",
                ),
                io.Combo.Input(
                    "interpolation",
                    options=list(INTERPOLATIONS),
                    default="motion",
                    tooltip="How frames are made for another rate, where no nodes do: along the motion, "
                    "blended, or repeated.",
                ),
                io.Boolean.Input(
                    "match_color",
                    default=False,
                    tooltip="Measures how the colours drift from chunk to chunk of a long clip, and gives "
                    "all chunks those of its first second where they drift noticeably.",
                ),
                io.Image.Input(
                    "frames",
                    optional=True,
                    lazy=True,
                    tooltip="The clip's frames as other nodes have changed them, which start at a Clip "
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
        return [] if clip is not None or cls._kept().path else ["clip"]

    @classmethod
    def execute(
        cls,
        width: int,
        height: int,
        fps: str,
        interpolation: Interpolation,
        match_color: bool,
        name: str,
        clip: InputImpl.VideoFromFile | None = None,
        frames: Any = None,
    ) -> io.NodeOutput:
        """Returns the master, backed by its file; or expands into the nodes that make it."""
        kept, hidden = cls._kept(), cls.hidden
        key = kept.key
        if kept.path:
            return cls._shown(kept.path, key, reused=True)
        if clip is None:
            raise RuntimeError("The master's file was removed while it was being read: run the graph again.")
        path, source = result_store.place(Kind.MASTER, name, key), video_path(clip)
        footage, progress = read_footage(source), progress_bar()
        target = target_of(
            footage, width, height, None if fps == AS_RENDERED else Fraction(fps), interpolation
        )
        tags = result_store.workflow_tags(hidden.dynprompt, hidden.unique_id, hidden.extra_pnginfo)
        drift = None
        if match_color:
            starts = cls._chunk_starts(footage)
            drift = measure_drift(source, footage, starts, part_of(progress, 0, _MEASURING))
            tags[REPORT_TAG] = json.dumps(drift.json())
        if is_link(hidden.dynprompt.get_node(hidden.unique_id)["inputs"].get("frames")):
            target = target if width and height else replace(target, width=0, height=0)
            return cls._expanded(source, footage, path, target, tags, key, drift)
        rest = _MEASURING if drift else 0
        write_master(path, source, footage, target, drift, tags, part_of(progress, rest, 1))
        return cls._shown(path, key, reused=False)

    @classmethod
    def _chunk_starts(cls, footage: Footage) -> list[int]:
        with_image = result_store.starts_with_image(cls.hidden.dynprompt, cls.hidden.unique_id)
        lead_in = timeline.START_IMAGE_LEAD_IN_FRAMES if with_image else timeline.LEAD_IN_FRAMES
        return timeline.chunk_starts(frame_count(footage, footage.fps), footage.fps, lead_in)

    @classmethod
    def _shown(cls, path: Path, key: str, reused: bool) -> io.NodeOutput:
        return io.NodeOutput(
            InputImpl.VideoFromFile(str(path)), ui=_ui(path, key, reused, cls.hidden.unique_id)
        )

    @classmethod
    def _expanded(
        cls,
        clip: Path,
        footage: Footage,
        path: Path,
        target: Target,
        tags: dict[str, str],
        key: str,
        drift: Drift | None,
    ) -> io.NodeOutput:
        graph, node_id = cls.hidden.dynprompt, cls.hidden.unique_id
        inputs = graph.get_node(node_id)["inputs"]
        repeat = windows.repeated(graph.get_node, Link(*inputs["frames"]))
        settings = _frames_settings(graph.get_node, repeat.source, inputs.get("clip"))
        if repeat.is_frame_by_frame(graph.get_node):
            settings["context"] = 0
        frames = source_of(clip, footage, **settings, master_fps=target.fps, drift=drift)

        def finish() -> None:
            output_cache.show_on(node_id, _ui(path, key, False, node_id))

        run = master_run.Run(node_id, graph, repeat, frames, path, target, tags, finish)
        nodes, link = run.begin()
        return io.NodeOutput(list(link), expand=nodes)

    @classmethod
    def _kept(cls) -> result_store.Kept:
        return result_store.kept_by(cls.hidden.dynprompt, cls.hidden.unique_id)


def _frames_settings(get_node: Callable[[str], Node], node_id: str, clip: Any) -> dict[str, Any]:
    """The settings of a Clip Frames node, which does not run; `clip` is what the Master has for its clip."""
    inputs = get_node(node_id)["inputs"]
    if inputs.get("clip") != clip:
        raise ValueError(
            "Master and Clip Frames have different clips: link the same clip to both, so that its audio "
            "belongs to its frames."
        )
    settings = {name: constant(get_node, inputs.get(name, 1)) for name in ("fps", "interpolation", "context")}
    if any(map(is_link, settings.values())):
        raise ValueError(
            "The settings of Clip Frames are read before it runs: enter them there, without links."
        )
    return settings


def _ui(path: Path, key: str, reused: bool, node_id: str) -> dict[str, Any]:
    """What the node shows, with the drift that is noted in the file."""
    ui = result_ui(path, key, reused, animated=True, node_id=node_id)
    drift = probe(path).metadata.get(REPORT_TAG)
    return ui | ({"drift": [json.loads(drift)]} if drift else {})
