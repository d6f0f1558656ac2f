"""The filters that make a clip's frames those of a film: their rate, size, shape and colours."""

from __future__ import annotations

from fractions import Fraction

import av
from av.filter import Graph
from av.filter.context import FilterContext

from .canvas import Canvas
from .delivery import Delivery
from .encoder import TO_BT709
from .footage import Footage
from .probe import to_seconds

_EXACT = "accurate_rnd+full_chroma_inp+bitexact"
_FILL_SHARE = 8
"""The blurred fill is made at this part of the film's size."""
_FILL_BLUR = 0.035
"""Standard deviation of the blur, as a part of the fill's shorter side."""
_FILL_DARKER = "y=16+(val-16)*0.62:u=128+(val-128)*0.8:v=128+(val-128)*0.8"


def conform_graph(stream: av.VideoStream, footage: Footage, canvas: Canvas, delivery: Delivery) -> Graph:
    """A filter graph from the frames of a clip to upright yuv420p BT.709 frames of the canvas."""
    graph = Graph()
    last: FilterContext = graph.add_buffer(template=stream)
    turns = (name.partition("=")[::2] for name in footage.turns)
    for name, options in (("fps", at_rate(stream, canvas.fps)), *turns):
        last = _then(graph, last, name, options or None)
    if delivery.fit == "blur" and footage.fit(canvas.width, canvas.height) != (canvas.width, canvas.height):
        last = _filled(graph, last, footage, canvas, delivery)
    else:
        last = _scaled(graph, last, _fit(footage, canvas), _flags(footage, canvas, delivery))
        last = _then(graph, last, "pad", f"{canvas.width}:{canvas.height}:-1:-1")
    for name, options in (("setsar", "1"), ("buffersink", None)):
        last = _then(graph, last, name, options)
    graph.configure()
    return graph


def at_rate(stream: av.VideoStream, fps: Fraction, start: Fraction = Fraction(0)) -> str:
    """The options of ffmpeg's `fps` for a steady rate from `start` on, in seconds of the video.

    Not all files start at the time stamp 0: what was cut from a broadcast does not.
    """
    first = to_seconds(stream.start_time, stream.time_base) + start
    return f"fps={fps}:start_time={float(first):.9g}"


def _then(graph: Graph, last: FilterContext, name: str, options: str | None) -> FilterContext:
    added = graph.add(name, options)
    last.link_to(added)
    return added


def _scaled(graph: Graph, last: FilterContext, size: str, flags: str) -> FilterContext:
    last = _then(graph, last, "scale", f"{size}:{TO_BT709}:flags={flags}+{_EXACT}")
    return _then(graph, last, "format", "yuv420p")


def _fit(footage: Footage, canvas: Canvas) -> str:
    width, height = canvas.width, canvas.height
    if footage.is_plain:
        return f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"
    return ":".join(map(str, footage.fit(width, height)))


def _flags(footage: Footage, canvas: Canvas, delivery: Delivery) -> str:
    enlarges = footage.width < canvas.width and footage.height < canvas.height
    return "lanczos" if enlarges and delivery.width else "bicubic"


def _filled(
    graph: Graph, last: FilterContext, footage: Footage, canvas: Canvas, delivery: Delivery
) -> FilterContext:
    """The clip before itself, enlarged until nothing is empty, blurred and slightly darkened."""
    width, height = (max(2, side // _FILL_SHARE // 2 * 2) for side in (canvas.width, canvas.height))
    scale = max(Fraction(width, footage.width), Fraction(height, footage.height))
    cover = ":".join(str(-(-side * scale // 2) * 2) for side in footage.size)
    split = _then(graph, last, "split", "2")
    flags = _flags(footage, canvas, delivery)
    front = graph.add("scale", f"{_fit(footage, canvas)}:{TO_BT709}:flags={flags}+{_EXACT}")
    split.link_to(front, 0)
    front = _then(graph, front, "format", "yuv420p")
    fill = graph.add("scale", f"{cover}:{TO_BT709}:flags=area+{_EXACT}")
    split.link_to(fill, 1)
    for name, options in (
        ("format", "yuv420p"),
        ("crop", f"{width}:{height}"),
        ("gblur", f"{_FILL_BLUR * min(width, height):.2f}"),
        ("lutyuv", _FILL_DARKER),
        ("scale", f"{canvas.width}:{canvas.height}:flags=bicubic+{_EXACT}"),
        ("setsar", "1"),
    ):
        fill = _then(graph, fill, name, options)
    front_width, front_height = footage.fit(canvas.width, canvas.height)
    left, top = (canvas.width - front_width) // 4 * 2, (canvas.height - front_height) // 4 * 2
    overlay = graph.add("overlay", f"{left}:{top}:format=yuv420:shortest=1")
    fill.link_to(overlay, 0, 0)
    front.link_to(overlay, 0, 1)
    return overlay
