"""The stock Z-Image and S2V graphs, run by a real server with tiny models."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from driver.comfy.events import Failed, Finished
from tests.studio import Studio
from tests.voices import write_voice

Graph = dict[str, dict[str, Any]]


@pytest.fixture
def server(studio: Studio, tmp_path: Path) -> Studio:
    """The server without a model in memory, with an image and a voice, and with its records read."""
    rows = np.linspace(0, 255, 128, dtype=np.uint8)
    image = np.stack([*np.meshgrid(rows, rows), np.full((128, 128), 90, np.uint8)], axis=-1)
    Image.fromarray(image).save(tmp_path / "face.png")
    studio.comfy.upload(tmp_path / "face.png", "face.png", "")
    studio.comfy.upload(write_voice(tmp_path / "voice.wav", 5.0), "voice.wav", "")
    studio.comfy.free()
    studio.loads()
    studio.samples()
    return studio


def run(server: Studio, graph: Graph) -> Path:
    """The file that the graph saves."""
    end = list(server.comfy.run(graph))[-1]
    assert isinstance(end, Finished) and end.status == "success"
    (item,) = end.outputs["save"]["images"]
    return server.server.output / item["subfolder"] / item["filename"]


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


def assert_visible(pixels: np.ndarray) -> None:
    assert pixels.shape == (128, 128, 3)
    assert 30 < pixels.mean() < 225
    assert pixels.std() > 15


def test_still(server: Studio) -> None:
    still = np.asarray(Image.open(run(server, z_image())))
    assert_visible(still)
    other = run(server, z_image("a submarine"))
    assert not np.array_equal(still, np.asarray(Image.open(other)))

    loads = Counter(load["file"] for load in server.loads())
    assert loads == {f"{name}.safetensors": 1 for name in ("z_image_turbo_bf16", "qwen_3_4b", "ae")}
    assert [(sample["kind"], sample["steps"]) for sample in server.samples()] == [("Lumina2", 2)] * 2


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
def test_clip(server: Studio, unet: str, lora: str | None) -> None:
    with av.open(str(run(server, s2v(unet, lora)))) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert len(frames) == 77
    for frame in frames:
        assert_visible(frame)
    assert len({frame.tobytes() for frame in frames}) == 77

    loads = Counter(load["file"] for load in server.loads())
    assert loads[unet] == 1
    assert set(loads.values()) == {1}
    assert (lora in loads) == (lora is not None)
    assert [sample["kind"] for sample in server.samples()] == ["WAN22_S2V"]


def test_raise(server: Studio) -> None:
    graph = {
        "image": node("LoadImage", image="face.png"),
        "raise": node("TestRaise", image="@image", message="out of ink", when="fail"),
        "save": node("SaveImage", images="@raise", filename_prefix="never"),
    }
    events = list(server.comfy.run(graph))
    assert ["out of ink" in event.message for event in events if isinstance(event, Failed)] == [True]
    assert isinstance(events[-1], Finished) and events[-1].status == "error"
