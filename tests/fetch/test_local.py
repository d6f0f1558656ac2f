"""Files are found as people spell their names, and hints help where they are not."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from driver.fetch.local import fetch_for_story, find, spelled
from driver.rendering.inputs import gather
from story_studio.story import schema
from tests.voices import write_voice

NFC, NFD = (unicodedata.normalize(form, "Ers\u00e4tze.wav") for form in ("NFC", "NFD"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "story"
    folder.mkdir()
    return folder


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sound")
    return path


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.wav", "a.wav"),
        ("a.wav", "./a.wav"),
        ("scene: 1.wav", "scene: 1.wav"),
        ("C:\\voices\\a.wav", "C:\\voices\\a.wav"),
        ("my voice #1? 100%20.wav", "my voice #1? 100%20.wav"),
        ("file:a.wav", "file:a.wav"),
        ("voices/a.wav", "voices\\a.wav"),
        ("a\\b.wav", "a\\b.wav"),
        ("../beside/a.wav", "../beside/a.wav"),
        ("../beside/a.wav", "..\\beside\\a.wav"),
        (NFC, NFD),
        (NFD, NFC),
        (f"{NFD}.d/{NFC}", f"{NFC}.d/{NFD}"),
        (f"{NFD}.d/{NFC}", f"{NFC}.d\\{NFD}"),
    ],
)
def test_a_file_is_found_as_it_is_written(folder: Path, name: str, written: str) -> None:
    path = put(folder / name)
    assert find(written, folder).samefile(path)
    assert fetch_for_story(folder, written, folder).samefile(path)
    assert find(str(folder / written), folder).samefile(path)


def test_the_file_that_is_spelled_so_goes_first(folder: Path) -> None:
    composed, decomposed = folder / NFC, folder / NFD
    composed.write_text("composed")
    decomposed.write_text("decomposed")
    assert (find(NFC, folder).read_text(), find(NFD, folder).read_text()) == ("composed", "decomposed")


def test_ffmpeg_does_not_take_a_name_for_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("scene: 1.wav", "concat:a|b.wav", "http:a.wav"):
        write_voice(folder / name, 0.5)
        scene = {"id": "one", "prompt": "x", "audio": name}
        (folder / name[:4]).mkdir()
        gathered = gather(schema.parse({"scenes": [scene]}), Path(""), folder / name[:4])
        assert gathered.scenes["one"].seconds == 0.5


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("gone.mp3", "gone.mp3 does not exist: paths are relative to the story file's folder."),
        ("VOICE.WAV", "did you mean Voice.wav?"),
        ("Voyce.wav", "did you mean Voice.wav?"),
        ("sub\\VOICE.wav", "did you mean Voice.wav?"),
        ("my%20voice.wav", "did you mean my voice.wav?"),
        ("file:///home/me/a%20b.wav", "write the path without file://, /home/me/a b.wav"),
        ("FILE:///home/me/a.wav", "write the path without file://, /home/me/a.wav"),
        ("http:/example.com/a.wav", "write an address like https://example.com/a.wav"),
        ("www.example.com/a.wav", "write an address like https://www.example.com/a.wav"),
        ("D:\\voices\\a.wav", "it is a path of Windows"),
        ("D:/voices/a.wav", "it is a path of Windows"),
        ("~/a.wav", "write the whole path instead of ~"),
        ("sub", "is a folder: name a file in it"),
        ("/dev/null", "is not a file"),
        ("a\0b", "has a control character"),
        ("voices\new.wav", "write / for \\, which begins an escape"),
        ("x" * 5000, "cannot be looked up"),
        ("gone/" * 500 + "a", "does not exist"),
        ("Voice.wav/a", "does not exist"),
    ],
)
def test_the_error_says_what_to_write(folder: Path, written: str, hint: str) -> None:
    put(folder / "Voice.wav")
    put(folder / "my voice.wav")
    put(folder / "sub" / "Voice.wav")
    with pytest.raises(ValueError) as caught:
        fetch_for_story(folder, written, folder)
    assert hint in str(caught.value) and len(str(caught.value)) < 3500
    assert spelled(written, folder) == folder / written
