"""Why a story is not exported: everything at once, with the next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.cli import main
from tests.export.conftest import MakeProject
from tests.export.projects import Project


def refuse(project: Project, capsys: pytest.CaptureFixture[str], to: str, *more: str) -> str:
    words = ["export", str(project.story), "--to", to, "--output", str(project.output), *more]
    assert main(words) == 1
    return " ".join(capsys.readouterr().err.split())


def test_what_was_not_rendered(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    (project.folder / "manifest.json").unlink()
    said = refuse(project, capsys, "otio")
    assert "was not rendered" in said and f"story-studio render {project.story}" in said
    assert "nothing was exported" in said


def test_what_was_rendered_in_part(project: Project, capsys: pytest.CaptureFixture[str]) -> None:

    def fail(manifest) -> None:
        manifest.film, manifest.status, manifest.scenes[1].error = None, "partial", "out of memory"

    project.change(fail)
    assert "has no film yet, its last render is partial; failed: two: render it again" in refuse(
        project, capsys, "delivery"
    )


def test_all_that_has_changed_and_the_rate_together(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(fps=16)
    text = project.story.read_text().replace("Said in two.", "Never said.")
    project.story.write_text(text.replace("join: cut", "join: dip"))
    (project.folder / "one_video.mp4").write_bytes((project.folder / "two_video.mp4").read_bytes())
    (project.folder / "two_img.png").unlink()
    project.set_cut()
    said = refuse(project, capsys, "edl")
    assert "has changed since it was rendered (join, texts): render it again" in said
    assert "one_video.mp4: has changed since it was rendered" in said
    assert "two_img.png: is missing" in said
    assert "16 frames per second, and this format takes 24, 25 or 30: write `film: {fps: 24}`" in said
    assert "4 problems" in said
    assert not (project.folder / "export").exists()


def test_a_cut_that_does_not_fit_is_not_guessed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.set_cut(frames=7)
    assert "does not say where its shots are" in refuse(project, capsys, "otio")


def test_an_export_is_replaced_only_on_demand(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project.export("edl", "--into", str(tmp_path / "there"))
    own = tmp_path / "there" / "tale-edl" / "notes.txt"
    own.write_text("mine")
    assert "exists already" in refuse(project, capsys, "edl", "--into", str(tmp_path / "there"))
    assert own.read_text() == "mine"
    project.export("edl", "--into", str(tmp_path / "there"), "--force")
    assert not own.exists()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["tale-edl"]
    (tmp_path / "file").touch()
    assert "file: is a file: name a folder" in refuse(
        project, capsys, "edl", "--into", str(tmp_path / "file")
    )


def test_a_recording_that_is_gone_is_taken_from_its_clip(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.wav").unlink()
    folder = project.export("otio")
    assert "Warning: two:" in capsys.readouterr().err
    assert (folder / "media" / "two_voice.wav").stat().st_size > 1000
