"""A worker over many jobs: memory, descriptors, threads and disk of the handler and its ComfyUI."""

from __future__ import annotations

import base64
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from driver.storage.folder import space_of
from tests.runpod_platform import Platform
from tests.runpod_worker import worker
from tests.studio import is_comfyui
from tests.voices import write_voice

from .table import Cell, Progress, Report, Section

COUNT, ROW, AT_ONCE = 1000, 100, 4
LIMITS = {"RETENTION_GB": "0.01", "RETENTION_DAYS": "1", "JOBS_AT_ONCE": str(AT_ONCE)}
NOTES = [
    "The shipped handler in RunPod's own loop. Of each hundred jobs 90 are draft images of 64x64, 4 draft "
    "batches of two scenes with a film, 3 videos with an image, 3 workflows that save an image; four are "
    "queued at any time, and none is like another.",
    f"Limits: {LIMITS['RETENTION_GB']} GB for the worker's disk, and as much for the store on the volume.",
    "MB, descriptors and threads: of the handler's process and of ComfyUI, when nothing is running. Files "
    "and KB: on disk, by folder; `store` is on the volume, `temp` ComfyUI's previews, `job` the temporary "
    "folders of jobs.",
]


def run(quick: bool = False) -> Report:
    """A thousand jobs, or a hundred with `quick`."""
    progress, count = Progress(), ROW if quick else COUNT
    section, disk = Section("By jobs"), Section("On disk")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, Platform() as platform:
        folder = Path(name)
        for each in ("volume", "tmp"):
            (folder / each).mkdir()
        extra = {**LIMITS, "MODEL_CACHE_DIR": f"{folder}/volume", "TMPDIR": f"{folder}/tmp"}
        with worker(platform, folder / "log", extra) as process:
            failed = 0
            for first in range(0, count, ROW):
                failed += _do_jobs(platform, folder, range(first, first + ROW))
                section.rows.append(_measured(process.pid, first + ROW, failed))
                disk.rows.append({"jobs": first + ROW, **_on_disk(folder)})
                progress(str({**section.rows[-1], **disk.rows[-1]}))
        log = (folder / "log").read_text(errors="replace")
    sweeps = [line.partition("Retention: ")[2] for line in log.splitlines() if "Retention: " in line]
    notes = [*NOTES, f"Sweeps that removed something: {len(sweeps)}; the last: {sweeps[-1:]}."]
    return Report("A worker's life", [section, disk], notes)


def _do_jobs(platform: Platform, folder: Path, numbers: range) -> int:
    """Does these jobs, some at once; returns how many failed."""

    def do(number: int) -> bool:
        job = platform.submit({"input": _job(number, folder)})
        return platform.wait(job.id, 600)["status"] != "COMPLETED"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(do, numbers))


def _uri(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _job(number: int, folder: Path) -> dict[str, Any]:
    draft = {"profile": "draft", "seed": number}
    place = number % ROW
    if place % 25 == 10:
        voice = _uri(write_voice(folder / f"{number}.wav", 0.3, 100 + number), "audio/wav")
        scenes = [{"id": f"s{one}", "prompt": f"Room {number}, {one}", "audio": voice} for one in (1, 2)]
        size = {"image_settings": {"width": 64, "height": 64}, "video_settings": {"resolution": "64x64"}}
        batch = {"task": "batch", "project_id": f"story_{number}", "scenes": scenes, "film": True}
        return {**batch, **draft, **size}
    if place % 33 == 15:
        Image.effect_noise((64, 64), 80).convert("RGB").save(folder / f"{number}.png")
        video = {"task": "video", "resolution": "64x64", "image": _uri(folder / f"{number}.png", "image/png")}
        voice = _uri(write_voice(folder / f"{number}.wav", 0.3, 100 + number), "audio/wav")
        return {**video, **draft, "audio": voice}
    if place % 33 == 20:
        image = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
        image["inputs"]["color"] = number
        save = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": f"w{number}/x"}}
        preview = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        return {"workflow": {"1": image, "2": save, "3": preview}}
    return {"task": "image", "prompt": f"Picture {number}", "width": 64, "height": 64, **draft}


def _measured(pid: int, jobs: int, failed: int) -> dict[str, Cell]:
    handler = psutil.Process(pid)
    (comfy,) = [each for each in handler.children(recursive=True) if is_comfyui(each.cmdline())]
    row: dict[str, Cell] = {"jobs": jobs, "failed": failed}
    for name, process in (("handler", handler), ("ComfyUI", comfy)):
        row[f"{name} MB"] = round(process.memory_info().rss / 1e6)
        row[f"{name} descriptors"] = process.num_fds()
        row[f"{name} threads"] = process.num_threads()
    return row


def _on_disk(folder: Path) -> dict[str, Cell]:
    own = folder / "worker-1.disk"
    row: dict[str, Cell] = {}
    for name, root in (
        ("output", own / "output"),
        ("input", own / "workspace" / "input"),
        ("temp", own / "workspace" / "temp"),
        ("job", folder / "tmp"),
        ("store", folder / "volume"),
        ("rest", own / "workspace"),
    ):
        sizes: list[int] = []
        folders = 0
        for at, names, files in os.walk(root):
            if name == "rest":
                names[:] = [each for each in names if each not in ("input", "temp")]
            folders += len(names)
            for file in files:
                # The worker may be sweeping.
                with suppress(FileNotFoundError):
                    sizes.append(space_of(os.lstat(os.path.join(at, file))))
        row |= {f"{name} files": len(sizes), f"{name} KB": sum(sizes) // 1000}
        row |= {f"{name} folders": folders} if name in ("output", "store") else {}
    return row
