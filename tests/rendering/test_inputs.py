"""Recordings and images are decoded before anything is rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from driver.cancel import Cancelled
from driver.rendering import inputs
from driver.rendering.recordings import read_recording
from story_studio.story import schema
from story_studio.story.problems import Problems
from tests.rendering.test_clips import make_clip
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
    assert gathered.scenes["one"].seconds == 0.5
    assert gathered.scenes["one"].image is None
    assert gathered.scenes["two"].seconds == 0.7
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
    gathered = inputs.gather_each(story, tmp_path / "work", fetch)
    good, problems = gathered.scenes, gathered.problems
    assert list(good) == ["s0", "s2"]
    assert good["s0"].seconds == 0.5
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


def test_every_kind_of_scene_has_its_inputs(tmp_path: Path) -> None:
    write_voice(tmp_path / "a.wav", 0.5)
    write_voice(tmp_path / "spoken.wav", 3)
    make_clip(tmp_path / "shot.mp4", 2)
    Image.new("RGB", (512, 512)).save(tmp_path / "mara.png")
    scenes = [
        {"id": "talking", "prompt": "x", "audio": "a.wav"},
        {"id": "silent", "prompt": "x", "seconds": 1.5},
        {"id": "own", "clip": "shot.mp4", "from": 0.5},
        {"id": "over", "clip": "shot.mp4", "audio": "a.wav"},
        {"id": "cut", "clip": "shot.mp4", "to": 1.5, "audio": "a.wav"},
        {"id": "spoken", "prompt": "x", "text": "Hello.", "kind": "narrated"},
    ]
    characters = {"mara": {"description": "a keeper", "reference": "mara.png"}}
    story = schema.parse({"scenes": scenes, "characters": characters})
    (downloads := tmp_path / "downloads").mkdir()
    gathered = inputs.gather(story, tmp_path, downloads, {"spoken": tmp_path / "spoken.wav"})
    lengths = {scene: made.seconds for scene, made in gathered.scenes.items()}
    assert lengths == pytest.approx(
        {"talking": 0.5, "silent": 1.5, "own": 1.5, "over": 0.5, "cut": 1.5, "spoken": 3}, abs=0.05
    )
    assert gathered.references["mara"].path.name == "mara.png"
    files = {scene: made.files for scene, made in gathered.scenes.items()}
    assert files["silent"] == (None, None, None, 1.5)
    own = files["own"].clip
    assert own and own.endswith(".mp4") and files["own"].audio is None
    assert files["over"].clip == own and files["over"].audio == files["talking"].audio
    # Without its voice a scene is left out: whoever speaks it says why.
    (again := tmp_path / "again").mkdir()
    assert "spoken" not in inputs.gather(story, tmp_path, again, {}).scenes


def test_everything_wrong_with_kinds_of_scenes_is_said_with_its_place(tmp_path: Path) -> None:
    make_clip(tmp_path / "shot.mp4", 1, sound=False)
    make_clip(tmp_path / "odd.mkv", 1, "-c:a", "pcm_s16le")
    # A codec that nothing decodes.
    (tmp_path / "odd.mkv").write_bytes(
        (tmp_path / "odd.mkv").read_bytes().replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT")
    )
    write_voice(tmp_path / "a.wav", 0.5)
    scenes = [
        {"id": "late", "clip": "shot.mp4", "from": 3},
        {"id": "gone", "clip": "gone.mp4"},
        {"id": "mute", "clip": "odd.mkv", "mute": True},
        {"id": "odd", "clip": "odd.mkv"},
        {
            "id": "talk",
            "prompt": "a room",
            "lines": [
                {"character": "mara", "text": "Yes.", "audio": "none.wav"},
                {"text": "No.", "audio": "a.wav"},
            ],
        },
        {"id": "said", "prompt": "x", "text": "Hello."},
    ]
    characters = {"mara": {"description": "a keeper", "reference": "a.wav"}}
    story = schema.parse({"scenes": scenes, "characters": characters})
    with pytest.raises(Problems) as caught:
        inputs.gather(story, tmp_path, tmp_path)
    problems = {problem.where: problem.what for problem in caught.value.problems}
    assert list(problems) == [
        "scenes[0].from",
        "scenes[1].clip",
        "scenes[3].clip",
        "scenes[4].lines[0].audio",
        "scenes[5].text",
        "characters.mara.reference",
    ]
    assert "sound that cannot be decoded" in problems["scenes[3].clip"]


def test_a_clip_without_the_sound_that_is_expected_is_a_warning(tmp_path: Path) -> None:
    make_clip(tmp_path / "shot.mp4", 1, sound=False)
    write_voice(tmp_path / "a.wav", 0.5)
    more: list[dict[str, Any]] = [{}, {"mute": True}, {"audio": "a.wav"}]
    scenes = [{"id": f"s{n}", "clip": "shot.mp4", **fields} for n, fields in enumerate(more)]
    gathered = inputs.gather(
        schema.parse({"scenes": scenes, "video_settings": {"resolution": "128x96"}}), tmp_path, tmp_path
    )
    warnings = [scene.clip.warnings for scene in gathered.scenes.values() if scene.clip]
    assert [len(each) for each in warnings] == [1, 0, 0]
    assert "has no sound, so the scene is silent" in warnings[0][0]


def test_cancelling_while_inputs_are_fetched_ends_everything(tmp_path: Path) -> None:
    story = schema.parse({"scenes": [{"id": "a", "prompt": "x", "audio": "a.wav"}]})

    def fetch(source: str, folder: Path) -> Path:
        raise Cancelled("The job was cancelled.")

    with pytest.raises(Cancelled):
        inputs.gather_each(story, tmp_path, fetch)
