"""The commands and calls in the README and the other pages."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest

from driver.paths import ROOT
from driver.rendering.manifest import read_manifest
from driver.rendering.recordings import read_recording
from driver.storage.bucket import Bucket
from driver.worker import schema
from story_studio.media.probe import probe
from tests.studio import Studio

README = (ROOT / "README.md").read_text("utf-8")
ENDPOINT = (ROOT / ".runpod" / "README.md").read_text("utf-8")
PAGES = [
    "README.md",
    ".runpod/README.md",
    "CHANGELOG.md",
    "custom_nodes/story_studio/README.md",
    "custom_nodes/story_studio/checks/README.md",
    "custom_nodes/story_studio/recipes/README.md",
    "custom_nodes/story_studio/samples/README.md",
    "driver/README.md",
    "driver/export/README.md",
    "driver/runpod/README.md",
    "driver/voices/README.md",
    "tests/README.md",
    "workflows/README.md",
    "workflows/characters.md",
    "workflows/film.md",
    "workflows/script.md",
    "workflows/story.md",
]
LINKS = [
    (page, link)
    for page in PAGES
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text("utf-8"))
]


def test_the_demo(tmp_path: Path) -> None:
    assert "./install.sh demo" in README
    done = subprocess.run(["./install.sh", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    film = ROOT / "output" / "the-keepers-light" / "film.mp4"
    assert str(film) in done.stdout
    recordings = (ROOT / "workflows" / "demo" / "voices").glob("*.mp3")
    voices = [read_recording(path, tmp_path).seconds for path in recordings]
    info = probe(film)
    assert len(voices) == 3
    # A card at each end, and two pauses.
    assert 0 <= info.video_seconds - sum(voices) - 2 * 3.0 - 2 * 0.5 <= 3 / 16
    assert abs(info.video_seconds - info.audio_seconds) <= 1 / 16
    assert (info.width, info.height, info.subtitles, len(info.chapters)) == (832, 448, 1, 5)
    with av.open(str(film)) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert all(frame.mean() > 10 and frame.std() > 10 for frame in frames[40:-40:40])
    with av.open(str(film)) as file:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    spoken = sound[3 * 48_000 : -3 * 48_000]
    assert all(np.abs(part).max() > 0.1 for part in np.array_split(spoken, 6))
    # The music plays beneath the title.
    assert 0.005 < np.abs(sound[: 3 * 48_000]).max() < 0.1
    manifest = read_manifest(film.parent)
    assert manifest and manifest.film and manifest.film.cut and manifest.film.cut.sound
    assert abs(manifest.film.cut.sound["loudness"] + 16) <= 0.2
    assert manifest.film.cut.sound["true_peak"] <= -1
    assert (film.parent / "film.srt").read_text("utf-8").count("-->") == len(manifest.film.cut.captions[""])


def test_the_graph_is_posted_as_documented(studio: Studio, tmp_path: Path) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    block = next(text for text in blocks if "8188/prompt" in text)
    block = block.replace("http://127.0.0.1:8188", studio.url).replace("graph.json", str(tmp_path / "g.json"))
    block = block.replace("workspace/input", str(studio.server.workspace / "input"))
    done = subprocess.run(["bash", "-ec", block], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    response = json.loads(done.stdout)
    assert response["node_errors"] == {}
    assert studio.comfy.cancel(response["prompt_id"])


def test_the_documented_calls_of_the_endpoint_are_valid() -> None:
    bodies, shown = (
        [json.loads(text) for text in re.findall(r"-d '(\{\n.*?\n\})'", page, re.DOTALL)]
        for page in (ENDPOINT, README)
    )
    assert all(body in bodies for body in shown) and shown
    contract = json.loads((ROOT / "workflows" / "endpoint.schema.json").read_text())
    assert [body["input"]["task"] for body in bodies] == ["batch", "video", "image"]
    for body in bodies:
        jsonschema.validate(body["input"], contract)
        assert schema.parse(body["input"]).task == body["input"]["task"]


def test_the_documented_variables_of_the_endpoint_exist() -> None:
    documented = set(re.findall(r"`(BUCKET_[A-Z_]+)`", ENDPOINT))
    assert documented == {f"BUCKET_{name.upper()}" for name in Bucket.model_fields}
    offered = {entry["key"] for entry in json.loads((ROOT / ".runpod/hub.json").read_text())["config"]["env"]}
    own = {"JOBS_AT_ONCE", "RETENTION_DAYS", "RETENTION_GB"}
    assert offered >= documented - {"BUCKET_LINK_SECONDS"} | own


def test_the_handler_runs_as_documented() -> None:
    command = next(
        text for text in re.findall(r"```bash\n(.*?)```", ENDPOINT, re.DOTALL) if "--test_input" in text
    )
    done = subprocess.run(["bash", "-ec", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "image_url" in done.stdout + done.stderr


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_to_files(page: str, link: str) -> None:
    assert ((ROOT / page).parent / link).exists()


def test_the_readme_is_short_and_every_page_is_linked() -> None:
    assert len(README.splitlines()) <= 120
    linked = {(ROOT / page).parent.joinpath(link).resolve() for page, link in LINKS}
    assert {(ROOT / page).resolve() for page in PAGES} - linked == {(ROOT / "README.md").resolve()}
