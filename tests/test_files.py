"""Files that are written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.files import written_aside


def test_a_file_is_replaced_when_the_block_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "file"
    for text in ("first", "second"):
        with written_aside(path) as aside:
            aside.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_is_unchanged_when_the_block_fails(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(error), written_aside(path) as aside:
        aside.write_text("in part")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_when_nothing_was_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), written_aside(tmp_path / "file"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_hard_link_to_the_file_itself_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("the same")
    with written_aside(path) as aside:
        aside.hardlink_to(path)
    assert path.read_text() == "the same"
    assert list(tmp_path.iterdir()) == [path]
