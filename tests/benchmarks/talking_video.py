"""The Talking Video node against the chain of stock nodes in ComfyUI's template `video_wan2_2_14B_s2v`.

Both run on one server with the same tiny weights, by turns, because the machine may be shared: only their
ratio says anything.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.events import Failed, Finished
from driver.comfy.process import Server
from tests.studio import CPU_FLAGS, TINY_PACK
from tests.tiny_models import make_models
from tests.voices import write_voice

from .process import Process
from .table import Cell, Progress, Report, Section

Graph = dict[str, dict[str, Any]]
NODE = "StoryStudio_TalkingVideo"
STOCK = "stock"
FPS, RATE, CHUNK = 16, 16_000, 80
SAMPLER = "uni_pc_bh2"
CFG = 4.5
NOTES = [
    "wall: from submission to the finished file; cpu: the ComfyUI process's own work, which a busy "
    "machine changes less. Both in seconds a chunk, the least of 1 to {repeats} runs by turns (the "
    "longer, the fewer), cfg 4.5, UniPC bh2, every run with a new recording and seed; the "
    "text is cached.",
    "Memory: the greatest resident size of ComfyUI's process, in MB, while it makes one clip at "
    "{memory_size}x{memory_size} and {steps} steps; a fresh process for each column, and a first clip of two "
    "chunks, not counted, that loads all models. The slope is that of least squares.",
    "The node makes 80n - 3 frames in n chunks; the chain 80n + 1 - n, as in its template.",
    "The chain samples KSampler's `simple` sigmas with ComfyUI's uni_pc_bh2, the node the official ones with "
    "the official UniPC: as many model calls.",
    "The chain decodes all latents at the end, encodes no image but the reference (once a chunk), and "
    "writes x264 at crf 23. The node decodes each chunk, and writes BT.709 at crf 16 while the next one "
    "is sampled.",
    "Continuity `reencode` (and `node`, if it has no such input) is the official one: it decodes each "
    "chunk behind its motion, 19 latents of context for 20, and encodes 73 frames again. `latent` does "
    "neither.",
    "With tiny weights and {steps} steps the VAE weighs far more against sampling, which both sides share, "
    "than with the real ones.",
    "|v-a|, |v-r|: between the ends of video and audio, video and recording, in ms; a frame is 62.5.",
]


@dataclass(frozen=True)
class Plan:
    """What is measured: sizes of a square clip, numbers of chunks, and seconds of sound."""

    sizes: tuple[int, ...] = (64, 128)
    chunks: tuple[int, ...] = (2, 4, 8)
    repeats: int = 3
    steps: int = 2
    more_steps: int = 20
    memory_chunks: tuple[int, ...] = (2, 4, 8, 16)
    memory_size: int = 128
    seconds: tuple[float, ...] = (0.2, 1.0, 4.99, 5.0, 12.3, 30.0)
    stock_seconds: float = 12.3


QUICK = Plan((64,), (2,), 1, 2, 0, (2, 4), 64, (0.2, 5.0), 5.0)


def run(quick: bool = False) -> Report:
    """Measures time, memory and sync; takes half an hour on two slow cores, `quick` some minutes."""
    plan, progress = QUICK if quick else Plan(), Progress()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        make_models(models := Path(folder) / "models")
        with started(Path(folder) / "timed", models) as bench:
            progress("the server is ready")
            kinds = [STOCK, *bench.modes]
            sections = [measure_time(bench, plan, kinds, progress), measure_sync(bench, plan, progress)]
            if plan.more_steps:
                more = replace(plan, steps=plan.more_steps, sizes=plan.sizes[:1], repeats=1)
                sections.insert(1, measure_time(bench, more, kinds, progress))
        sections.insert(-1, measure_memory(Path(folder), models, plan, kinds, progress))
    values = {"repeats": plan.repeats, "steps": plan.steps, "memory_size": plan.memory_size}
    title = f"Talking Video ({', '.join(kinds[1:])}) against the stock chain of nodes"
    return Report(title, sections, [note.format(**values) for note in NOTES])


def measure_time(bench: Bench, plan: Plan, kinds: list[str], progress: Progress) -> Section:
    """Wall time a chunk, and its ratio to that of the stock chain."""
    section = Section(f"Time, {plan.steps} steps")
    for size in plan.sizes:
        for kind in kinds:
            bench.render(kind, size, 2, plan.steps)
        for chunks in plan.chunks:
            wall, cpu = dict.fromkeys(kinds, float("inf")), dict.fromkeys(kinds, float("inf"))
            for repeat in range(repeats := max(1, min(plan.repeats, 8 // chunks))):
                progress(f"time: {size}x{size}, {chunks} chunks, run {repeat + 1} of {repeats}")
                # In another order every time, so what one leaves behind does not always affect the same one.
                for kind in kinds[repeat % len(kinds) :] + kinds[: repeat % len(kinds)]:
                    clip = bench.render(kind, size, chunks, plan.steps)
                    wall[kind] = min(wall[kind], clip.wall / chunks)
                    cpu[kind] = min(cpu[kind], clip.cpu / chunks)
            for name, least in (("wall", wall), ("cpu", cpu)):
                row: dict[str, Cell] = {"size": f"{size}x{size}", "chunks": chunks, "s/chunk": name, **least}
                ratios = {f"{kind}/{STOCK}": least[kind] / least[STOCK] for kind in kinds[1:]}
                section.rows.append(row | ratios)
    return section


def measure_memory(folder: Path, models: Path, plan: Plan, kinds: list[str], progress: Progress) -> Section:
    """Peak RSS by number of chunks, and how it grows."""
    section = Section("Memory")
    peaks: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in kinds:
        with started(folder / kind, models) as bench:
            bench.render(kind, plan.memory_size, 2, plan.steps)
            # In rising order, so that no peak is hidden by memory that a longer clip left behind.
            for chunks in plan.memory_chunks:
                progress(f"memory: {kind}, {chunks} chunks")
                bench.process.forget_peak()
                bench.render(kind, plan.memory_size, chunks, plan.steps)
                peaks[kind].append(bench.process.peak_mb())
    for index, chunks in enumerate(plan.memory_chunks):
        section.rows.append({"": f"{chunks} chunks", **{f"{kind} MB": peaks[kind][index] for kind in kinds}})
    slopes = {kind: float(np.polyfit(plan.memory_chunks, peaks[kind], 1)[0]) for kind in kinds}
    section.rows.append({"": "slope, MB a chunk", **{f"{kind} MB": slopes[kind] for kind in kinds}})
    shares = {f"{kind} MB": 100 * slopes[kind] / slopes[STOCK] for kind in kinds}
    section.rows.append({"": "slope, % of stock's", **shares})
    return section


def measure_sync(bench: Bench, plan: Plan, progress: Progress) -> Section:
    """Frames, and how far the ends of video, audio and recording are apart."""
    section = Section("Sync")
    runs = [(bench.modes[0], seconds) for seconds in plan.seconds] + [(STOCK, plan.stock_seconds)]
    for kind, seconds in runs:
        progress(f"sync: {kind}, {seconds:g} s")
        samples = round(seconds * RATE)
        expected = -(-samples * FPS // RATE)
        chunks = -(-expected // CHUNK)
        frames, video, audio = ends(bench.render(kind, 64, chunks, plan.steps, seconds).path)
        row: dict[str, Cell] = {"": kind, "seconds": f"{seconds:g}", "pictures": frames}
        row |= {"expected": expected, "|v-a| ms": 1000 * abs(video - audio)}
        section.rows.append(row | {"|v-r| ms": 1000 * abs(video - samples / RATE)})
    return section


def ends(path: Path) -> tuple[int, float, float]:
    """How many frames a clip has, and the seconds at which its video and its audio end."""
    with av.open(str(path)) as clip:
        times = [frame.time or 0.0 for frame in clip.decode(video=0)]
    with av.open(str(path)) as clip:
        ends_of_audio = [
            (frame.time or 0.0) + frame.samples / frame.sample_rate for frame in clip.decode(audio=0)
        ]
    return len(times), max(times) + 1 / FPS, max(ends_of_audio)


@dataclass(frozen=True)
class Rendered:
    """One clip: its file, and the wall and CPU seconds that it took."""

    path: Path
    wall: float
    cpu: float


class Bench:
    """A running server that makes clips in either way.

    Attributes:
        modes: the node's continuities, its default first; `node` alone if it has no such choice.
        process: ComfyUI's own.
    """

    def __init__(self, server: Server) -> None:
        self._server, self._comfy = server, Comfy(server.url, server.alive)
        self._inputs = self._comfy.object_info()[NODE]["input"]
        self._runs = itertools.count(1)
        choice = self._defaults().get("continuity")
        options = (self._find("continuity") or {}).get("options", [])
        self.modes = [choice, *(option for option in options if option != choice)] if choice else ["node"]
        self.process = Process(server.port)

    def render(self, kind: str, size: int, chunks: int, steps: int, seconds: float | None = None) -> Rendered:
        """A clip of a recording that no earlier run had; without `seconds` as long as `chunks` chunks.

        Raises:
            RuntimeError: ComfyUI failed; its message is in it.
        """
        run = next(self._runs)
        seconds = seconds or (CHUNK * chunks - 3) / FPS
        voice = write_voice(self._server.workspace / "input" / f"voice_{run}.wav", seconds, 100 + run % 100)
        graph = common(voice.name)
        if kind == STOCK:
            add_chain(graph, size, chunks, steps, run)
        else:
            mode = {"continuity": kind} if "continuity" in self._defaults() else {}
            graph |= talking_video({**self._defaults(), **mode}, size, steps, run)
        started_at, cpu_before = time.monotonic(), self.process.cpu_seconds()
        path, failed = None, ""
        for event in self._comfy.run(graph):
            if isinstance(event, Failed):
                failed = event.traceback + event.message
            elif isinstance(event, Finished) and event.status == "success":
                item = event.outputs["save"]["images"][0]
                path = self._server.output / item["subfolder"] / item["filename"]
        if path is None:
            raise RuntimeError(failed or self._server.log_tail())
        return Rendered(path, time.monotonic() - started_at, self.process.cpu_seconds() - cpu_before)

    def _find(self, name: str) -> dict[str, Any] | None:
        spec = {**self._inputs.get("optional", {}), **self._inputs["required"]}.get(name)
        return spec[1] if spec and len(spec) > 1 else None

    def _defaults(self) -> dict[str, Any]:
        # Inputs that this module does not know keep the node's defaults.
        specs = {name: self._find(name) or {} for kind in self._inputs.values() for name in kind}
        combos = {name: spec["options"][0] for name, spec in specs.items() if spec.get("options")}
        return combos | {name: spec["default"] for name, spec in specs.items() if "default" in spec}


@contextmanager
def started(workspace: Path, models: Path) -> Iterator[Bench]:
    """A fresh server with the tiny models, a reference image, and the test-only pack that loads them."""
    for name in ("custom_nodes", "input"):
        (workspace / name).mkdir(parents=True)
    (workspace / "custom_nodes" / "tiny_pack").symlink_to(TINY_PACK, target_is_directory=True)
    shade = np.linspace(0, 255, 128, dtype=np.uint8)
    image = np.stack([*np.meshgrid(shade, shade), np.full((128, 128), 90, np.uint8)], axis=-1)
    Image.fromarray(image).save(workspace / "input" / "face.png")
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        yield Bench(server)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a graph; `@name` or `@name:1` stands for an output of the node of that name."""
    linked = {}
    for key, value in inputs.items():
        if isinstance(value, str) and value.startswith("@"):
            name, _, output = value[1:].partition(":")
            value = [name, int(output or 0)]
        linked[key] = value
    return {"class_type": class_type, "inputs": linked}


def common(voice: str) -> Graph:
    """The loaders and texts of both graphs."""
    return {
        "unet": node("UNETLoader", unet_name="wan2.2_s2v_14B_fp8_scaled.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"),
        "vae": node("VAELoader", vae_name="wan_2.1_vae.safetensors"),
        "encoder": node("AudioEncoderLoader", audio_encoder_name="wav2vec2_large_english_fp16.safetensors"),
        "audio": node("LoadAudio", audio=voice),
        "image": node("LoadImage", image="face.png"),
        "model": node("ModelSamplingSD3", model="@unet", shift=8.0),
        "text": node("CLIPTextEncode", clip="@clip", text="a woman speaks to the camera"),
        "negative": node("CLIPTextEncode", clip="@clip", text="blurred"),
    }


def talking_video(options: dict[str, Any], size: int, steps: int, seed: int) -> Graph:
    """The node, and the one that keeps its file."""
    links = {name: f"@{name}" for name in ("model", "negative", "vae", "audio", "image")}
    links |= {"positive": "@text", "audio_encoder": "@encoder"}
    sampling = {"width": size, "height": size, "steps": steps, "cfg": CFG, "seed": seed}
    return {
        "talk": node(NODE, **{**options, **links, **sampling}),
        "save": node("StoryStudio_Clip", video="@talk", name="clip"),
    }


def add_chain(graph: Graph, size: int, chunks: int, steps: int, seed: int) -> None:
    """The template's chain: one sampler a chunk, the first latent doubled, all decoded at the end."""
    graph["heard"] = node("AudioEncoderEncode", audio_encoder="@encoder", audio="@audio")
    shared = {"positive": "@text", "negative": "@negative", "vae": "@vae", "length": 77}
    shared |= {"audio_encoder_output": "@heard", "ref_image": "@image"}
    graph["chunk_0"] = node("WanSoundImageToVideo", width=size, height=size, batch_size=1, **shared)
    graph["latents_0"] = _sampler("@chunk_0", steps, seed)
    last = "@latents_0"
    for index in range(1, chunks):
        graph[f"chunk_{index}"] = node("WanSoundImageToVideoExtend", video_latent=last, **shared)
        graph[f"sample_{index}"] = _sampler(f"@chunk_{index}", steps, seed + index)
        joined = node("LatentConcat", samples1=last, samples2=f"@sample_{index}", dim="t")
        graph[f"latents_{index}"], last = joined, f"@latents_{index}"
    graph["first"] = node("LatentCut", samples=last, dim="t", index=0, amount=1)
    graph["doubled"] = node("LatentConcat", samples1="@first", samples2=last, dim="t")
    graph["pictures"] = node("VAEDecode", samples="@doubled", vae="@vae")
    # The template's "batch size", the number of chunks, is where its frames begin.
    graph["shown"] = node("ImageFromBatch", image="@pictures", batch_index=chunks, length=4096)
    graph["created"] = node("CreateVideo", images="@shown", fps=16.0, audio="@audio")
    graph["save"] = node("SaveVideo", video="@created", filename_prefix="clip", format="auto", codec="auto")


def _sampler(chunk: str, steps: int, seed: int) -> dict[str, Any]:
    ends_in = {"positive": chunk, "negative": f"{chunk}:1", "latent_image": f"{chunk}:2", "model": "@model"}
    how = {"sampler_name": SAMPLER, "scheduler": "simple", "cfg": CFG, "denoise": 1.0}
    return node("KSampler", seed=seed, steps=steps, **how, **ends_in)
