"""`story-studio new` and `schema`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from driver.cli import main
from driver.paths import ROOT
from story_studio.story import schema
from tests.voices import write_voice

EXAMPLES = ROOT / "workflows" / "examples"


def test_the_example_scripts_become_stories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted(path for path in EXAMPLES.iterdir() if path.suffix in (".txt", ".csv", ".fountain")):
        folder = tmp_path / path.stem
        assert main(["new", str(path), "--output", str(folder)]) == 0
        story = schema.load(folder / "story.yaml")
        assert story.project_id == path.stem
        first, second = (folder / "story.yaml").read_text(encoding="utf-8").splitlines()[:2]
        assert first == "# yaml-language-server: $schema=story.schema.json"
        assert path.name in second
        assert json.loads((folder / "story.schema.json").read_text(encoding="utf-8"))["title"] == "Story"
        printed = capsys.readouterr()
        assert printed.out == f"{folder / 'story.yaml'}\n"
        assert f"story-studio render {folder / 'story.yaml'} --profile draft" in " ".join(printed.err.split())


def test_a_folder_of_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my voices"
    folder.mkdir()
    for name in ("10 end.wav", "2 begin.wav"):
        write_voice(folder / name, 0.3)
    (folder / "10 end.txt").write_bytes("Schluß.".encode("utf-8-sig"))
    assert main(["new", str(folder)]) == 0
    story = schema.load(folder / "story.yaml")
    assert [(scene.id, scene.audio) for scene in story.scenes] == [
        ("2-begin", "2 begin.wav"),
        ("10-end", "10 end.wav"),
    ]
    assert story.scenes[1].text == "Schluß."
    assert "2 prompts to write" in capsys.readouterr().err
    elsewhere = tmp_path / "elsewhere"
    assert main(["new", str(folder), "--output", str(elsewhere)]) == 0
    assert (elsewhere / "2 begin.wav").read_bytes() == (folder / "2 begin.wav").read_bytes()


def test_a_story_is_replaced_only_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "tale.txt"
    script.write_text("One.\n\nTwo.")
    assert main(["new", str(script)]) == 0
    story = tmp_path / "tale" / "story.yaml"
    story.write_text("mine")
    assert main(["new", str(script)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert story.read_text() == "mine"
    assert main(["new", str(script), "--force"]) == 0
    assert len(schema.load(story).scenes) == 2


def test_files_of_a_table_come_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in" / "voices").mkdir(parents=True)
    write_voice(tmp_path / "in" / "voices" / "a.wav", 0.3)
    shutil.copy(tmp_path / "in" / "voices" / "a.wav", tmp_path / "b.wav")
    rows = "prompt,audio\nx,voices/a.wav\nx,../b.wav\nx,c.wav\nx,https://example.com/d.wav"
    (tmp_path / "in" / "tale.csv").write_text(rows)
    assert main(["new", str(tmp_path / "in" / "tale.csv"), "--output", str(tmp_path / "out" / "tale")]) == 0
    story = schema.load(tmp_path / "out" / "tale" / "story.yaml")
    assert [scene.audio for scene in story.scenes] == [
        *("voices/a.wav", "../../b.wav", "c.wav", "https://example.com/d.wav")
    ]
    assert (tmp_path / "out" / "tale" / "voices" / "a.wav").is_file()
    assert "c.wav does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\x89PNG\r\n\0\0", "the file is not text"),
        ("a.txt", b"caf\xe9", "line 1: the file is not UTF-8"),
        ("a.txt", b"", "has nothing to show or to say"),
        ("a.csv", b"x,y\n1,2", "line 1: the first row names the columns"),
    ],
)
def test_nothing_is_written_of_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert main(["new", str(tmp_path / name)]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a").exists()


def test_an_empty_folder_and_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path)]) == 1
    assert main(["new", str(tmp_path / "none.txt")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "has no recordings and no videos" in said
    assert "cannot be read: No such file or directory" in said


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == (ROOT / "workflows" / "story.schema.json").read_text(encoding="utf-8")
