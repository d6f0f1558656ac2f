"""The Talking Video node: its inputs, its refusals, and interruption."""

from __future__ import annotations

import json
import re
import time
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import requests
import websocket
from PIL import Image

from driver.comfy.events import Failed, Finished, Progress
from driver.files import content_name, sha256_of
from story_studio.media.probe import probe
from tests.recipes import read_titled
from tests.studio import Studio
from tests.voices import write_voice

S2V = read_titled("s2v_clip")
NODE = "Talking Video (Wan2.2 S2V)"


class Bench:
    """Runs the S2V clip recipe with other inputs."""

    def __init__(self, studio: Studio, folder: Path):
        self.studio, self.folder = studio, folder
        self.number = 0

    def upload(self, path: Path, name: str | None = None) -> str:
        return self.studio.comfy.upload(path, name or path.name)

    def graph(self, seconds: float = 0.5, image: Image.Image | None = None) -> dict[str, Any]:
        self.number += 1
        graph = json.loads(json.dumps(S2V))
        voice = write_voice(self.folder / f"{time.time_ns()}.wav", seconds)
        image = image or Image.effect_noise((64, 64), 80).convert("RGB")
        image.save(self.folder / f"{voice.stem}.png")
        graph["image"]["inputs"]["image"] = self.upload(self.folder / f"{voice.stem}.png")
        graph["audio"]["inputs"]["audio"] = self.upload(voice)
        for node, value in (("width", 64), ("height", 64), ("steps", 2)):
            graph[node]["inputs"]["value"] = value
        return graph

    def run(self, graph: dict[str, Any]) -> Path | str:
        """The clip's file, or the error message."""
        failed = ""
        for event in self.studio.comfy.run(graph):
            if isinstance(event, Failed):
                failed = event.message
            elif isinstance(event, Finished) and not failed:
                item = event.outputs["clip"]["images"][0]
                return self.studio.comfy.fetch(item, self.folder / f"{self.number}.mp4")
        return failed

    def render(self, graph: dict[str, Any]) -> Path:
        clip = self.run(graph)
        assert isinstance(clip, Path), clip
        return clip


@pytest.fixture
def bench(studio: Studio, tmp_path: Path) -> Bench:
    return Bench(studio, tmp_path)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 4.8125, 4.9])
def test_video_and_audio_end_with_the_recording(bench: Bench, seconds: float) -> None:
    info = probe(bench.render(bench.graph(seconds)))
    assert info.frames == int(np.ceil(16 * seconds - 1e-9))
    assert 0 <= info.video_seconds - seconds < 1 / 16
    assert abs(info.audio_seconds - info.video_seconds) < 0.001


def test_the_clip_opens_its_graph(bench: Bench) -> None:
    tags = probe(bench.render(bench.graph())).metadata
    classes = {node["class_type"] for node in json.loads(tags["prompt"]).values()}
    assert {"StoryStudio_TalkingVideo", "StoryStudio_S2VModels", "LoadAudio"} <= classes


def test_all_wrong_inputs_are_reported_together_before_sampling(bench: Bench) -> None:
    graph = bench.graph()
    graph["20"] = {"class_type": "UNETLoader", "inputs": {"unet_name": "z_image_turbo_bf16.safetensors"}}
    graph["20"]["inputs"]["weight_dtype"] = "default"
    graph["21"] = {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}}
    graph[NODE]["inputs"] |= {"model": ["20", 0], "vae": ["21", 0]}
    bench.studio.samples()
    message = bench.run(graph)
    assert isinstance(message, str)
    assert "model is Lumina2, not Wan2.2 S2V" in message
    assert "This VAE cannot decode Wan2.2 S2V" in message
    assert bench.studio.samples() == []


def test_a_prompt_of_another_text_encoder_is_refused(bench: Bench) -> None:
    graph = bench.graph()
    names = {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2", "device": "default"}
    graph["20"] = {"class_type": "CLIPLoader", "inputs": names}
    graph["How the person moves"]["inputs"]["clip"] = ["20", 0]
    message = bench.run(graph)
    assert isinstance(message, str)
    assert "positive was not encoded with umt5" in message
    assert "negative" not in message


def test_an_image_model_in_the_loader_is_refused(bench: Bench) -> None:
    graph = bench.graph()
    graph["models"]["inputs"]["diffusion_model"] = "z_image_turbo_bf16.safetensors"
    message = bench.run(graph)
    assert isinstance(message, str)
    assert "z_image_turbo_bf16.safetensors is not a Wan2.2 S2V model" in message


def test_a_clip_that_starts_with_the_image(bench: Bench) -> None:
    image = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    graph = bench.graph(1.0, image)
    graph[NODE]["inputs"]["start_with_image"] = True
    frames = _frames(bench.render(graph))
    assert len(frames) == 16
    assert np.abs(frames[0].astype(int) - np.array(image)).mean() < 4
    assert np.abs(frames[1].astype(int) - np.array(image)).mean() > 4


def test_a_pose_video_controls_the_clip(bench: Bench) -> None:
    graph = bench.graph(5.2)
    without_pose = _frames(bench.render(graph))
    # Three frames of poses, 0.2 s; those of the rest of the first chunk and of the second are black.
    graph["30"] = {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 3}}
    graph["30"]["inputs"]["color"] = 0xFF0000
    graph[NODE]["inputs"]["pose_video"] = ["30", 0]
    with_pose = _frames(bench.render(graph))
    assert len(with_pose) == len(without_pose) == 84
    assert np.abs(with_pose[10].astype(int) - without_pose[10]).mean() > 1
    assert np.abs(with_pose[82].astype(int) - without_pose[82]).mean() > 1


def test_both_continuities_start_with_the_same_chunk(bench: Bench) -> None:
    graph = bench.graph(5.2)
    official = _frames(bench.render(graph))
    graph[NODE]["inputs"]["continuity"] = "latent"
    streamed = _frames(bench.render(graph))
    assert len(official) == len(streamed) == 84
    assert all(np.array_equal(a, b) for a, b in zip(official[:60], streamed[:60], strict=True))
    assert not np.array_equal(official[-1], streamed[-1])


@pytest.mark.parametrize(
    ("mode", "size"), [("RGBA", (64, 64)), ("L", (64, 64)), ("RGB", (1, 1)), ("RGB", (200, 30))]
)
def test_images_of_all_kinds(bench: Bench, mode: str, size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 80).convert(mode)
    info = probe(bench.render(bench.graph(0.3, image)))
    assert info.width % 64 == info.height % 64 == 0


@pytest.mark.parametrize(("rate", "layout"), [(8_000, "mono"), (48_000, "5.1"), (44_100, "stereo")])
def test_audio_of_all_kinds(bench: Bench, rate: int, layout: str) -> None:
    graph = bench.graph(0.3)
    path = bench.folder / "audio.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout=layout)
        channels = stream.layout.nb_channels
        noise = np.random.default_rng(0).integers(-9000, 9000, (1, channels * rate // 2), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(noise, "s16", layout)
        frame.sample_rate = rate
        file.mux([*stream.encode(frame), *stream.encode(None)])
    name = content_name(path.name, sha256_of(path))
    graph["audio"]["inputs"]["audio"] = bench.upload(path, name)
    info = probe(bench.render(graph))
    assert (info.frames, info.channels) == (8, 1 if layout == "mono" else 2)


LORA = "wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors"


def test_turbo_is_four_steps_and_needs_the_lora(bench: Bench) -> None:
    graph = bench.graph(0.3)
    graph[NODE]["inputs"]["preset"] = "turbo"
    message = bench.run(graph)
    assert isinstance(message, str)
    assert "preset turbo needs the 4-step LoRA" in message
    graph["models"]["inputs"]["lora"] = LORA
    bench.studio.samples()
    tags = probe(bench.render(graph)).metadata
    assert tags["comment"].startswith("Wan2.2 S2V, 4 steps, cfg 1, seed 0, reencode.")
    assert "not made for S2V" in tags["comment"]
    # The preset overrides the linked steps and cfg.
    assert [sample["steps"] for sample in bench.studio.samples()] == [4]


def texts_of(bench: Bench, graph: dict[str, Any]) -> list[str]:
    """What stands on the node while a graph runs, until its video is written."""
    url = bench.studio.server.url.replace("http", "ws") + "/ws?clientId=reader"
    socket = websocket.create_connection(url, timeout=60)
    texts: list[str] = []
    try:
        body = {"prompt": graph, "client_id": "reader"}
        requests.post(f"{bench.studio.server.url}/prompt", json=body, timeout=30).raise_for_status()
        while not (texts and ", writing the video" in texts[-1]):
            message = socket.recv()
            # A progress text: event type 3, the length of the node id, the node id, the text.
            if isinstance(message, bytes) and message[:4] == (3).to_bytes(4, "big"):
                length = int.from_bytes(message[4:8], "big")
                assert message[8 : 8 + length] == NODE.encode()
                texts.append(message[8 + length :].decode())
    finally:
        socket.close()
    return texts


def test_the_node_shows_its_chunk_and_step(bench: Bench) -> None:
    texts = texts_of(bench, bench.graph(5.2))

    assert texts[-1].endswith(", 0:00 left")
    # A latent has four frames; the first one of a video has one.
    decoded = {1: range(1, 81, 4), 2: (81, 84)}
    states = [
        *("encoding the image and the voice", "step 1 of 2", "step 2 of 2"),
        *(f"decoding frames {done} of 84" for done in decoded[1]),
        *("written", "encoding the last frames", "step 1 of 2", "step 2 of 2"),
        *(f"decoding frames {done} of 84" for done in decoded[2]),
        *("written", "writing the video"),
    ]
    second = states.index("encoding the last frames")
    assert [re.sub(r", \d+:\d\d left$", "", text) for text in texts] == [
        f"Chunk {1 + (number >= second)} of 2, {state}" for number, state in enumerate(states)
    ]


@pytest.mark.parametrize("kind", ["silent", "clipped", "short"])
def test_what_is_wrong_with_a_recording_stands_on_the_node_before_sampling(bench: Bench, kind: str) -> None:
    graph = bench.graph(0.3)
    tone = np.sin(np.arange(16_000) * 2 * np.pi * 220 / 16_000) * np.linspace(0.5, 1, 16_000)
    noise = np.random.default_rng(2).normal(0, 0.0005, 8_000)
    samples, says = {
        "silent": (np.zeros(8_000), "The recording is silent"),
        "clipped": (np.r_[noise, np.clip(tone * 4, -0.99, 0.99), noise], "The recording is clipped: "),
        "short": (tone[:2400], "The recording lasts 0.15 s, and a scene needs at least 0.2 s"),
    }[kind]
    path = bench.folder / f"{kind}.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    graph["audio"]["inputs"]["audio"] = bench.upload(path)

    texts = texts_of(bench, graph)

    first = next(number for number, text in enumerate(texts) if ", step 1 of" in text)
    assert any(says in text for text in texts[:first])
    # It stays there to the end, and is in the server's log.
    assert says in texts[-1]
    assert says in bench.studio.server.log_tail(200)


def test_a_recording_in_opposite_phase_gives_a_warning_and_is_kept(bench: Bench) -> None:
    """The lips follow one channel; the clip has both."""
    graph = bench.graph(0.5)
    mono = _frames(bench.render(graph))
    voice = bench.folder / "opposite.wav"
    with wave.open(str(next(bench.folder.glob("*.wav")))) as source, wave.open(str(voice), "wb") as target:
        samples = np.frombuffer(source.readframes(source.getnframes()), "<i2")
        target.setparams((2, 2, source.getframerate(), 0, "NONE", ""))
        target.writeframes(np.stack([samples, -samples], axis=1).astype("<i2").tobytes())
    graph["audio"]["inputs"]["audio"] = bench.upload(voice, content_name(voice.name, sha256_of(voice)))
    clip = bench.render(graph)
    assert "The channels of the recording cancel out" in bench.studio.server.log_tail(200)
    for frame, same in zip(_frames(clip), mono, strict=True):
        assert np.abs(frame.astype(int) - same).mean() < 1
    with av.open(str(clip)) as file:
        left, right = np.concatenate([part.to_ndarray() for part in file.decode(audio=0)], axis=1)
    assert np.abs(left).max() > 0.1
    assert np.abs(left + right).max() < 0.05


def test_a_model_patched_by_other_nodes(bench: Bench) -> None:
    graph = bench.graph(0.3)
    plain = _frames(bench.render(graph))
    names = {"model": ["models", 0], "lora_name": LORA, "strength_model": 1.0}
    graph["20"] = {"class_type": "LoraLoaderModelOnly", "inputs": names}
    settings = {"model": ["20", 0], "reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95}
    graph["21"] = {"class_type": "EasyCache", "inputs": {**settings, "verbose": False}}
    graph[NODE]["inputs"]["model"] = ["21", 0]
    patched = _frames(bench.render(graph))
    assert np.abs(patched[0].astype(int) - plain[0]).mean() > 0.5
    again = json.loads(json.dumps(graph))
    again[NODE]["inputs"]["model"] = ["models", 0]
    again[NODE]["inputs"]["after"] = ["steps", 0]
    # The patches of other nodes do not leak into the unpatched MODEL.
    assert np.array_equal(_frames(bench.render(again)), plain)


def test_one_progress_bar_for_all_chunks_and_interruption_within_a_chunk(
    bench: Bench, tmp_path: Path
) -> None:
    graph = bench.graph(12.0)
    # It stops within a step. The other steps leave a busy machine time to deliver the interruption.
    steps = 30
    graph["steps"]["inputs"]["value"] = steps
    values: list[float] = []
    stopped = False
    prompt = "11111111-2222-4333-8444-555555555555"
    for event in bench.studio.comfy.run(graph, prompt_id=prompt):
        if isinstance(event, Progress) and event.node == NODE and event.max > 1:
            assert event.max == 3 * (steps + 1)
            values.append(event.value)
            if event.value >= 4 and not stopped:
                stopped = True
                bench.studio.comfy.interrupt(prompt)
        if isinstance(event, Finished):
            assert event.status == "interrupted"
    assert values == sorted(values)
    assert max(values) <= steps
    assert stopped
    assert list(bench.studio.server.workspace.glob("temp/**/.*.part*")) == []
    bench.render(bench.graph(0.3))


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
