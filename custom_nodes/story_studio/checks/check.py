"""The check of a clip as a result: a PNG, the sheet of the worst moments with the figures in a text chunk.

It is found by what was measured: the clip's content, the reference and how it was measured. The verdict is
not kept: the same figures are judged by today's limits, and a sheet that shows other findings is drawn again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image, PngImagePlugin
from pydantic import BaseModel, Field, ValidationError

from ..files import ending_with, written_aside
from ..story.keys import hash_parts
from ..story.results import CHECK_TAG, Kind, key_in
from .faces import missing_models
from .figures import Figures
from .measure import measure
from .method import method
from .moments import frames_of, moments_of
from .sheet import columns_of, draw
from .verdict import Finding, Verdict, judge

_BLOCK = 2**23
"""Bytes of a clip that are read at a time."""


class Check(BaseModel):
    """What is wrong with a clip, and by which figures.

    Attributes:
        key: of what was measured, 24 hexadecimal digits.
        findings: the worst first.
        sheet: the PNG of the worst moments; None if it is not kept. It is not part of the JSON.
        reused: whether the figures were found, and not measured. Not part of the JSON.
        clip: the key of the clip, if it is a result; else empty. Not part of the JSON.
    """

    key: str
    verdict: Verdict
    findings: list[Finding]
    figures: Figures
    sheet: Path | None = Field(default=None, exclude=True)
    reused: bool = Field(default=False, exclude=True)
    clip: str = Field(default="", exclude=True)


class _Kept(BaseModel):
    """What the PNG holds: the figures of `key`, the findings that it shows, and the key of the clip."""

    key: str
    figures: Figures
    shown: list[str]
    clip: str = ""


def check_key(
    path: Path,
    *,
    talking: bool = True,
    reference: np.ndarray | None = None,
    on_block: Callable[[], Any] = lambda: None,
) -> str:
    """The key of a clip's check: of its bytes, how it is measured, and the reference of one who talks.

    `on_block` is called with each block that is read. Raises OSError.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            on_block()
            digest.update(block)
    content, pixels = digest.hexdigest(), ""
    if reference is not None and talking:
        pixels = hash_parts(str(reference.shape), np.ascontiguousarray(reference).tobytes())
    return hash_parts("check", method(), content, pixels, str(talking))


def find_check(store: Path, key: str) -> Path | None:
    """The file of the check with this key, whatever its name; None if there is none."""
    return ending_with(store, f".{key}{Kind.CHECK.suffix}")


def check_clip(
    path: Path,
    store: Path | None,
    *,
    name: str,
    talking: bool = True,
    reference: np.ndarray | None = None,
    on_progress: Callable[[float], Any] = lambda done: None,
) -> Check:
    """Measures a clip on the CPU and judges it; one that was checked before is not measured again.

    Args:
        path: a video file.
        store: the folder of the checks, in which the result is kept; None keeps none.
        name: of the result, for people.
        talking: whether somebody is to speak on screen: only then are face, lips and identity measured.
        reference: the image that the clip starts from, rgb24 uint8 [H, W, 3]; unused unless `talking`.
        on_progress: called many times a second with the share of the clip that is measured, 0 to 1; what it
            raises ends the check.

    Raises:
        OSError: the clip cannot be read or the result cannot be written.
        ValueError: the file is no video; with what to do.
    """
    key = check_key(path, talking=talking, reference=reference, on_block=lambda: on_progress(0.0))
    kept, file = None, None
    if store and (file := find_check(store, key)):
        kept = _read(file, key)
    if kept and kept.figures.face is None and talking and missing_models() is None:
        # It was measured where the face models are not installed.
        kept = None
    if kept:
        figures = kept.figures
        on_progress(1.0)
    else:
        if _is_image(path):
            raise ValueError(f"{path.name} is an image: give a video.")
        figures = measure(path, talking=talking, reference=reference, on_progress=on_progress)
    verdict, findings = judge(figures)
    shown = [f"{finding.level}: {finding.text}" for finding in findings]
    # A clip in a project's folder has no key in its name, and may be checked first.
    clip = (kept.clip if kept else "") or key_in(path.name) or ""
    if store and not (kept and kept.shown == shown and kept.clip == clip):
        moments = moments_of(figures, findings, columns_of(figures))
        sheet = draw(name, verdict, findings, figures, moments, frames_of(path, moments))
        file = file or store / Kind.CHECK.file_name(name, key)
        _write(file, sheet, _Kept(key=key, figures=figures, shown=shown, clip=clip))
    return Check(
        key=key,
        verdict=verdict,
        findings=findings,
        figures=figures,
        sheet=file,
        reused=bool(kept),
        clip=clip,
    )


def read_check(path: Path) -> Check | None:
    """The check that a PNG holds, judged by today's limits; None if it holds none, or is damaged."""
    if not (kept := _read(path)):
        return None
    verdict, findings = judge(kept.figures)
    return Check(
        key=kept.key,
        verdict=verdict,
        findings=findings,
        figures=kept.figures,
        sheet=path,
        reused=True,
        clip=kept.clip,
    )


def _is_image(path: Path) -> bool:
    with suppress(FFmpegError), av.open(str(path)) as container:
        # FFmpeg takes one for a video of one frame.
        return container.format.name == "image2" or container.format.name.endswith("_pipe")
    return False


def _read(path: Path, key: str = "") -> _Kept | None:
    """What a PNG holds; None if it is damaged, foreign, or of another key."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(CHECK_TAG, "")
            image.verify()
        kept = _Kept.model_validate_json(text)
    except (OSError, SyntaxError, ValueError, ValidationError, zlib.error, Image.DecompressionBombError):
        return None
    return kept if key in ("", kept.key) else None


def _write(path: Path, sheet: Image.Image, kept: _Kept) -> None:
    about = PngImagePlugin.PngInfo()
    data = json.dumps(kept.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    # Pillow reads no longer one back.
    assert len(data.encode()) < PngImagePlugin.MAX_TEXT_CHUNK
    about.add_itxt(CHECK_TAG, data, zip=True)
    with written_aside(path) as aside:
        # The default takes twice as long for a tenth less.
        sheet.save(aside, "PNG", pnginfo=about, compress_level=3)
