"""One pass over a clip: what it measures of real files, and what it says of broken ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import run

import imageio_ffmpeg
import numpy as np
import pytest

from story_studio.checks.check import check_key
from story_studio.checks.faces import missing_models
from story_studio.checks.figures import MOST_SPANS, Figures, Frames, Span
from story_studio.checks.measure import measure, steady
from story_studio.checks.source import _pieces, audio_of, open_source
from tests.checks.clips import FPS, write_clip

TONE = ("-f", "lavfi", "-t", "1.5", "-i", "aevalsrc=0.2*sin(1382*t)*gt(mod(t\\,1)\\,0.4):s=16000")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 seconds of a landscape, under a tone that comes and goes."""
    folder = tmp_path_factory.mktemp("clip")
    silent, path = write_clip(folder / "silent.mp4", 1.5), folder / "clip.mp4"
    ffmpeg("-i", silent, *TONE, "-map", "0:v", "-map", "1:a", "-c:v", "copy", path)
    return path


def ffmpeg(*arguments: str | Path) -> None:
    run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def figures_of(path: Path) -> Figures:
    return measure(path, talking=False)


def converted(clip: Path, name: str, *options: str) -> Path:
    path = clip.with_name(name)
    ffmpeg("-i", clip, *options, path)
    return path


def test_all_of_a_clip_is_measured(clip: Path) -> None:
    progress: list[float] = []
    figures = measure(clip, talking=False, on_progress=progress.append)
    assert (figures.fps, figures.width, figures.height) == (FPS, 128, 96)
    assert figures.lengths.video == pytest.approx(1.5, abs=0.01)
    assert figures.lengths.audio == pytest.approx(1.5, abs=0.1)
    assert figures.voice and figures.voice.loudness and -30 < figures.voice.loudness < -10
    assert figures.frames.frozen == [] and figures.face is None and figures.missing == []
    assert progress == sorted(progress) and progress[-1] == 1 and len(progress) > 10


def test_a_speaker_who_is_not_there(clip: Path) -> None:
    figures = measure(clip, talking=True, reference=np.full((64, 64, 3), 128, np.uint8))
    if missing_models():
        assert figures.face is None and "pip install" in figures.missing[0]
        return
    assert figures.face and figures.face.present == 0 and figures.face.in_reference is False
    assert figures.sync and figures.sync.confidence is None
    assert figures.identity and figures.identity.similarity is None


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("mute.mp4", ("-an", "-c:v", "copy"), (128, 96)),
        ("one.mp4", ("-frames:v", "1", "-an"), (128, 96)),
        ("odd.mkv", ("-vf", "scale=127:95", "-c:v", "ffv1", "-pix_fmt", "bgr0", "-an"), (128, 96)),
        ("deep.mp4", ("-pix_fmt", "yuv420p10le", "-an"), (128, 96)),
        ("alpha.mov", ("-c:v", "png", "-pix_fmt", "rgba", "-frames:v", "4", "-an"), (128, 96)),
        ("large.mp4", ("-vf", "scale=720:540", "-frames:v", "3", "-an"), (720, 540)),
    ],
)
def test_clips_of_every_kind_are_measured(
    clip: Path, name: str, options: tuple[str, ...], size: tuple[int, int]
) -> None:
    figures = figures_of(converted(clip, name, *options))
    assert (figures.width, figures.height) == size
    assert figures.lengths.video > 0 and figures.lengths.audio is None and figures.voice is None


def test_a_turned_clip_is_measured_upright(clip: Path) -> None:
    turned = converted(clip, "turned.mp4", "-c", "copy")
    ffmpeg("-display_rotation", "90", "-i", clip, "-c", "copy", turned)
    assert (figures_of(turned).width, figures_of(turned).height) == (96, 128)


def test_times_are_those_at_which_frames_are_shown(clip: Path) -> None:
    # The second half is twice as slow.
    slow = converted(
        clip, "slow.mp4", "-vf", "setpts='if(lt(N,12),PTS,2*PTS-12/16/TB)'", "-fps_mode", "vfr", "-an"
    )
    assert figures_of(slow).lengths.video == pytest.approx(2.25, abs=0.1)


@pytest.mark.parametrize(("late", "expected"), [("0.5", 2.0), ("-0.5", 1.0)])
def test_audio_counts_from_the_first_frame_on(clip: Path, late: str, expected: float) -> None:
    moved = clip.with_name(f"moved{late}.mkv")
    ffmpeg("-i", clip, "-itsoffset", late, "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", moved)
    assert figures_of(moved).lengths.audio == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (lambda data: b"", "cannot be read as video or audio"),
        (lambda data: b"no video" * 100, "cannot be read as video or audio"),
        (lambda data: data[: len(data) // 2], r"cannot be read|is not whole|is damaged"),
        (
            lambda data: data[:3000] + bytes(len(data) - 8000) + data[-5000:],
            "is damaged|is not whole|No frame",
        ),
    ],
    ids=["empty", "text", "cut", "holes"],
)
def test_a_broken_file_ends_in_a_sentence(
    clip: Path, tmp_path: Path, content: Callable[[bytes], bytes], sentence: str
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content(clip.read_bytes()))
    with pytest.raises(ValueError, match=sentence) as error:
        figures_of(broken)
    assert "broken.mp4" in str(error.value) and "again" in str(error.value)


def test_without_video_there_is_nothing_to_check(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sound\.mp4 has no video"):
        ffmpeg(*TONE, sound := tmp_path / "sound.mp4")
        figures_of(sound)
    with pytest.raises(FileNotFoundError, match="no media file"):
        figures_of(tmp_path / "missing.mp4")


def test_it_can_be_stopped(clip: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(from_share: float) -> Callable[[float], None]:
        def progress(done: float) -> None:
            if done >= from_share:
                raise Stopped

        return progress

    # While the clip is read, at a frame, and at its audio.
    for share in (0.0, 0.5, 0.96):
        with pytest.raises(Stopped):
            measure(clip, talking=False, on_progress=stop(share))
    with pytest.raises(Stopped):
        check_key(clip, on_block=lambda: stop(0.0)(0.0))


def test_the_times_of_a_damaged_file_do_not_choose_the_memory(clip: Path, tmp_path: Path) -> None:
    late = tmp_path / "late.mkv"
    ffmpeg("-i", clip, "-itsoffset", "9000", "-i", clip, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    blocks = [block.shape[1] for block in audio_of(open_source(late), 1.5)]
    assert max(blocks) <= 2 * 48_000
    assert sum(blocks) / 48_000 == pytest.approx(1.5 + 1.5, abs=0.12)

    far = "setpts='if(lt(N,23),PTS,PTS+20000/TB)'"
    moved = converted(clip, "far.mp4", "-vf", far, "-fps_mode", "passthrough", "-c:a", "copy")
    figures = measure(moved, talking=True)
    assert figures.lengths.video > 19_000
    if not missing_models():
        assert "times of its frames are damaged" in " ".join(figures.missing) and figures.sync is None


def test_long_blocks_of_audio_are_cut() -> None:
    block = np.zeros((2, 5 * 48_000 + 7), np.float32)
    assert [piece.shape[1] for piece in _pieces(block)] == [96_000, 96_000, 48_007]
    assert list(_pieces(block[:, :0])) == []


def test_of_many_spans_the_longest_are_kept() -> None:
    black = [Span(start=at, end=at + (0.5 if at % 2 else 0.1)) for at in range(2 * MOST_SPANS)]
    figures = Figures(frames=Frames(black=black))
    figures.keep_longest_spans()
    assert [span.start for span in figures.frames.black] == list(range(1, 2 * MOST_SPANS, 2))
    assert figures.spans_left_out == MOST_SPANS


def test_no_figure_is_nan() -> None:
    with pytest.raises(ValueError, match="finite"):
        Frames(flicker=float("nan"))


def test_the_smallest_video_is_measured(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=2x2:r=16:d=2,format=yuv420p", small := tmp_path / "small.mp4")
    assert figures_of(small).color.drift == 0


def test_mouths_are_those_shown_at_a_constant_rate() -> None:
    mouths = [np.full(4, number, np.float32) for number in range(4)]
    shown = steady([0, 0.1, 0.2, 0.4], [mouths[0], None, mouths[2], mouths[3]], 10)
    assert [None if mouth is None else int(mouth[0]) for mouth in shown] == [0, None, 2, 2, 3]
    assert steady([], [], 10) == []


def test_it_imports_neither_torch_nor_what_is_slow() -> None:
    slow = "{'torch', 'librosa', 'ai_edge_litert'}"
    code = f"import sys, story_studio.checks.measure; print(*{slow} & {{*sys.modules}})"
    loaded = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
