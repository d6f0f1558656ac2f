"""The endpoint's task `workflow`: ComfyUI's own nodes on the real server, real files, real stores."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest
import requests
from PIL import Image

from driver.cancel import Cancel, Cancelled
from driver.comfy.client import Comfy
from driver.comfy.instance import ComfyInstance
from driver.storage import from_environment
from driver.storage.folder import FolderStore
from driver.storage.store import Store
from driver.worker import answers, outputs, uploads
from driver.worker.jobs import Worker
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, s3_server
from tests.studio import Studio
from tests.voices import write_voice
from tests.worker.tools import GREEN, RED, color, content, empty_image, node, png, save

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def run(studio: Studio, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a workflow job on a worker without a bucket, which may use the node that fails."""
    monkeypatch.setenv("WORKFLOW_ALLOW_NODES", "tiny_pack")
    worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")

    def run(nodes: Any, job_id: str = "job-1", images: Any = None, **more: Any) -> dict[str, Any]:
        answer = worker.run(job_id, {"workflow": nodes, "images": images}, **more)
        model = answers.Failure if "error" in answer else answers.WorkflowAnswer
        model.model_validate(answer, extra="forbid")
        assert len(json.dumps(answer)) < 8_400_000
        return answer

    return run


def test_an_image_is_returned_as_by_worker_comfyui(run: Run) -> None:
    answer = run({"1": empty_image(GREEN), "9": save("green")})
    (entry,) = answer["images"]
    assert (entry["type"], entry["content_type"]) == ("base64", "image/png")
    assert entry["filename"].startswith("green_") and entry["filename"].endswith(".png")
    assert color(entry) == (0, 255, 0)
    assert (answer["videos"], answer["audio"], answer["warnings"]) == ([], [], [])
    assert answer.keys() == {"images", "videos", "audio", "warnings", "generation_time", "version"}


def save_video(name: str, /, **inputs: Any) -> dict[str, Any]:
    return node(name, filename_prefix="film", **inputs)


WEBP = {"lossless": True, "quality": 80, "method": "default"}
MOVING = {
    "video/mp4": {
        "4": node("CreateVideo", images=["3", 0], fps=8.0),
        "5": save_video("SaveVideo", video=["4", 0], format="mp4", codec="h264"),
    },
    "video/webm": {"5": save_video("SaveWEBM", images=["3", 0], codec="vp9", fps=8.0, crf=40)},
    "image/webp": {"5": save_video("SaveAnimatedWEBP", images=["3", 0], fps=8.0, **WEBP)},
    "image/png": {"5": save_video("SaveAnimatedPNG", images=["3", 0], fps=8.0, compress_level=4)},
}


@pytest.mark.parametrize("content_type", MOVING)
def test_animations_are_videos(run: Run, content_type: str) -> None:
    frames = {"1": empty_image(RED, 64), "2": empty_image(GREEN, 64)}
    frames["3"] = node("ImageBatch", image1=["1", 0], image2=["2", 0])
    answer = run({**frames, **MOVING[content_type]})
    (entry,) = answer["videos"]
    assert (entry["content_type"], answer["images"]) == (content_type, [])
    file = io.BytesIO(content(entry))
    if content_type.startswith("video/"):
        with av.open(file, "r") as video:
            assert sum(1 for _ in video.decode(video=0)) == 2
    else:
        with Image.open(file) as moving:
            assert getattr(moving, "n_frames", 1) == 2


def test_videos_of_other_node_packs_are_videos() -> None:
    for key, content_type in (("gifs", "image/gif"), ("gifs", "video/mp4"), ("videos", "video/quicktime")):
        assert outputs.kind_of(key, {key: []}, content_type) == "videos"
    assert outputs.kind_of("images", {"images": []}, "image/gif") == "images"


def test_sound_and_text(run: Run) -> None:
    sound = {
        "1": node("EmptyAudio", duration=0.5, sample_rate=16000, channels=1),
        "2": node("SaveAudio", audio=["1", 0], filename_prefix="silence"),
        "3": node("PrimitiveString", value="A hero stands on a mountain."),
        "4": node("PreviewAny", source=["3", 0]),
    }
    answer = run(sound)
    (entry,) = answer["audio"]
    assert entry["content_type"] == "audio/flac"
    with av.open(io.BytesIO(content(entry))) as file:
        assert file.streams.audio[0].rate == 16000
    assert answer["text"] == ["A hero stands on a mountain."]
    assert (answer["images"], answer["warnings"]) == ([], [])


def test_files_of_other_kinds_are_returned(run: Run) -> None:
    latent = node("EmptyLatentImage", width=64, height=64, batch_size=1)
    answer = run({"1": latent, "2": node("SaveLatent", samples=["1", 0], filename_prefix="latent")})
    (entry,) = answer["files"]
    assert entry["filename"].endswith(".latent") and content(entry)


def test_images_of_one_name_in_jobs_at_once_stay_separate(run: Run, store: Store, tmp_path: Path) -> None:
    """Sent in each possible way: plain base64 with line breaks, a data URI, a key of the store."""
    nodes = {"1": node("LoadImage", image="in put.png"), "2": save("copy")}
    (tmp_path / "blue.png").write_bytes(base64.b64decode(png("blue")))
    store.upload(tmp_path / "blue.png", "given/blue.png")
    lines = base64.encodebytes(base64.b64decode(png("red"))).decode()
    sources = [lines, f"data:image/png;base64,{png('lime')}", "given/blue.png"]
    jobs = [[{"name": "in put.png", "image": source}] for source in sources]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda number: run(nodes, f"job-{number}", images=jobs[number]), range(3)))
    assert [color(answer["images"][0]) for answer in answers] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


def test_files_hold_no_prompts_of_another_job(run: Run) -> None:
    """ComfyUI has the images of the first job in memory, and the files too, which hold its whole workflow."""
    saved = {
        "1": empty_image(0x123456, 64),
        "2": save("apart"),
        "3": node("CreateVideo", images=["1", 0], fps=8.0),
        "4": save_video("SaveVideo", video=["3", 0], format="mp4", codec="h264"),
    }
    secret = {"9": {**node("PreviewAny", source="a private prompt"), "_meta": {"title": "a private title"}}}
    first, second, again = (run(nodes) for nodes in ({**saved, **secret}, saved, saved))
    for kind in ("images", "videos"):
        (theirs,), (mine,), (same,) = (answer[kind] for answer in (first, second, again))
        assert b"a private prompt" in content(theirs) and b"a private title" in content(theirs)
        assert b"private" not in content(mine)
        # The same workflow is still answered from memory.
        assert same["filename"] == mine["filename"]
        assert same["sha256"] == mine["sha256"]


def test_an_image_that_no_node_names_is_a_warning(run: Run) -> None:
    answer = run({"1": empty_image(), "2": save()}, images=[{"name": "other.png", "image": png("red")}])
    assert answer["warnings"] == ["images[0] is not used: no node of the workflow names 'other.png'."]
    assert len(answer["images"]) == 1


def test_previews_are_left_out_with_a_warning_if_there_is_nothing_else(run: Run) -> None:
    preview = {"1": empty_image(), "2": node("PreviewImage", images=["1", 0])}
    answer = run(preview)
    assert (answer["images"], answer["status"]) == ([], "success_no_images")
    assert "only previews" in answer["warnings"][0]
    both = run({**preview, "3": save()})
    assert (len(both["images"]), both["warnings"], "status" in both) == (1, [], False)


def test_files_too_large_for_an_answer_are_in_the_store(run: Run, store: Store) -> None:
    """Two files that fit alone but not together, of one name in two folders."""
    nodes = {
        "1": node("LoadImage", image="noise.png"),
        "2": save("one/noise"),
        "3": save("two/noise"),
        "4": save("one/small", images="5"),
        "5": empty_image(),
    }
    images = [{"name": "noise.png", "image": png(size=1400)}]
    small = run({name: nodes[name] for name in "12"}, images=images)
    assert [entry["type"] for entry in small["images"]] == ["base64"]
    assert small["images"][0]["bytes"] * 4 / 3 > uploads.MAX_INLINE / 2
    large = run(nodes, "uuid/../u1", images=images)
    assert {entry["type"] for entry in large["images"]} == {"s3_url"}
    contents = [content(entry) for entry in large["images"]]
    assert len(contents) == 3 and len(json.dumps(large)) < 5000
    (folder,) = {key.rpartition("/")[0] for key in store.keys("StoryStudio/workflow")}
    assert folder.startswith("StoryStudio/workflow/job-uuid-..-u1-")
    assert len(store.keys(folder)) == 3


def test_long_text_is_a_file(run: Run) -> None:
    text = "word " * 40_000
    answer = run({"1": node("PrimitiveString", value=text), "2": node("PreviewAny", source=["1", 0])})
    assert "text" not in answer and "too long" in answer["warnings"][0]
    assert json.loads(content(answer["files"][0])) == [text]


def test_with_a_bucket_every_file_is_in_it(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as server:
        monkeypatch.setenv("BUCKET_ENDPOINT_URL", f"{server.url}/{BUCKET}")
        monkeypatch.setenv("BUCKET_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("BUCKET_SECRET_ACCESS_KEY", SECRET_KEY)
        store = from_environment(tmp_path / "unused")
        worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
        answer = worker.run("job-7", {"workflow": {"1": empty_image(GREEN), "2": save("bucket")}})
        (entry,) = answer["images"]
        assert entry["type"] == "s3_url" and entry["data"].startswith(server.url)
        assert color(entry) == (0, 255, 0)
        assert requests.get(entry["data"], timeout=30).headers["Content-Type"] == "image/png"
        (key,) = store.keys("StoryStudio")
        assert key == f"StoryStudio/workflow/job-7/{entry['filename']}"
        # One job's result is another job's input.
        nodes = {"1": node("LoadImage", image="a.png"), "2": save("again")}
        again = worker.run("job-8", {"workflow": nodes, "images": [{"name": "a.png", "image": key}]})
        assert color(again["images"][0]) == (0, 255, 0)


WALL = {**empty_image(size=-1), "_meta": {"title": "A wall"}}
GONE = node("LoadImage", image="gone.png")
NO_MODEL = node("CheckpointLoaderSimple", ckpt_name="no.safetensors")
SMALLER = "A wall (EmptyImage): Value -1 smaller than min of 1"
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"nodes": [{"id": 1}], "links": []}, ["workflow: is in the format of ComfyUI's interface: export it"]),
    (
        {"1": node("EmtpyImage"), "2": node("Zzyzx"), "3": node("Zzyzx"), "4": save()},
        [
            "workflow.1.class_type: the class 'EmtpyImage' is not installed, did you mean 'EmptyImage'?",
            "workflow.2.class_type: the class 'Zzyzx' (and of 1 more) is not installed: install its",
        ],
    ),
    (
        {"1": empty_image(), "2": save(images="7")},
        ["workflow.2.inputs.images: is linked to node 7, which does not exist"],
    ),
    ({"1": empty_image()}, ["workflow: has no node that saves anything: add one, like SaveImage"]),
    (
        {"1": empty_image(), "2": save(), "3": node("SaveImage")},
        ["workflow.3.inputs.images: SaveImage (SaveImage): Required input is missing"],
    ),
    (
        {"1": WALL, "2": save()},
        [f"workflow.1.inputs.width: {SMALLER}", f"workflow.1.inputs.height: {SMALLER}"],
    ),
    ({"1": GONE, "2": save()}, ["workflow.1.inputs.image: LoadImage", "Invalid image file: gone.png"]),
    (
        {"1": node("LoadImage", image="/etc/x.png"), "2": node("LoadAudio", audio="a/../../x"), "3": save()},
        ["workflow.1.inputs.image: LoadImage: leads out", "workflow.2.inputs.audio: LoadAudio: leads out"],
    ),
    (
        {"1": NO_MODEL, "2": node("PreviewAny", source=["1", 0])},
        ["workflow.1.inputs.ckpt_name: ", "Value not in list: 'no.safetensors' not in"],
    ),
]


@pytest.mark.parametrize(("nodes", "messages"), WRONG)
def test_all_problems_are_reported_with_their_location(
    run: Run, nodes: dict[str, Any], messages: list[str]
) -> None:
    answer = run(nodes)
    assert answer.keys() == {"error", "details", "generation_time", "version"}
    assert len(answer["details"]) == len(answer["error"].splitlines())
    for message in messages:
        assert message in answer["error"]
    assert "Traceback" not in answer["error"]


def test_all_invalid_images_are_reported_and_nothing_runs(run: Run) -> None:
    sources = ["!!", "AAAAA", "gone.png", "https://127.0.0.1/a.png", "data:image/png", "file:///etc/passwd"]
    images = [{"name": f"{number}.png", "image": source} for number, source in enumerate(sources)]
    answer = run({"1": empty_image(), "2": save()}, images=images)
    assert answer.keys() == {"error", "details", "generation_time", "version"}
    lines = answer["error"].splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"images[{n}].image" for n in range(len(sources))]
    assert "broken base64" in lines[0] and "broken base64" in lines[1]
    assert "root:" not in answer["error"]


def fails(message: str, when: str = "fail") -> dict[str, Any]:
    title = {"_meta": {"title": "My node"}}
    return {
        "1": empty_image(),
        "2": {**node("TestRaise", image=["1", 0], message=message, when=when), **title},
    }


def test_a_node_that_fails_is_named_in_one_plain_sentence(run: Run, tmp_path: Path) -> None:
    answer = run({**fails(f"cannot open '{tmp_path}/deep/secret.bin':\nno such file"), "3": save(images="2")})
    assert answer["error"] == ("My node, TestRaise (node 2), failed: cannot open 'secret.bin': no such file.")
    assert answer["details"] == [{"where": "workflow.2", "what": answer["error"]}]
    out_of_memory = run({**fails("", "starve"), "3": save(images="2")})
    assert "TestRaise (node 2), ran out of memory" in out_of_memory["error"]


def test_a_broken_image_is_reported_by_its_original_name(run: Run) -> None:
    nodes = {"1": node("LoadImage", image="mine.png"), "2": save()}
    answer = run(nodes, images=[{"name": "mine.png", "image": "bm8gcGljdHVyZQ=="}])
    assert answer["error"].startswith("LoadImage (node 1) failed: ") and "mine.png" in answer["error"]


def test_files_saved_before_a_node_failed_are_kept(run: Run) -> None:
    """As worker-comfyui does it: the files, and the reason in `errors`."""
    # ComfyUI starts with the node that is directly followed by a Save node.
    nodes = {
        "1": empty_image(),
        "10": save("before"),
        "2": empty_image(GREEN),
        "3": node("ImageInvert", image=["2", 0]),
        "4": node("TestRaise", image=["3", 0], message="no", when="fail"),
        "5": save("after", "4"),
    }
    answer = run(nodes)
    assert [entry["filename"].partition("_")[0] for entry in answer["images"]] == ["before"]
    assert answer["errors"] == ["TestRaise (node 4) failed: no."]


def test_progress_names_the_nodes(run: Run) -> None:
    messages: list[dict[str, Any]] = []
    nodes = {"1": {**empty_image(GREEN + 1), "_meta": {"title": "A meadow"}}, "2": save("told")}
    run(nodes, on_message=messages.append)
    steps = [message for message in messages if message["phase"] == "workflow"]
    assert [message["node"] for message in steps] == ["A meadow", "SaveImage"]
    assert [(message["percent"], message["seconds_left"]) for message in steps] == [(0.0, None), (50.0, None)]


def long_workflow(prefix: str) -> dict[str, Any]:
    """A workflow that takes a while, in many nodes."""
    how = {"blur_radius": 31, "sigma": 10.0}
    blurs = {str(n): node("ImageBlur", image=[str(n - 1), 0], **how) for n in range(2, 60)}
    return {"1": empty_image(size=512, frames=4), **blurs, "60": save(prefix, "59")}


def test_a_cancelled_job_ends_and_leaves_the_server_idle(run: Run, studio: Studio) -> None:
    cancel = Cancel()
    with pytest.raises(Cancelled):
        run(long_workflow("never"), on_message=lambda _: cancel.set(), cancel=cancel)
    assert not requests.get(f"{studio.url}/queue", timeout=30).json()["queue_running"]
    assert "never" not in str(list((studio.server.workspace / "output").iterdir()))


def test_a_workflow_that_somebody_else_interrupts_is_an_error(run: Run, studio: Studio) -> None:
    running = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(run, long_workflow("stopped"), on_message=lambda _: running.set())
        assert running.wait(60)
        for prompt in requests.get(f"{studio.url}/queue", timeout=30).json()["queue_running"]:
            studio.comfy.interrupt(prompt[1])
        assert "ComfyUI ended the workflow (interrupted): run the job again." in job.result(120)["error"]


@pytest.mark.parametrize("source", ["by the job", "by the worker"])
def test_a_comfy_org_key_reaches_the_server_only(
    source: str, studio: Studio, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []

    class RecordingComfy(Comfy):
        def submit(self, graph: Any, prompt_id: str, client_id: str, extra_data: Any = None) -> None:
            sent.append(extra_data)
            super().submit(graph, prompt_id, client_id, extra_data)

    key, other = f"comfyui-key-{source}", "comfyui-key-of-the-worker"
    monkeypatch.setenv("COMFY_ORG_API_KEY", other if source == "by the job" else key)
    monkeypatch.setenv("WORKFLOW_ALLOW_NODES", "TestRaise")
    # The node's error contains the key, as that of a node that calls a service might.
    job: dict[str, Any] = {"workflow": {**fails(f"the service refuses {key}"), "3": save(images="2")}}
    job["comfy_org_api_key"] = key if source == "by the job" else None
    answer = Worker(ComfyInstance(RecordingComfy(studio.url)), store, tmp_path / "output").run("job-9", job)
    assert "the service refuses ***." in answer["error"]
    assert "the service refuses ***." in answer["details"][0]["what"]
    assert sent == [{"api_key_comfy_org": key}]
    # ComfyUI shows all other extra data in its history.
    (entry,) = requests.get(f"{studio.url}/history?max_items=1", timeout=30).json().values()
    assert entry["prompt"][3] and key not in json.dumps(entry["prompt"][3])


def test_the_other_tasks_answer_as_the_contract_says(studio: Studio, store: Store, tmp_path: Path) -> None:
    voice = base64.b64encode(write_voice(tmp_path / "voice.wav", 0.3).read_bytes()).decode()
    media = {"audio": f"data:audio/wav;base64,{voice}", "image": f"data:image/png;base64,{png('red', 64)}"}
    small, scene = {"resolution": "64x64"}, {"id": "one", **media}
    for model, job in (
        (answers.ImageAnswer, {"task": "image", "prompt": "a lamp", "width": 64, "height": 64}),
        (answers.VideoAnswer, {**media, **small}),
        (answers.BatchAnswer, {"task": "batch", "scenes": [scene], "film": True, "video_settings": small}),
    ):
        worker = Worker(ComfyInstance(studio.comfy), store, tmp_path / "output")
        answer = worker.run(f"job-{model.__name__}", {"profile": "draft", **job})
        model.model_validate(answer, extra="forbid")
