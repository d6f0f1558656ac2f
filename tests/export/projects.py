"""Rendered stories, made without a server: clips, a film that the node pack assembles, and a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import numpy as np
import yaml

from driver.files import sha256_of
from driver.rendering.cut import Cue, Cut, Shot
from driver.rendering.manifest import Manifest, Result, SceneEntry, VideoResult
from story_studio.media.encoder import Encoder
from story_studio.media.film import Shot as FilmShot
from story_studio.media.film import assemble
from tests.voices import write_voice

SIZE = (64, 48)
FRAMES = (20, 17, 24)
AnyResult = TypeVar("AnyResult", bound=Result)
SCENES = ("one", "two", "three")


def write_clip(path: Path, frames: int, fps: int, level: int) -> Path:
    """A clip as the node pack encodes it: a bar that moves over grey, and a tone."""
    width, height = SIZE
    with Encoder(path, width, height, Fraction(fps), 1, 16, {}) as encoder:
        for number in range(frames):
            picture = np.full((height, width, 3), level, np.uint8)
            picture[:, 2 * number : 2 * number + 6] = (250, 40, 90)
            encoder.frame(av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p"))
            encoder.audio(np.full((1, 48_000 // fps), 0.1, np.float32))
    return path


class Project:
    """A story of three scenes below a folder, rendered at a frame rate.

    Attributes:
        story: its file.
        output: the folder of the results.
        folder: that of the story's own.
    """

    def __init__(
        self,
        base: Path,
        fps: int = 24,
        join: Literal["cut", "crossfade"] = "cut",
        title: str = "A tale",
        **film: Any,
    ):
        self.story, self.output = base / "tale.yaml", base / "output"
        self.folder = self.output / "tale"
        self.folder.mkdir(parents=True)
        self._join, self._fps, self._title = join, fps, title
        scenes = [
            {
                "id": scene,
                "prompt": f"secret prompt {scene}",
                "text": f"Said in {scene}.",
                "audio": write_voice(base / f"{scene}.wav", frames / fps).name,
            }
            for scene, frames in zip(SCENES, FRAMES, strict=True)
        ]
        settings = {"join": join, "crossfade_seconds": 0.5, **film}
        story = {"project_id": "tale", "title": title, "profile": "draft", "scenes": scenes}
        self.story.write_text(yaml.safe_dump({**story, "film": {"join": join}}, sort_keys=False))
        self._write_results(scenes, settings)

    def _write_results(self, scenes: Sequence[dict[str, str]], settings: dict[str, Any]) -> None:
        levels = (40, 120, 200)
        for scene, frames, level in zip(SCENES, FRAMES, levels, strict=True):
            write_clip(self.folder / f"{scene}_video.mp4", frames, self._fps, level)
            still = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
            still[:, ::2] = 255 - level
            av.VideoFrame.from_ndarray(still, "rgb24").to_image().save(self.folder / f"{scene}_img.png")
        shots = [FilmShot(self.folder / f"{scene}_video.mp4", text=f"Said in {scene}.") for scene in SCENES]
        assemble(shots, self.folder / "film.mp4", join=self._join, title=self._title)
        film = self._result("film.mp4", VideoResult)
        film.settings = {
            **settings,
            "title": self._title,
            "scenes": list(SCENES),
            "chapter titles": [""] * 3,
            "texts": [scene["text"] for scene in scenes],
        }
        entries = [
            SceneEntry(
                id=scene,
                still=self._result(f"{scene}_img.png", Result),
                clip=self._result(f"{scene}_video.mp4", VideoResult),
            )
            for scene in SCENES
        ]
        Manifest(project_id="tale", title=self._title, status="complete", film=film, scenes=entries).write(
            self.folder
        )

    def _result(self, name: str, kind: type[AnyResult]) -> AnyResult:
        path = self.folder / name
        return kind(file=name, sha256=sha256_of(path), bytes=path.stat().st_size, seconds=1.0)

    def set_cut(self, **changes: Any) -> Cut:
        """Writes the cut that a film of this version says into the manifest."""
        starts = np.cumsum([0, *FRAMES]).tolist()
        shots = [
            Shot(scene=scene, title=f"Scene {scene}", start=start, frames=frames, clip_frames=frames)
            for scene, start, frames in zip(SCENES, starts, FRAMES, strict=False)
        ]
        captions = {"en": [Cue(0.1, 0.6, "Said in one."), Cue(1.0, 1.4, "Said in\ntwo.")]}
        values = {"shots": shots, "frames": starts[-1], "captions": captions, **changes}
        cut = Cut(**{"width": SIZE[0], "height": SIZE[1], "fps": str(self._fps), **values})
        self.change(lambda manifest: setattr(manifest.film, "cut", cut))
        return cut

    def change(self, change: Any) -> None:
        """Changes the manifest."""
        manifest = Manifest.model_validate_json((self.folder / "manifest.json").read_bytes())
        change(manifest)
        manifest.write(self.folder)


def frames_of(path: Path) -> np.ndarray:
    """All frames of a video, uint8 [frames, rows, columns], yuv420p."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)])
