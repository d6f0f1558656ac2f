"""A folder for a client: the film, captions, images, what is in it, and a page that plays it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import imageio_ffmpeg

from ..files import is_disk_full, sha256_of
from ..rendering.cut import Cut
from ..rendering.subtitles import subtitles_name, write_subtitles
from .folder import plain
from .frames import thumbnail, write_poster, write_storyboard
from .media import OnStep, title_of
from .page import FILM, POSTER, STORYBOARD, Scene, render_page
from .rendered import Rendered

PAGE, CONTENTS = "index.html", "manifest.json"
_MUXING = ("-movflags", "+faststart", "-fflags", "+bitexact", "-movie_timescale", "48000")


def write(rendered: Rendered, folder: Path, on_step: OnStep) -> list[str]:
    """Writes the folder; returns what the user should know, a sentence each.

    Nothing in it says how the film was made: its own tags, which hold the whole workflow, are left out, and
    `manifest.json` is another one than in the results.

    Raises:
        OSError: something cannot be read or written.
        ValueError: the film cannot be decoded.
    """
    cut, story = rendered.cut, rendered.story
    title = " ".join(plain(story.title).split()) or story.project_id
    on_step(FILM.name, 0.0)
    copy_film(rendered.film_path, folder / FILM, title)
    on_step(POSTER, 0.3)
    write_poster(rendered.film_path, cut, folder / POSTER)
    scenes = _scenes(rendered, folder, on_step)
    captions = _captions(cut, folder)
    page = render_page(title, story.language or "", cut, scenes, captions, folder)
    (folder / PAGE).write_text(page, encoding="utf-8")
    contents = _contents(title, rendered, scenes, folder)
    text = json.dumps(contents, indent=2, ensure_ascii=False)
    (folder / CONTENTS).write_text(f"{text}\n", encoding="utf-8")
    on_step(CONTENTS, 1.0)
    return []


def copy_film(source: Path, target: Path, title: str) -> None:
    """Copies the streams and chapters of a film, without its tags.

    Raises:
        OSError: the disk is full.
        ValueError: the film cannot be read.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-i", str(source)]
    # Chapters of an MP4 are also a data stream, which ffmpeg writes itself.
    command += ["-map", "0:v", "-map", "0:a?", "-map", "0:s?", "-c", "copy", "-map_metadata:g", "-1"]
    command += ["-map_chapters", "0", "-metadata", f"title={title}", *_MUXING, "-f", "mp4", str(target)]
    with tempfile.TemporaryFile() as errors:
        if subprocess.run(command, stderr=errors, stdin=subprocess.DEVNULL, check=False).returncode:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip()
            if is_disk_full(said):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
            raise ValueError(f"ffmpeg cannot copy {source.name} ({said}); render it again.")


def _scenes(rendered: Rendered, folder: Path, on_step: OnStep) -> list[Scene]:
    cut = rendered.cut
    texts = {scene.id: scene.text for scene in rendered.story.scenes}
    (folder / "scenes").mkdir()
    scenes: list[Scene] = []
    images = []
    for index, shot in enumerate(cut.shots):
        number, file = 0, ""
        if shot.kind == "scene":
            on_step(STORYBOARD, 0.4 + 0.5 * index / len(cut.shots))
            images.append(thumbnail(rendered.film_path, shot, cut.rate))
            number, file = len(images), f"scenes/{len(images):03}.jpg"
            images[-1].save(folder / file, quality=86)
        seconds = float(shot.start / cut.rate), float(shot.frames / cut.rate)
        text = " ".join(plain(texts.get(shot.scene, "")).split())
        scenes.append(Scene(number, title_of(shot, cut.shots), text, *seconds, file))
    write_storyboard(images, folder / STORYBOARD)
    return scenes


def _captions(cut: Cut, folder: Path) -> dict[str, str]:
    """Writes the captions of each language; returns them as WebVTT."""
    captions = {
        language: [(cue.start, cue.end, plain(cue.text)) for cue in cues]
        for language, cues in cut.captions.items()
    }
    names = {path.name for path in write_subtitles(captions, folder, FILM.stem)}
    tracks = {language: subtitles_name(FILM.stem, language, "vtt") for language in captions}
    return {
        language: (folder / name).read_text(encoding="utf-8")
        for language, name in tracks.items()
        if name in names
    }


def _contents(title: str, rendered: Rendered, scenes: list[Scene], folder: Path) -> dict[str, Any]:
    cut = rendered.cut
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sound = cut.sound or {}
    measured = {name: sound[name] for name in ("loudness", "true_peak") if sound.get(name) is not None}
    return {
        "title": title,
        "seconds": round(float(cut.frames / cut.rate), 3),
        "width": cut.width,
        "height": cut.height,
        "fps": cut.fps,
        **({"sound": measured} if measured else {}),
        "scenes": [
            {"title": scene.title, "start": round(scene.start, 3), "seconds": round(scene.seconds, 3)}
            for scene in scenes
            if scene.number
        ],
        "files": [
            {
                "file": path.relative_to(folder).as_posix(),
                "bytes": path.stat().st_size,
                "sha256": sha256_of(path),
            }
            for path in files
        ],
    }
