"""Scenes' own clips are checked before anything is rendered."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import pytest
from PIL import Image

from driver.rendering.clips import OwnClip, read_clip

SIZE = (128, 96)
PICTURES = ("-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d={}")
SOUND = ("-f", "lavfi", "-i", "sine=440:d={}")


def ffmpeg(target: Path, *options: str) -> Path:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *options, str(target)], check=True)
    return target


def make_clip(target: Path, seconds: float = 2, *options: str, sound: bool = True) -> Path:
    """A clip of a test pattern, with a tone."""
    sources = [*PICTURES, *(SOUND if sound else ())]
    return ffmpeg(target, *(part.format(seconds) for part in sources), "-g", "25", *options)


def read(path: Path) -> OwnClip:
    (folder := path.parent / f"{path.name} work").mkdir()
    return read_clip(path, folder, SIZE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", ()),
        ("rotated.mov", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("hevc.mkv", ("-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "libvorbis")),
        ("vp9.webm", ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")),
        ("mpeg.avi", ()),
        ("variable.mp4", ("-vf", "select=not(mod(n\\,3)*gt(n\\,20))", "-fps_mode", "vfr")),
        ("stream.ts", ()),
        ("film.gif", ("-an",)),
    ],
)
def test_clips_of_all_formats_are_passed_on_as_they_are(
    name: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    path = make_clip(tmp_path / name, 2, *options)
    if name == "rotated.mov":
        path = ffmpeg(tmp_path / "turned.mov", "-display_rotation", "90", "-i", str(path), "-c", "copy")
    clip = read(path)
    assert clip.path == path and not clip.warnings
    assert clip.seconds == pytest.approx(2, abs=0.12)
    assert clip.has_audio == (name != "film.gif")
    assert clip.problem(0, 0) is None and clip.problem(0.5, 1.5) is None


def test_only_the_part_that_is_there_can_be_used(tmp_path: Path) -> None:
    clip = read(make_clip(tmp_path / "shot.mp4", sound=False))
    assert clip.problem(2.5, 0) == ("from", "is 2.5 s, and shot.mp4 lasts 2 s: choose an earlier second.")
    assert clip.problem(0, 9) == (
        "to",
        "is 9 s, and shot.mp4 lasts 2 s: choose an earlier second, or leave it out.",
    )
    where, what = clip.problem(1.9, 0) or ("", "")
    assert where == "clip" and what.startswith("shot.mp4 lasts 2 s, of which 0.1 s are used")
    assert (clip.used(0.5, 0), clip.used(0.5, 1.25), clip.used(0.5, 2.3)) == (1.5, 0.75, 1.5)


def test_what_is_no_clip_is_said_before_rendering(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4").read_bytes()
    write = {
        "empty.mp4": b"",
        "zeros.mp4": bytes(3000),
        "page.mp4": b"<!doctype html><title>Not found</title>" * 20,
        "list.m3u8": b"#EXTM3U\n#EXTINF:2,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        "noise.mp4": bytes(range(256)) * 40,
        "half.mp4": whole[: len(whole) // 2],
        "text.srt": b"1\n00:00:00,000 --> 00:00:02,000\nHello\n",
    }
    for name, content in write.items():
        (tmp_path / name).write_bytes(content)
    ffmpeg(tmp_path / "voice.mp3", *(part.format(1) for part in SOUND))
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "one.gif")
    ffmpeg(
        tmp_path / "huge.mov",
        "-f",
        "lavfi",
        "-i",
        "color=s=16384x4096:d=0.2",
        "-c:v",
        "png",
        "-frames:v",
        "2",
    )
    expected = {
        "empty.mp4": "is empty",
        "zeros.mp4": "holds only zeros",
        "page.mp4": "is a text such as a web page or a playlist",
        "list.m3u8": "is a text",
        "text.srt": "is a text",
        "noise.mp4": "cannot be read as a video",
        "half.mp4": "is cut off, its last part with the index is missing",
        "voice.mp3": "has sound and no video: name it under `audio`",
        "picture.png": "is a single image, not a video: name it under `image`",
        "one.gif": "is a single image, not a video: name it under `image`",
        "huge.mov": "is too large (16384x4096 pixels)",
        "gone.mp4": "does not exist",
    }
    for name, what in expected.items():
        with pytest.raises(ValueError) as caught:
            read(tmp_path / name)
        assert f"{name} {what}" in str(caught.value)


def test_what_is_lost_is_a_warning_or_a_problem(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "start.mp4", 4, "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    clip = read(path)
    assert clip.seconds < 3.5
    (warning,) = clip.warnings
    assert warning.startswith("start.mp4 should last 4.0 s, and only")
    # Nothing of the frames is left.
    path = make_clip(tmp_path / "bad.mkv", 4, "-c:v", "mjpeg", "-g", "1", sound=False)
    content = bytearray(path.read_bytes())
    for at in range(2000, len(content) - 2000, 7):
        content[at] = 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="bad.mkv (is damaged or protected|cannot be read as a video)"):
        read(path)


def test_what_films_cannot_show_is_a_warning(tmp_path: Path) -> None:
    hdr = ("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-vf", "setparams=color_trc=smpte2084")
    (warning,) = read(make_clip(tmp_path / "hdr.mp4", 1, *hdr)).warnings
    assert warning.startswith("hdr.mp4 is HDR (PQ)")
    (warning,) = read(make_clip(tmp_path / "alpha.mov", 1, "-c:v", "qtrle", "-pix_fmt", "argb")).warnings
    assert warning.startswith("alpha.mov can be transparent")
    path = make_clip(tmp_path / "small.mp4", 1)
    (warning,) = read_clip(path, tmp_path, (512, 384)).warnings
    assert warning == "small.mp4 is small (128x96 pixels), and will look soft in the film."


def test_a_copy_is_made_where_comfyui_would_read_something_else(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", 2, "-metadata", "title=XXXX")
    tagged = tmp_path / "tagged.mp4"
    tagged.write_bytes(whole.read_bytes().replace(b"XXXX", b"\xff\xfe\xfd\xfc"))
    clip = read(tagged)
    again = read_clip(tagged, tmp_path, SIZE)
    assert clip.path != tagged and clip.seconds == pytest.approx(2, abs=0.05)
    assert again.sha256 == clip.sha256
    with av.open(str(clip.path)) as container:
        assert len(container.streams.video) == 1 and len(container.streams.audio) == 1
        assert container.streams.video[0].width == 128
        assert sum(1 for _ in container.decode(video=0)) == 50
