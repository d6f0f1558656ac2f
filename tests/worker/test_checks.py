"""Clips that are checked and made again on an endpoint: answers, what other workers find, and the client."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from driver.comfy.instance import ComfyInstance
from driver.rendering.keys import predict
from driver.rendering.prepare import prepare
from driver.runpod.results import fetch_results
from driver.storage.folder import FolderStore
from driver.storage.results import find_results
from driver.storage.store import StorageError
from driver.worker import uploads
from driver.worker.jobs import Worker
from driver.worker.restore import restore, stored_key
from story_studio.checks.check import check_key, read_check
from story_studio.story import recipes
from story_studio.story.check_graph import retake_seed
from story_studio.story.graph import build
from story_studio.story.results import STORE, Kind
from story_studio.story.schema import parse
from tests.rendering.freezing import FREEZES, freezing_recipe
from tests.studio import Studio
from tests.voices import write_voice
from tests.worker.tools import data_uri


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A batch of one scene whose first clip stands still; the endpoint has the recipe."""
    shutil.copytree(recipes.FOLDER, tmp_path / "recipes")
    (tmp_path / "recipes" / "move_clip.json").write_text(json.dumps(freezing_recipe(str(FREEZES))))
    monkeypatch.setattr(recipes, "FOLDER", tmp_path / "recipes")
    voice = data_uri(write_voice(tmp_path / "voice.wav", 1.6), "audio/wav")
    scene = {"id": "ice", "kind": "narrated", "prompt": "a hidden lagoon", "audio": voice, "seed": FREEZES}
    settings = {"resolution": "128x96", "narrated_workflow": "move_clip.json"}
    job = {"task": "batch", "project_id": "ice", "profile": "draft", "scenes": [scene]}
    return job | {"video_settings": settings, "quality": {"retakes": 1}}


def local(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


@pytest.mark.parametrize("hide", ["1", "0"], ids=["hidden prompts", "open prompts"])
def test_a_retake_on_an_endpoint(
    studio: Studio, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hide: str
) -> None:
    monkeypatch.setenv("HIDE_PROMPTS", hide)
    output, store = studio.server.output, FolderStore(tmp_path / "store")
    forget(studio)
    messages: list[dict[str, Any]] = []
    answer = Worker(ComfyInstance(studio.comfy), store, output).run("job-ice", job, messages.append)
    assert answer["status"] == "complete", answer
    (scene,) = answer["scenes"]
    first, second = scene["takes"]
    assert (first["verdict"], first["kept"], first["seed"]) == ("fail", False, FREEZES)
    assert (second["kept"], second["seed"]) == (True, retake_seed(FREEZES, 1))
    check = scene["check"]
    assert check["verdict"] == second["verdict"] != "fail" and check["figures"]["frames"]["frozen"] == []
    assert f"retake 1 of 1: {first['reasons'][0]}" in [message.get("activity") for message in messages]
    # The sheet has the figures, and nothing of the prompt.
    sheet = local(check["sheet_url"])
    kept = read_check(sheet)
    assert kept and kept.verdict == check["verdict"] and b"hidden lagoon" not in sheet.read_bytes()
    # A worker with an empty disk finds both takes, and makes neither.
    manifest = json.loads(local(answer["manifest_url"]).read_bytes())
    takes = manifest["scenes"][0]["takes"]
    assert [take["needs_retake"] for take in takes] == [True, False]
    assert store.find(stored_key(Kind.CHECK, takes[1]["check"]))
    assert all(store.find(stored_key(Kind.CLIP, take["key"])) for take in takes)
    forget(studio)
    again = Worker(ComfyInstance(studio.comfy), store, output).run("job-again", job)
    assert (again["made"]["clips"], again["reused"]["clips"]) == (0, 1)
    assert again["scenes"][0]["takes"] == scene["takes"]
    # The client has what a local render leaves.
    story = parse({key: job[key] for key in job.keys() - {"task"}})
    here = tmp_path / "here"
    fetched = fetch_results(again, story, here, lambda _: None, local=True).scenes[0]
    assert fetched.check and (fetched.check.verdict, fetched.check.key) == (check["verdict"], kept.key)
    assert [take.key for take in fetched.takes] == [take["key"] for take in takes]
    assert all(take.reused for take in fetched.takes)
    assert fetched.check.reused
    assert fetched.clip and fetched.clip.key == takes[1]["key"]
    assert read_check(here / "ice_check.png")
    # Without a sheet of its own, a clip has none of an earlier one beside it.
    del scene["check"]["sheet_url"]
    fetch_results(answer, story, here, lambda _: None, local=True)
    assert not (here / "ice_check.png").exists()


def test_sheets_are_left_out_of_an_answer_that_they_do_not_fit_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_INLINE", 1000)
    for name, size in (("a_video.mp4", 300), ("a_check.png", 600), ("b_check.png", 300)):
        (tmp_path / name).write_bytes(bytes(size))
    volume = FolderStore(tmp_path / "volume", reachable=False)
    with uploads.Uploads(volume, tmp_path, hide_prompts=False) as answer:
        for path in sorted(tmp_path.glob("*_*")):
            answer.add(path, f"StoryStudio/{path.name}", "", lasting=False)
        assert set(answer.finish()) == {"a_video.mp4", "b_check.png"}
    monkeypatch.setattr(uploads, "MAX_INLINE", 300)
    with pytest.raises(uploads.TooLarge):
        answer.finish()


def test_what_an_answer_may_lack_may_also_fail_to_be_stored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FolderStore(tmp_path / "store")
    (store.folder / "checkpoints").mkdir(parents=True)
    for kind in (Kind.CLIP, Kind.CHECK):
        (store.folder / "checkpoints" / kind.folder).write_text("in the way")
    for name in ("a_img.png", "a_video.mp4", "a_check.png"):
        (tmp_path / name).write_bytes(name.encode())
    with uploads.Uploads(store, tmp_path, hide_prompts=False) as answer:
        answer.add(tmp_path / "a_img.png", "StoryStudio/a_img.png", "a" * 24, lasting=False)
        answer.add(tmp_path / "a_check.png", "StoryStudio/a_check.png", "b" * 24, lasting=False)
        answer.share(tmp_path / "a_video.mp4", Kind.CLIP, "c" * 24)
        assert set(answer.finish()) == {"a_img.png"}
        assert caplog.text.count("A result is not stored for later: ") == 2
        answer.add(tmp_path / "a_video.mp4", "StoryStudio/a_video.mp4", "c" * 24, lasting=False)
        with pytest.raises(StorageError):
            answer.finish()


def test_the_checks_of_clips_that_are_fetched_are_fetched_too(
    write_story: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (plan,) = prepare([write_story([0.2, 0.2, 0.2], profile="turbo")], None, tmp_path)
    graph = build([plan])
    keys = predict(graph, plan.contents)
    store, output = FolderStore(tmp_path / "store"), tmp_path / "output"
    checks = []
    for number, scene in enumerate(graph.checks):
        still, clip, check = (tmp_path / f"{number}.{ending}" for ending in ("png", "mp4", "check"))
        Image.effect_noise((64, 48), 50 + number).convert("RGB").save(still)
        clip.write_bytes(f"clip {number}".encode())
        check.write_bytes(b"check")
        pixels = np.asarray(Image.open(still))
        checks.append(check_key(clip, reference=pixels))
        if number == 1:
            still.write_bytes(still.read_bytes()[:500])
        if number == 2:
            here = output / STORE / Kind.CLIP.folder / f"x.{keys[graph.clips[scene]]}.mp4"
            here.parent.mkdir(parents=True)
            shutil.copyfile(clip, here)
        store.upload(still, stored_key(Kind.STILL, keys[graph.stills[scene]]))
        store.upload(clip, stored_key(Kind.CLIP, keys[graph.clips[scene]]))
        store.upload(check, stored_key(Kind.CHECK, checks[-1]))
    # Three stills, the two clips that are not here, and the check of the one whose still can be read.
    assert restore(plan, [store], output, lambda: None) == 6
    assert [bool([*find_results(output, Kind.CHECK, key)]) for key in checks] == [True, False, False]
    assert "The checks of scene_2 are not looked for: is cut off" in caplog.text


def forget(studio: Studio) -> None:
    """The disk and memory of a fresh worker."""
    for kind in (Kind.STILL, Kind.CLIP, Kind.CHECK):
        for path in (studio.server.output / STORE / kind.folder).glob("ice_ice.*"):
            path.unlink()
    studio.comfy.free()
