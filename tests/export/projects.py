"""Rendered stories, made without a server: clips, a film that the node pack assembles, and a manifest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import yaml

from driver.cli import main
from driver.export.probe import probe
from driver.files import sha256_of
from driver.rendering.cut import Cue, Cut, Shot
from driver.rendering.manifest import Manifest, Result, SceneEntry, VideoResult
from story_studio.media.cut import Transition
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
            image = np.full((height, width, 3), level, np.uint8)
            image[:, 2 * number : 2 * number + 6] = (250, 40, 90)
            encoder.frame(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p"))
            encoder.audio(np.full((1, 48_000 // fps), 0.1, np.float32))
    return path


class Project:
    """A story of three scenes below a folder, rendered at a frame rate.

    Attributes:
        story: its file.
        output: the folder of the results.
        folder: that of the story's own.
    """

    def __init__(self, base: Path):
        self.story, self.output = base / "tale.yaml", base / "output"
        self.folder = self.output / "tale"

    @classmethod
    def render(cls, base: Path, fps: int, join: Transition, title: str) -> Project:
        """Writes the story and its results below an empty folder."""
        project = cls(base)
        project.folder.mkdir(parents=True)
        scenes = [
            {
                "id": scene,
                "prompt": f"secret prompt {scene}",
                "text": f"Said in {scene}.",
                "audio": write_voice(base / f"{scene}.wav", frames / fps).name,
            }
            for scene, frames in zip(SCENES, FRAMES, strict=True)
        ]
        story = {"project_id": "tale", "title": title, "profile": "draft", "scenes": scenes}
        project.story.write_text(yaml.safe_dump({**story, "film": {"join": join}}, sort_keys=False))
        for scene, frames, level in zip(SCENES, FRAMES, (40, 120, 200), strict=True):
            write_clip(project.folder / f"{scene}_video.mp4", frames, fps, level)
            still = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
            av.VideoFrame.from_ndarray(still, "rgb24").to_image().save(project.folder / f"{scene}_img.png")
        shots = [FilmShot(project.folder / f"{scene}_video.mp4") for scene in SCENES]
        tags = {"prompt": "secret prompt, the graph"}
        assemble(shots, project.folder / "film.mp4", join=join, title=title, metadata=tags)
        settings = {"join": join, "crossfade_seconds": 0.5, "title": title, "scenes": list(SCENES)}
        project._write_manifest({**settings, "texts": [scene["text"] for scene in scenes]}, title)
        return project

    def _write_manifest(self, settings: dict[str, Any], title: str) -> None:
        film = self._result("film.mp4", VideoResult)
        film.settings = settings
        entries = [
            SceneEntry(
                id=scene,
                still=self._result(f"{scene}_img.png", Result),
                clip=self._result(f"{scene}_video.mp4", VideoResult),
            )
            for scene in SCENES
        ]
        manifest = Manifest(project_id="tale", title=title, status="complete", film=film, scenes=entries)
        manifest.write(self.folder)

    @property
    def film(self) -> np.ndarray:
        """The frames of the film."""
        return frames_of(self.folder / "film.mp4")

    def export(self, to: str, *more: str) -> Path:
        """Runs the command; returns the folder that it writes without `--zip`."""
        words = ["export", str(self.story), "--to", to, "--output", str(self.output), *more]
        assert main(words) == 0
        return self.folder / "export" / f"tale-{to}"

    def _result(self, name: str, kind: type[AnyResult]) -> AnyResult:
        path = self.folder / name
        return kind(file=name, sha256=sha256_of(path), bytes=path.stat().st_size)

    def set_cut(self, **changes: Any) -> Cut:
        """Writes the cut that a film of this version says into the manifest."""
        starts = np.cumsum([0, *FRAMES]).tolist()
        shots = [
            Shot(scene=scene, title=f"Scene {scene}", start=start, frames=frames, clip_frames=frames)
            for scene, start, frames in zip(SCENES, starts, FRAMES, strict=False)
        ]
        captions = {"en": [Cue(0.1, 0.6, "Said in one."), Cue(1.0, 1.4, "Said in\ntwo.")]}
        fps = str(probe(self.folder / "film.mp4").fps)
        values = {"shots": shots, "frames": starts[-1], "captions": captions, "fps": fps, **changes}
        cut = Cut(**{"width": SIZE[0], "height": SIZE[1], **values})
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
