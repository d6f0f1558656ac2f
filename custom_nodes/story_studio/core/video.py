"""The file behind a VIDEO."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import InputImpl


def source_file(video: InputImpl.VideoFromFile) -> Path | None:
    """The file whose whole content a VIDEO is; None if it has none, or is only a part of one.

    `get_stream_source` gives the file also of a video that is trimmed (since 0.13) or cropped (after 0.33).
    What such a video says of its length and size then differs from what its file says: that shows every cut,
    of whatever kind, by public methods alone.
    """
    source = getattr(video, "get_stream_source", lambda: None)()
    if not isinstance(source, str):
        return None
    whole = InputImpl.VideoFromFile(source)
    if video.get_dimensions() != whole.get_dimensions():
        return None
    try:
        is_whole = video.get_duration() == whole.get_duration()
    except (OSError, ValueError):
        # A raw stream has no length that can be asked for, and so cannot be cut either.
        is_whole = True
    return Path(source) if is_whole else None
