"""The stock Z-Image and S2V graphs, run by a real server with tiny models."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import Request, urlopen

import av
import numpy as np
import pytest
from PIL import Image

from driver.paths import COMFYUI
from tests.tiny_models import make_models

PACK = Path(__file__).parent / "tiny_pack"
Graph = dict[str, dict[str, Any]]


class Server(NamedTuple):
    url: str
    base: Path

    def get(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body else None
        with urlopen(Request(self.url + path, data, {"Content-Type": "application/json"})) as response:
            return json.load(response)

    def run(self, graph: Graph, timeout: float = 120) -> dict[str, Any]:
        """The history entry of the graph, once it has ended."""
        answer = self.get("/prompt", {"prompt": graph})
        assert answer["node_errors"] == {}
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if entry := self.get(f"/history/{answer['prompt_id']}").get(answer["prompt_id"]):
                return entry
            time.sleep(0.05)
        raise TimeoutError(f"the graph has not ended after {timeout} s")

    def output(self, entry: dict[str, Any], node: str) -> Path:
        assert entry["status"]["status_str"] == "success", entry["status"]
        (item,) = entry["outputs"][node]["images"]
        return self.base / "output" / item["subfolder"] / item["filename"]

    def records(self, name: str) -> list[dict[str, Any]]:
        path = self.base / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextmanager
def start_plain_server(base: Path) -> Iterator[Server]:
    """ComfyUI with the tiny models and the test-only pack in `base`."""
    for folder in ("custom_nodes", "input", "output", "user"):
        (base / folder).mkdir()
    (base / "custom_nodes/tiny_pack").symlink_to(PACK)
    make_models(base / "models")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(COMFYUI / "main.py"), "--base-directory", str(base), "--port", str(port)]
    command += ["--listen", "127.0.0.1", "--database-url", "sqlite:///:memory:", "--cpu", "--bf16-vae"]
    command += ["--disable-auto-launch", "--disable-api-nodes"]
    records = {"STORY_STUDIO_TEST_LOADS": base / "loads", "STORY_STUDIO_TEST_SAMPLES": base / "samples"}
    # Threads that spin while they wait make small layers five times slower on a busy machine.
    environment = {
        **os.environ,
        "OMP_WAIT_POLICY": "PASSIVE",
        **{name: str(path) for name, path in records.items()},
    }
    server = Server(f"http://127.0.0.1:{port}", base)
    with (base / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        _await_answer(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _await_answer(server: Server, process: subprocess.Popen[bytes], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("/system_stats")
            return
        except URLError:
            time.sleep(0.1)
    raise RuntimeError((server.base / "server.log").read_text()[-3000:])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("comfyui")
    with start_plain_server(base) as server:
        rows = np.linspace(0, 255, 128, dtype=np.uint8)
        picture = np.stack([*np.meshgrid(rows, rows), np.full((128, 128), 90, np.uint8)], axis=-1)
        Image.fromarray(picture).save(base / "input/face.png")
        seconds = np.arange(5 * 16000) / 16000
        voice = np.sin(2 * np.pi * 220 * seconds) * np.sin(2 * np.pi * 2 * seconds)
        with wave.open(str(base / "input/voice.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes((voice * 20000).astype("<i2").tobytes())
        yield server


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """A node of a graph; `@name` stands for the first output of the node of that name."""
    linked = {
        key: [value[1:], 0] if isinstance(value, str) and value.startswith("@") else value
        for key, value in inputs.items()
    }
    return {"class_type": class_type, "inputs": linked}


def sampler(
    name: str, steps: int, latent: list[Any], positive: list[Any], negative: list[Any]
) -> dict[str, Any]:
    return node(
        "KSampler",
        model="@model",
        seed=7,
        steps=steps,
        cfg=1.0,
        sampler_name=name,
        scheduler="simple",
        positive=positive,
        negative=negative,
        latent_image=latent,
        denoise=1.0,
    )


def z_image(prompt: str = "a lighthouse") -> Graph:
    return {
        "unet": node("UNETLoader", unet_name="z_image_turbo_bf16.safetensors", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="qwen_3_4b.safetensors", type="lumina2"),
        "vae": node("VAELoader", vae_name="ae.safetensors"),
        "model": node("ModelSamplingAuraFlow", model="@unet", shift=3.0),
        "text": node("CLIPTextEncode", clip="@clip", text=prompt),
        "zero": node("ConditioningZeroOut", conditioning="@text"),
        "latent": node("EmptySD3LatentImage", width=128, height=128, batch_size=1),
        "sample": sampler("res_multistep", 2, ["latent", 0], ["text", 0], ["zero", 0]),
        "decode": node("VAEDecode", samples="@sample", vae="@vae"),
        "save": node("SaveImage", images="@decode", filename_prefix="still"),
    }


def s2v(unet: str = "wan2.2_s2v_14B_fp8_scaled.safetensors", lora: str | None = None) -> Graph:
    graph = {
        "unet": node("UNETLoader", unet_name=unet, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan"),
        "vae": node("VAELoader", vae_name="wan_2.1_vae.safetensors"),
        "encoder": node("AudioEncoderLoader", audio_encoder_name="wav2vec2_large_english_fp16.safetensors"),
        "voice": node("LoadAudio", audio="voice.wav"),
        "audio": node("AudioEncoderEncode", audio_encoder="@encoder", audio="@voice"),
        "image": node("LoadImage", image="face.png"),
        "model": node("ModelSamplingSD3", model="@lora" if lora else "@unet", shift=8.0),
        "text": node("CLIPTextEncode", clip="@clip", text="a woman speaks, ünïcode 你好"),
        "negative": node("CLIPTextEncode", clip="@clip", text="blurred"),
        "video": node(
            "WanSoundImageToVideo",
            positive="@text",
            negative="@negative",
            vae="@vae",
            width=128,
            height=128,
            length=77,
            batch_size=1,
            audio_encoder_output="@audio",
            ref_image="@image",
        ),
        "sample": sampler("uni_pc", 2, ["video", 2], ["video", 0], ["video", 1]),
        "decode": node("VAEDecode", samples="@sample", vae="@vae"),
        "create": node("CreateVideo", images="@decode", fps=16.0, audio="@voice"),
        "save": node("SaveVideo", video="@create", filename_prefix="clip", format="auto", codec="auto"),
    }
    if lora:
        graph["lora"] = node("LoraLoaderModelOnly", model="@unet", lora_name=lora, strength_model=1.0)
    return graph


def assert_visible(picture: np.ndarray) -> None:
    assert picture.shape == (128, 128, 3)
    assert 30 < picture.mean() < 225
    assert picture.std() > 15


def test_still(server: Server) -> None:
    seen = len(server.records("samples"))
    path = server.output(server.run(z_image()), "save")
    picture = np.asarray(Image.open(path))
    assert_visible(picture)

    other = server.output(server.run(z_image("a submarine")), "save")
    assert not np.array_equal(picture, np.asarray(Image.open(other)))

    loads = Counter(record["file"] for record in server.records("loads"))
    for name in ("z_image_turbo_bf16", "qwen_3_4b", "ae"):
        assert loads[f"{name}.safetensors"] == 1
    samples = server.records("samples")[seen:]
    assert [(sample["kind"], sample["steps"]) for sample in samples] == [("Lumina2", 2)] * 2


@pytest.mark.parametrize(
    ("unet", "lora"),
    [
        ("wan2.2_s2v_14B_fp8_scaled.safetensors", None),
        (
            "wan2.2_s2v_14B_bf16.safetensors",
            "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors",
        ),
    ],
)
def test_clip(server: Server, unet: str, lora: str | None) -> None:
    seen = len(server.records("loads"))
    path = server.output(server.run(s2v(unet, lora)), "save")
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) == 77
    for frame in frames:
        assert_visible(frame)
    assert len({frame.tobytes() for frame in frames}) == 77

    loads = Counter(record["file"] for record in server.records("loads")[seen:])
    assert loads[unet] == 1
    assert set(loads.values()) == {1}
    assert (lora in loads) == (lora is not None)
    assert server.records("samples")[-1]["kind"] == "WAN22_S2V"


def test_raise(server: Server) -> None:
    graph = {
        "image": node("LoadImage", image="face.png"),
        "raise": node("TestRaise", image="@image", message="out of ink", when="fail"),
        "save": node("SaveImage", images="@raise", filename_prefix="never"),
    }
    entry = server.run(graph)
    assert entry["status"]["status_str"] == "error"
    assert "out of ink" in json.dumps(entry["status"]["messages"])
