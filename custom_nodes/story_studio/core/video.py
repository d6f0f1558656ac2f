"""The file behind a VIDEO."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import InputImpl


def source_file(video: InputImpl.VideoFromFile) -> Path | None:
    """The file of a VIDEO that is exactly the content of this file; else None.

    `get_stream_source` also returns the file of a video that is trimmed (since 0.13) or cropped (after 0.33).
    Comparing its duration and size with those of the file detects this with public methods only.
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
        # A raw stream has no known duration, so it cannot be trimmed either.
        is_whole = True
    return Path(source) if is_whole else None
