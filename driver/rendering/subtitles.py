"""Captions as files beside a film: SubRip (.srt) and WebVTT (.vtt)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from story_studio.story.subtitles import lines_of, subtitles

from ..files import written_aside

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


def write_subtitles(
    captions: Mapping[str, Sequence[Sequence[Any]]], folder: Path, stem: str = "film"
) -> list[Path]:
    """Writes a film's captions beside it, named by `subtitles_name`.

    Files of languages that have no captions any more are removed.

    Args:
        captions: by language (BCP 47; empty if the story's is unknown) a list of captions, each a list that
            starts with start and end in seconds and the text.
        folder: the film's folder.
        stem: the film's name without suffix.

    Returns:
        The files, sorted.

    Raises:
        ValueError: a language is not one, as BCP 47 writes it.
        OSError: a file cannot be written or removed.
    """
    written: list[Path] = []
    for language, cues in captions.items():
        for suffix in ("srt", "vtt") if any(lines_of(cue[2]) for cue in cues) else ():
            path = folder / subtitles_name(stem, language, suffix)
            content = subtitles(cues, suffix).encode()
            # What is there is left alone, so that whoever syncs the folder finds nothing new.
            if not (path.is_file() and path.read_bytes() == content):
                with written_aside(path) as aside:
                    aside.write_bytes(content)
            written.append(path)
    for path in _earlier(folder, stem):
        if path not in written:
            path.unlink(missing_ok=True)
    return sorted(written)


def subtitles_name(stem: str, language: str, suffix: str) -> str:
    """The name of a file of captions: `film.srt`, or `film.de.srt` where their language is known.

    Raises:
        ValueError: the language is not one, as BCP 47 writes it.
    """
    if language and not _LANGUAGE.fullmatch(language):
        raise ValueError(f"{language!r} is not a language: write it as BCP 47 has it, such as de or pt-BR.")
    return ".".join(filter(None, (stem, language, suffix)))


def _earlier(folder: Path, stem: str) -> list[Path]:
    own = re.compile(rf"{re.escape(stem)}(\.{_LANGUAGE.pattern})?\.(srt|vtt)")
    return [path for path in folder.iterdir() if own.fullmatch(path.name)] if folder.is_dir() else []
