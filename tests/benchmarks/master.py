"""Masters: memory and time by the length of the clip, seams between windows, quality of interpolation."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from driver.comfy.client import Comfy
from driver.comfy.events import Finished
from driver.comfy.process import Server
from story_studio.media.clip_frames import rgb_pixels, yuv_frames
from story_studio.media.clip_writer import ClipWriter
from story_studio.media.footage import read_footage
from story_studio.media.master import MasterWriter, Target, target_of, write_master
from story_studio.media.retime import retimed
from story_studio.story.formats import INTERPOLATIONS
from tests.studio import CPU_FLAGS, TINY_PACK

from .process import Process
from .table import Cell, Progress, Report, Section

FPS = 16
SIZE = (128, 96)
MULTIPLIER = 3
NOTES = [
    "Length: a clip of 128x96 at 16 frames/s; nodes put two blended frames between each two and double the "
    "sides, for windows of at most 32 frames; 24 frames/s. MB: the server's peak beyond what it takes idle.",
    "Seams: the master of the one-minute clip against one whose frames were changed all at once.",
    "Without nodes: motion, blend and repeat from 16 to 24 frames/s at 832x448 with one encode.",
    "Quality: a pattern that moves by 1/4 of the height a second, at 48 frames/s, every third frame of it, "
    "and 48 again; PSNR of the frames in between.",
]


def run(quick: bool = False) -> Report:
    """Makes masters of 1 and 10 minutes; minutes on two slow cores, less if `quick` (6 s and 1 min)."""
    progress, length, seams = Progress(), Section("Length"), Section("Seams")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        workspace = Path(folder, "workspace")
        (workspace / "custom_nodes").mkdir(parents=True)
        (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
        models = Path(folder, "models")
        models.mkdir()
        with Server(workspace, Path(folder, "output"), models=models, extra_flags=CPU_FLAGS) as server:
            process = Process(int(server.url.rpartition(":")[2]))
            # What is imported at the first use counts for no length.
            _long_master(server, process, Path(folder), 2)
            for seconds in (6, 60) if quick else (60, 600):
                progress(f"{seconds} s")
                row, clip, master = _long_master(server, process, Path(folder), seconds)
                length.rows.append(row)
                if seconds <= 60:
                    seams.rows = [_seams(clip, master, Path(folder))]
        progress("without nodes")
        speed = Section("Without nodes", list(_speeds(Path(folder))))
    return Report("Masters", [length, seams, speed, Section("Quality", list(_qualities()))], NOTES)


def _long_master(
    server: Server, process: Process, folder: Path, seconds: int
) -> tuple[dict[str, Cell], Path, Path]:
    clip = _write(folder / f"clip_{seconds}.mp4", seconds * FPS, SIZE)
    comfy = Comfy(server.url)
    process.forget_peak()
    idle, began, worked = process.peak_mb(), time.monotonic(), process.cpu_seconds()
    events = list(comfy.run(_graph(comfy.upload(clip, clip.name))))
    end = events[-1]
    if not isinstance(end, Finished) or end.status != "success":
        raise RuntimeError(f"The master failed: {server.log_tail()}")
    master = comfy.fetch(end.outputs["master"]["images"][0], folder / f"master_{seconds}.mp4")
    row: dict[str, Cell] = {
        "seconds of clip": seconds,
        "s": time.monotonic() - began,
        "CPU s": process.cpu_seconds() - worked,
        "MB": process.peak_mb() - idle,
    }
    return row, clip, master


def _graph(name: str) -> dict[str, Any]:
    def node(cls: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": cls, "inputs": inputs}

    scaled = {"upscale_method": "bilinear", "width": 2 * SIZE[0], "height": 2 * SIZE[1], "crop": "disabled"}
    settings = {"width": 0, "height": 0, "interpolation": "motion", "match_color": False, "name": "long"}
    return {
        "load": node("LoadVideo", file=name),
        "frames": node("StoryStudio_ClipFrames", clip=["load", 0], fps="as rendered", interpolation="recipe"),
        "blend": node("TestInterpolate", images=["frames", 0], multiplier=["frames", 2]),
        "large": node("ImageScale", image=["blend", 0], **scaled),
        "master": node("StoryStudio_Master", clip=["load", 0], frames=["large", 0], fps="24", **settings),
    }


def _seams(clip: Path, master: Path, folder: Path) -> dict[str, Cell]:
    import torch

    given = torch.from_numpy(np.stack(list(rgb_pixels(yuv_frames(clip, read_footage(clip)))))).float() / 255
    first, second = given[:-1], given[1:]
    parts = [first + (second - first) * (step / MULTIPLIER) for step in range(MULTIPLIER)]
    between = torch.cat([torch.stack(parts, 1).flatten(0, 1), given[-1:]]).movedim(-1, 1)
    target = Target(2 * SIZE[0], 2 * SIZE[1], Fraction(24), len(given) * 24 // FPS)
    whole = folder / "whole.mp4"
    with MasterWriter(whole, clip, target) as writer:
        for frame in between:
            large = torch.nn.functional.interpolate(frame[None], scale_factor=2, mode="bilinear")
            pixels = (large[0].movedim(0, -1).clamp(0, 1) * 255).round().byte().contiguous().numpy()
            writer.write(av.VideoFrame.from_ndarray(pixels, format="rgb24"), Fraction(FPS * MULTIPLIER))
    pairs = zip(*(rgb_pixels(yuv_frames(path, read_footage(path))) for path in (master, whole)), strict=True)
    worst = [int(np.abs(one.astype(int) - other).max()) for one, other in pairs]
    return {"frames": len(worst), "largest difference of 255": max(worst)}


def _speeds(folder: Path) -> Iterator[dict[str, Cell]]:
    clip = _write(folder / "large.mp4", 4 * FPS, (832, 448))
    footage = read_footage(clip)
    for how in INTERPOLATIONS:
        target = target_of(footage, 0, 0, Fraction(24), how)
        began, worked = time.monotonic(), time.process_time()
        write_master(folder / "speed.mp4", clip, footage, target)
        yield {
            "interpolation": how,
            "frames/s": target.frames / (time.monotonic() - began),
            "frames/CPU s": target.frames / (time.process_time() - worked),
        }


def _qualities() -> Iterator[dict[str, Cell]]:
    truth = list(_frames(96, 48, (832, 448)))
    for how in INTERPOLATIONS:
        sparse = (av.VideoFrame.from_ndarray(one, format="rgb24") for one in truth[::3])
        given = (frame.reformat(format="yuv420p") for frame in sparse)
        made = rgb_pixels(retimed(given, Fraction(16), Fraction(48), how, len(truth)))
        errors = [
            float(10 * np.log10(255**2 / np.mean((one.astype(np.float32) - truth[index]) ** 2)))
            for index, one in enumerate(made)
            if index % 3 and 3 < index < len(truth) - 3
        ]
        yield {"interpolation": how, "PSNR, dB": float(np.mean(errors)), "worst, dB": min(errors)}


def _write(path: Path, frames: int, size: tuple[int, int]) -> Path:
    tone = 0.3 * np.sin(np.arange(48_000 * frames // FPS, dtype=np.float32) / 20)[None]
    with ClipWriter(path, *size, tone, 48_000, FPS) as writer:
        for frame in _frames(frames, FPS, size):
            writer.write(frame[None])
    return path


def _frames(count: int, fps: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A pattern that moves in front of a still background, RGB."""
    width, height = size
    rows, columns = (np.mgrid[:height, :width] / height).astype(np.float32)
    still = 60 + 60 * columns + 40 * rows
    for index in range(count):
        # To and fro, so that it never leaves the frame.
        across = columns - width / height * (0.3 + 0.25 * np.sin(index / fps))
        pattern = 120 + 60 * np.sin(30 * across) + 40 * np.sin(40 * rows + 25 * across)
        inside = (np.abs(across) < 0.4) & (np.abs(rows - 0.5) < 0.35)
        yield np.repeat(np.where(inside, pattern, still).clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
