"""Recordings and images are decoded before anything is rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import mkdtemp

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from driver.cancel import Cancelled
from driver.rendering import inputs
from driver.rendering.recordings import read_recording
from story_studio.story import schema
from story_studio.story.problems import Problems
from tests.voices import write_voice


def convert(source: Path, target: Path, *options: str) -> Path:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True)
    return target


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".mp3", ()),
        (".flac", ()),
        (".ogg", ("-c:a", "libvorbis")),
        (".m4a", ()),
        (".wav", ("-c:a", "pcm_u8")),
        (".wav", ("-c:a", "pcm_s24le")),
        (".wav", ("-c:a", "pcm_f64le")),
        (".wav", ("-ar", "8000")),
        (".wav", ("-ac", "6", "-ar", "48000")),
    ],
)
def test_recordings_of_all_formats_are_measured(
    suffix: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    source = write_voice(tmp_path / "source.wav", 1.5)
    recording = read_recording(convert(source, tmp_path / f"voice{suffix}", *options), tmp_path)
    assert recording.seconds == pytest.approx(1.5, abs=0.06)


def test_all_problems_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("this is no sound")
    write_voice(tmp_path / "short.wav", 0.1)
    _silent(tmp_path / "silent.wav")
    whole = convert(write_voice(tmp_path / "source.wav", 2), tmp_path / "whole.flac")
    (tmp_path / "cut.flac").write_bytes(whole.read_bytes()[:60])
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "only.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "only.png").read_bytes()[:40])
    names = ["gone.mp3", "text.mp3", "short.wav", "silent.wav", "cut.flac", "only.png"]
    scenes = [{"id": f"s{n}", "prompt": "x", "audio": name} for n, name in enumerate(names)]
    scenes.append({"id": "picture", "image": "broken.png", "audio": "source.wav"})
    with pytest.raises(Problems) as caught:
        inputs.gather(schema.parse({"scenes": scenes}), tmp_path, tmp_path)
    problems = {problem.where: problem.what for problem in caught.value.problems}
    assert "does not exist" in problems["scenes[0].audio"]
    assert "cannot be read as audio" in problems["scenes[1].audio"]
    assert "at least 0.2 s" in problems["scenes[2].audio"]
    assert "is silent" in problems["scenes[3].audio"]
    assert "cannot be read as audio" in problems["scenes[4].audio"]
    assert "no audio in it" in problems["scenes[5].audio"] or "cannot be read" in problems["scenes[5].audio"]
    assert "cannot be read as an image" in problems["scenes[6].image"]
    assert len(problems) == 7


def _silent(path: Path) -> None:
    source = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "1")
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, str(path)], check=True)


def test_inputs_belong_to_their_scenes(tmp_path: Path) -> None:
    write_voice(tmp_path / "a.wav", 0.5)
    write_voice(tmp_path / "b.wav", 0.7)
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    scenes = [
        {"id": "one", "prompt": "x", "audio": "a.wav"},
        {"id": "two", "image": "p.png", "audio": "b.wav"},
    ]
    gathered = inputs.gather(schema.parse({"scenes": scenes}), tmp_path, tmp_path)
    assert gathered.scenes["one"].recording.seconds == 0.5
    assert gathered.scenes["one"].image is None
    assert gathered.scenes["two"].recording.seconds == 0.7
    assert gathered.scenes["two"].image and gathered.scenes["two"].image.path.name == "p.png"


def _broken_avif(path: Path) -> Path:
    """An AVIF that Pillow raises no OSError for."""
    Image.new("RGB", (64, 64)).save(path)
    path.write_bytes(path.read_bytes().replace(b"pitm", b"free"))
    with pytest.raises(RuntimeError), Image.open(path) as image:
        image.load()
    return path


def test_a_decoder_that_raises_anything_affects_only_its_scenes(tmp_path: Path) -> None:
    _broken_avif(tmp_path / "broken.avif")
    Image.new("RGB", (64, 64)).save(tmp_path / "good.png")
    write_voice(tmp_path / "a.wav", 0.5)
    images = ["good.png", "broken.avif", "good.png", "broken.avif"]
    story = schema.parse(
        {"scenes": [{"id": f"s{n}", "image": name, "audio": "a.wav"} for n, name in enumerate(images)]}
    )
    fetched: list[str] = []

    def fetch(source: str, folder: Path) -> Path:
        assert folder.is_dir() and not list(folder.iterdir())
        fetched.append(source)
        return tmp_path / source

    (tmp_path / "work").mkdir()
    good, _, problems, _ = inputs.gather_each(story, tmp_path / "work", fetch)
    assert list(good) == ["s0", "s2"]
    assert good["s0"].recording.seconds == 0.5
    assert [problem.where for of_scene in problems.values() for problem in of_scene] == [
        "scenes[1].image",
        "scenes[3].image",
    ]
    for ((_, what),) in problems.values():
        assert what.startswith("broken.avif cannot be read as an image") and "export it again" in what
    # What several scenes use is fetched and decoded once.
    assert sorted(fetched) == ["a.wav", "broken.avif", "good.png"]


def test_music_is_an_input_of_the_film(tmp_path: Path) -> None:
    write_voice(tmp_path / "a.wav", 0.5)
    write_voice(tmp_path / "song.wav", 1.1)
    scenes = [{"id": "one", "prompt": "x", "audio": "a.wav"}]
    story = schema.parse({"scenes": scenes, "film": {"music": "song.wav"}})
    music = inputs.gather(story, tmp_path, tmp_path).music
    assert music and music.seconds == 1.1
    # What the nodes would refuse only when the clips are rendered.
    write_voice(tmp_path / "song.wav", 0.9)
    assert "song.wav lasts 0.9 s, and music needs at least a second" in _problem_with_music(story, tmp_path)
    (tmp_path / "song.wav").write_text("la la la")
    assert "song.wav cannot be read as audio" in _problem_with_music(story, tmp_path)


def _problem_with_music(story: schema.Story, base: Path) -> str:
    with pytest.raises(Problems) as caught:
        inputs.gather(story, base, Path(mkdtemp(dir=base)))
    (problem,) = caught.value.problems
    assert problem.where == "film.music.file"
    return problem.what


def test_cancelling_while_inputs_are_fetched_ends_everything(tmp_path: Path) -> None:
    story = schema.parse({"scenes": [{"id": "a", "prompt": "x", "audio": "a.wav"}]})

    def fetch(source: str, folder: Path) -> Path:
        raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        inputs.gather_each(story, tmp_path, fetch)
