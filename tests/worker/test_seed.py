"""The seed's bodies, field by field: each is accepted, has its effect, and is answered as the seed says."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

from driver.comfy.instance import ComfyInstance
from driver.storage.folder import FolderStore
from driver.worker.jobs import Worker
from story_studio.media.probe import probe
from story_studio.story.results import STORE
from tests.studio import Studio
from tests.voices import write_voice

IMAGE = {
    "task": "image",
    "prompt": "A professional businesswoman in a modern office, portrait style",
    "negative_prompt": "blurry, low quality",
    "width": 128,
    "height": 64,
    "steps": 20,
}
"""Smaller than the seed's, for it takes seconds."""
Z_IMAGE = ["ae.safetensors", "qwen_3_4b.safetensors", "z_image_turbo_bf16.safetensors"]
S2V = [
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "wan2.2_s2v_14B_fp8_scaled.safetensors",
    "wan_2.1_vae.safetensors",
    "wav2vec2_large_english_fp16.safetensors",
]


@pytest.fixture
def worker(studio: Studio, tmp_path: Path) -> Worker:
    return Worker(ComfyInstance(studio.comfy), FolderStore(tmp_path / "store"), tmp_path / "output")


@pytest.fixture
def media(tmp_path: Path) -> dict[str, str]:
    """A voice and an image, as data URIs."""
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "face.png")
    write_voice(tmp_path / "voice.wav", 0.5)
    types = {"audio": ("voice.wav", "audio/wav"), "image": ("face.png", "image/png")}
    return {
        field: f"data:{kind};base64,{base64.b64encode((tmp_path / name).read_bytes()).decode()}"
        for field, (name, kind) in types.items()
    }


def local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def made_with(output: Path, folder: str) -> list[dict[str, Any]]:
    """What the recipes of each scene got, from the manifest in a folder of the output folder."""
    manifest = json.loads((output / folder / "manifest.json").read_text())
    return [scene["settings"] for scene in manifest["scenes"]]


def test_an_image(worker: Worker, studio: Studio, tmp_path: Path) -> None:
    studio.samples()
    answer = worker.run("job-123", IMAGE)
    assert local(answer["image_url"]).relative_to(tmp_path / "store").as_posix() == (
        "StoryStudio/img_job-123.png"
    )
    with Image.open(local(answer["image_url"])) as image:
        assert image.size == (128, 64)
    (used,) = made_with(tmp_path / "output", "job-job-123")
    assert used["still"]["prompt"] == IMAGE["prompt"]
    assert [sample["steps"] for sample in studio.samples()] == [20]
    settings = answer["settings"]
    assert sorted(settings.pop("models")) == Z_IMAGE
    how = {"sampler": "res_multistep", "scheduler": "simple", "cfg": 1.0, "steps": 20}
    assert settings == {"profile": "standard", "width": 128, "height": 64, **how}
    # The profile has no guidance, and says so.
    assert len(answer["warnings"]) == 1 and answer["warnings"][0].startswith("negative_prompt has no effect")


def test_an_image_by_default(worker: Worker, tmp_path: Path) -> None:
    answer = worker.run("job-124", {"task": "image", "width": 64, "height": 64})
    assert answer["settings"]["steps"] == 8
    assert answer["warnings"] == ["prompt is empty: the image shows what the model makes of no text."]
    (used,) = made_with(tmp_path / "output", "job-job-124")
    assert used["still"]["prompt"] == ""


def test_a_negative_prompt_has_its_effect_where_there_is_guidance(worker: Worker, tmp_path: Path) -> None:
    small = {**IMAGE, "width": 64, "height": 64, "steps": 2, "profile": "quality", "seed": 1}
    answer = worker.run("job-125", small)
    other = worker.run("job-126", {**small, "negative_prompt": "bright"})
    assert answer["warnings"] == other["warnings"] == []
    assert answer["settings"]["cfg"] == 4.0
    (used,) = made_with(tmp_path / "output", "job-job-125")
    assert used["still"]["negative_prompt"] == IMAGE["negative_prompt"]
    assert answer["sha256"] != other["sha256"]


@pytest.mark.parametrize("names", [("image", "audio"), ("image_url", "audio_url")])
def test_a_video(
    worker: Worker, studio: Studio, media: dict[str, str], tmp_path: Path, names: tuple[str, str]
) -> None:
    studio.samples()
    prompt = f"Person speaking naturally with subtle expressions, sent as {names[0]}"
    body = {names[0]: media["image"], names[1]: media["audio"], "prompt": prompt}
    # Without a task, as the seed's first clients send it.
    answer = worker.run("job-456", {**body, "resolution": "64x64", "sample_steps": 3, "cfg": 2})
    assert answer["video_url"].endswith("/VideoGen/job-456_s2v_64x64.mp4")
    assert (answer["resolution"], probe(local(answer["video_url"])).width) == ("64x64", 64)
    assert [sample["steps"] for sample in studio.samples()] == [3]
    (used,) = made_with(tmp_path / "output", "job-job-456")
    assert used["clip"]["prompt"] == prompt
    settings = answer["settings"]
    assert sorted(settings.pop("models")) == S2V
    assert settings == {"profile": "standard", "steps": 3, "cfg": 2.0, "width": 64, "height": 64}


def test_a_video_by_default(worker: Worker, media: dict[str, str], tmp_path: Path) -> None:
    answer = worker.run("job-457", {**media, "profile": "draft", "task": "video"})
    assert answer["video_url"].endswith("/VideoGen/job-457_s2v_480p.mp4")
    assert answer["resolution"] == "480p"
    assert answer["settings"] == {"profile": "draft", "models": [], "width": 832, "height": 480}
    steps = worker.run("job-458", {**media, "resolution": "64x64"})["settings"]["steps"]
    assert steps == 20
    (used,) = made_with(tmp_path / "output", "job-job-458")
    assert used["clip"]["prompt"] == "Person speaking naturally"


def test_a_batch(worker: Worker, studio: Studio, media: dict[str, str], tmp_path: Path) -> None:
    """The seed's first body: without a task, scenes by number."""
    studio.samples()
    scenes = [
        {"scene": 1, "prompt": "A hero standing on a mountain", "audio_url": media["audio"]},
        {"id": "2", "audio": media["audio"], "image_url": media["image"], "video_prompt": "She laughs"},
    ]
    body = {
        "scenes": scenes,
        "image_settings": {"width": 128, "height": 64, "steps": 3},
        "video_settings": {"resolution": "64x64", "sample_steps": 2},
    }
    answer = worker.run("batch-789", {"project_id": "story_123", **body})
    assert (answer["project_id"], answer["status"]) == ("story_123", "complete")
    assert [scene["id"] for scene in answer["scenes"]] == ["scene_1", "2"]
    first, second = answer["scenes"]
    folder = tmp_path / "store/StoryStudio/story_123/batch-789"
    assert local(first["image_url"]) == folder / "scene_1_img.png"
    assert local(first["video_url"]) == folder / "scene_1_video.mp4"
    with Image.open(local(first["image_url"])) as image:
        assert image.size == (128, 64)
    assert probe(local(second["video_url"])).width == second["width"] == 64
    assert sorted(sample["steps"] for sample in studio.samples()) == [2, 2, 3]
    one, two = made_with(tmp_path / "output", "story_123.batch-789")
    assert (one["still"]["prompt"], two["still"]) == ("A hero standing on a mountain", None)
    assert [used["clip"]["prompt"] for used in (one, two)] == ["Person speaking naturally", "She laughs"]
    assert answer["total_time"] >= answer["images_time"] + answer["videos_time"] - 0.1
    settings = answer["settings"]
    assert (settings["image"]["steps"], settings["image"]["width"]) == (3, 128)
    assert (settings["video"]["steps"], settings["video"]["cfg"]) == (2, 4.5)
    assert sorted(settings["image"]["models"]) == Z_IMAGE and sorted(settings["video"]["models"]) == S2V
    assert "film_url" not in answer
    # The seed's word for a project that was not named.
    assert worker.run("batch-790", body)["project_id"] is None
    assert worker.run("batch-790", {**body, "project_id": None})["project_id"] is None


def test_batches_of_one_project_and_jobs_of_one_key_have_their_own_addresses(
    worker: Worker, media: dict[str, str], tmp_path: Path
) -> None:
    draft = {"profile": "draft", "video_settings": {"resolution": "64x64"}}

    def batch(job_id: str, prompt: str, **more: Any) -> dict[str, Any]:
        scene = {"scene": 1, "prompt": prompt, "audio_url": media["audio"]}
        answer = worker.run(job_id, {"scenes": [scene], "film": True, **draft, **more})
        assert answer["status"] == "complete", answer
        return answer

    def addresses(answer: dict[str, Any]) -> list[str]:
        (scene,) = answer["scenes"]
        return [scene["image_url"], scene["video_url"], answer["film_url"], answer["manifest_url"]]

    for more in ({}, {"project_id": "same"}):
        jobs = [batch(f"a-{number}", f"Room {number}", **more) for number in range(2)]
        assert not set(addresses(jobs[0])) & set(addresses(jobs[1]))
        contents = [[local(url).read_bytes() for url in addresses(job)] for job in jobs]
        assert all(one != other for one, other in zip(*contents, strict=True))
        again = batch("a-0", "Room 0", **more)
        assert addresses(again) == addresses(jobs[0])
        assert [local(url).read_bytes() for url in addresses(again)][:3] == contents[0][:3]
    keyed = [batch(f"b-{number}", "A quay", idempotency_key="order-7") for number in range(2)]
    assert addresses(keyed[0]) == addresses(keyed[1])
    image = {"task": "image", "profile": "draft", "width": 64, "height": 64, "prompt": "x"}
    images = [worker.run(f"c-{number}", {**image, "idempotency_key": "order-8"}) for number in range(2)]
    assert images[0]["image_url"] == images[1]["image_url"] and images[0]["seed"] == images[1]["seed"]
    other = worker.run("c-2", image)
    assert other["image_url"] != images[0]["image_url"] and other["seed"] != images[0]["seed"]
    # Nothing but the results of all is shared.
    folders = {path.name for path in (tmp_path / "output").iterdir()} - {STORE}
    assert len(folders) == 7
