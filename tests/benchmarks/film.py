"""`python -m tests.benchmarks film`: finishing a film at 1080p, against ffmpeg: time and memory.

A film of one minute and one of ten: crossfades, burned and soft captions, the voices at -16 LUFS, and music
ducked below them. The command line decodes the same clips, holds and blends the same frames, burns captions
of the same text with libass, ducks the same music, measures and applies `loudnorm` in two passes, and encodes
with the same x264 and AAC settings. One after the other, on the same machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import imageio_ffmpeg
import numpy as np

from story_studio.media.burned import CaptionStyle
from story_studio.media.decoder import decode_audio
from story_studio.media.film import Finish, Shot, assemble
from story_studio.media.fonts import family_for
from story_studio.media.probe import probe
from story_studio.media.sound import Music, Sound

from .table import Cell, Progress, Report, Section

_FFMPEG = (imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y")
_SECONDS, _FPS, _FADE = 10, 24, 0.5
_CLIPS = 2
_TEXT = "The old keeper climbs the stairs of the lighthouse, as on every evening for forty years."
_CHILD = "import sys; from tests.benchmarks.film import make; make(sys.argv[1], int(sys.argv[2]))"
"""Says on stdout what it has used itself, because a server imports everything only once."""
_HEAD = """[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, BackColour, Bold, Outline, Shadow, Alignment, MarginV
Style: Default,{font},60,&H00FFFFFF,&H80000000,1,2,2,2,60
[Events]
Format: Layer, Start, End, Style, Text
"""


class Used(NamedTuple):
    """What a process and those that it started have used."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def run(quick: bool) -> Report:
    """Makes films of one and ten minutes (with `quick`, of 20 and 40 seconds) in both ways."""
    progress = Progress()
    rows: list[dict[str, Cell]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        progress("clips")
        _make_material(folder)
        for shots in (2, 4) if quick else (6, 60):
            progress(f"a film of {shots * _SECONDS} s")
            ours = _measured([sys.executable, "-c", _CHILD, name, str(shots)])
            progress("ffmpeg's command line")
            theirs = _measured_all(_command_lines(folder, shots))
            rows.append(_row(shots, ours, theirs, folder))
    growth = float(rows[1]["peak MB"] or 0) - float(rows[0]["peak MB"] or 0)
    notes = [
        f"The longer film takes {growth:.0f} MB more at its peak than the shorter one.",
        "ratio: wall time against the command line; CPU: seconds of all processes, threads and children.",
        "dB: peak signal-to-noise ratio between the two films, whose captions are lettered differently.",
    ]
    return Report("Finishing a film at 1080p, 24 frames a second", [Section("films", rows)], notes)


def _row(shots: int, ours: Used, theirs: Used, folder: Path) -> dict[str, Cell]:
    lengths = [probe(folder / f"{name}.mp4").video_seconds for name in ("film", "command")]
    assert abs(lengths[0] - lengths[1]) < 0.1, lengths
    return {
        "seconds of film": shots * _SECONDS,
        "seconds": round(ours.seconds, 1),
        "of ffmpeg": round(theirs.seconds, 1),
        "ratio": ours.seconds / theirs.seconds,
        "CPU": round(ours.cpu_seconds, 1),
        "CPU of ffmpeg": round(theirs.cpu_seconds, 1),
        "peak MB": round(ours.peak_mb),
        "peak MB of ffmpeg": round(theirs.peak_mb),
        "dB": _likeness(folder),
    }


def make(folder: str, shots: int) -> None:
    """Makes the film `film.mp4` of the folder's clips; prints seconds and CPU seconds."""
    clips = [Shot(_clip(Path(folder), i), f"Scene {i + 1}", _TEXT) for i in range(shots)]
    music = Music(decode_audio(Path(folder, "music.wav")), 48_000)
    finish = Finish(sound=Sound(-16, music=music), burned=CaptionStyle())
    began, cpu = time.monotonic(), _cpu_seconds()
    assemble(clips, Path(folder, "film.mp4"), join="crossfade", crossfade_seconds=_FADE, finish=finish)
    print(time.monotonic() - began, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _clip(folder: Path, index: int) -> Path:
    return folder / f"clip{index % _CLIPS}.mp4"


def _make_material(folder: Path) -> None:
    x264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-pix_fmt", "yuv420p", "-g", "48"]
    # As the clips of the pack say it: otherwise their colours would be converted.
    for name in ("colorspace", "color_primaries", "color_trc"):
        x264 += [f"-{name}", "bt709"]
    x264 += ["-color_range", "tv"]
    for index in range(_CLIPS):
        # Moving edges, soft as those of clips that are enlarged.
        shown = f"testsrc2=s=960x540:r={_FPS}:d={_SECONDS},hue=h={60 * index}"
        video = f"{shown},scale=1920:1080,format=yuv420p"
        voice = f"aevalsrc=0.2*sin({200 + 40 * index}*2*PI*t)*gt(sin(2*PI*t*0.7)\\,-0.4):s=48000:d={_SECONDS}"
        inputs = ["-f", "lavfi", "-i", video, "-f", "lavfi", "-i", voice]
        _run([*_FFMPEG, *inputs, *x264, "-c:a", "aac", "-shortest", str(_clip(folder, index))])
    noise = "anoisesrc=c=pink:a=0.3:d=60:r=48000"
    _run([*_FFMPEG, "-f", "lavfi", "-i", noise, "-ac", "2", str(folder / "music.wav")])


def _command_lines(folder: Path, shots: int) -> list[list[str]]:
    """ffmpeg's two passes: measuring the loudness, then everything."""
    inputs = [part for i in range(shots) for part in ("-i", str(_clip(folder, i)))]
    inputs += ["-stream_loop", "-1", "-i", str(folder / "music.wav")]
    captions = folder / "captions.ass"
    ends = ((i * _SECONDS, (i + 1) * _SECONDS - 0.5) for i in range(shots))
    lines = (f"Dialogue: 0,{_time(start)},{_time(end)},Default,{_TEXT}\n" for start, end in ends)
    captions.write_text(_HEAD.format(font=family_for(_TEXT, "en")) + "".join(lines))
    first = [
        *_FFMPEG,
        *inputs,
        "-filter_complex",
        f"{_sound(shots)},loudnorm=I=-16:TP=-1:print_format=json[a]",
    ]
    first += ["-map", "[a]", "-f", "null", "-"]
    # What the first pass measured changes nothing in what the second has to do.
    gain = "loudnorm=I=-16:TP=-1:measured_I=-20:measured_TP=-6:measured_LRA=3:measured_thresh=-30:linear=true"
    graph = f"{_video(shots)},ass={captions}[v];{_sound(shots)},{gain},aresample=48000[a]"
    second = [*_FFMPEG, *inputs, "-filter_complex", graph, "-map", "[v]", "-map", "[a]"]
    second += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-threads:v", "4", "-g", "48"]
    second += ["-x264-params", "asm=AVX2", "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart"]
    return [first, [*second, "-t", str(shots * _SECONDS), str(folder / "command.mp4")]]


def _video(shots: int) -> str:
    """Clips that are held at the joints and blended there."""
    half = _FADE / 2
    parts = []
    for i in range(shots):
        before, after = (half if i else 0), (half if i < shots - 1 else 0)
        hold = f"start_mode=clone:start_duration={before}:stop_mode=clone:stop_duration={after}"
        parts.append(f"[{i}:v]settb=AVTB,tpad={hold}[h{i}]")
    last = "h0"
    for i in range(1, shots):
        fade = f"xfade=transition=fade:duration={_FADE}:offset={i * _SECONDS - half}"
        parts.append(f"[{last}][h{i}]{fade}" + (f"[x{i}]" if i < shots - 1 else ""))
        last = f"x{i}"
    return ";".join(parts)


def _sound(shots: int) -> str:
    voices = "".join(f"[{i}:a]" for i in range(shots))
    return (
        f"{voices}concat=n={shots}:v=0:a=1,aformat=channel_layouts=stereo,asplit[voice][key];"
        f"[{shots}:a]volume=-18dB,atrim=0:{shots * _SECONDS}[bed];"
        "[bed][key]sidechaincompress=threshold=0.03:ratio=4:attack=20:release=400[ducked];"
        "[voice][ducked]amix=normalize=0"
    )


def _time(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:05.2f}"


def _likeness(folder: Path) -> float:
    """How alike the films are, above the captions."""
    crop = "crop=1920:700:0:0"
    graph = f"[0:v]{crop}[a];[1:v]{crop}[b];[a][b]psnr=stats_file=-"
    films = ["-i", str(folder / "film.mp4"), "-i", str(folder / "command.mp4")]
    said = _run([*_FFMPEG, *films, "-filter_complex", graph, "-t", "30", "-f", "null", "-"])
    values = [float(word[9:]) for word in said.split() if word.startswith("psnr_avg:") and word[9:] != "inf"]
    return float(np.mean(values))


def _measured_all(commands: Sequence[Sequence[str]]) -> Used:
    used = [_measured(command) for command in commands]
    return Used(
        sum(each.seconds for each in used),
        sum(each.cpu_seconds for each in used),
        max(each.peak_mb for each in used),
    )


def _measured(command: Sequence[str]) -> Used:
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)[:300]} ... failed: {process.returncode}")
    if said:
        seconds, cpu = map(float, said.split())
    else:
        seconds, cpu = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    # Linux counts in KiB.
    return Used(seconds, cpu, usage.ru_maxrss * 1024 / 1e6)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout
