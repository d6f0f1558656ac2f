"""The client against a real server: the events it reports, the failures it survives, the input it refuses."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image

from driver.comfy.client import Comfy
from driver.comfy.connection import ComfyError, Unreachable
from driver.comfy.errors import Lost, Rejected, Stuck
from driver.comfy.events import Cached, Executed, Executing, Failed, Finished, Progress
from driver.comfy.models import known_models, missing
from driver.comfy.process import Server
from tests.comfy.relay import Relay
from tests.comfy.slow_nodes import MANY, TEST_NODES, Graph, image_graph


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("comfy")
    nodes = workspace / "custom_nodes"
    (nodes / "story_studio").mkdir(parents=True)
    (nodes / "story_studio/__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n")
    (nodes / "slow.py").write_text(TEST_NODES)
    with Server(workspace, workspace / "output") as server:
        yield server


@pytest.fixture
def comfy(server: Server) -> Comfy:
    return Comfy(server.url)


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    relay = Relay(server.port)
    yield relay
    relay.close()


def submit(comfy: Comfy, graph: Graph) -> tuple[str, str]:
    prompt_id, client_id = str(uuid.uuid4()), uuid.uuid4().hex
    comfy.submit(graph, prompt_id, client_id)
    return prompt_id, client_id


def output_of(events: list[Any]) -> dict[str, Any]:
    assert isinstance(events[-1], Finished)
    assert events[-1].status == "success"
    return events[-1].outputs["3"]["images"][0]


def is_running(comfy: Comfy, prompt: tuple[str, str]) -> bool:
    """Whether the slow node of the prompt makes two more steps."""
    values = (event.value for event in comfy.follow(*prompt) if isinstance(event, Progress))
    return next(values) < next(values) < MANY


def test_reports_events_in_order(comfy):
    events = list(comfy.run(image_graph(steps=5)))
    executing = [event.node for event in events if isinstance(event, Executing)]
    assert executing == ["1", "2", "3"]
    slow = [event.value for event in events if isinstance(event, Progress) and event[::2] == ("2", 5)]
    assert slow == [1, 2, 3, 4] or slow == [1, 2, 3, 4, 5]
    assert [event.node for event in events if isinstance(event, Executed)] == ["3"]
    assert output_of(events)["type"] == "output"


def test_reports_cached_nodes(comfy):
    graph = image_graph()
    first, second = list(comfy.run(graph)), list(comfy.run(graph))
    assert not [event for event in first if isinstance(event, Cached)]
    assert second[0] == Cached(("1", "2", "3"))
    assert [type(event) for event in second] == [Cached, Executed, Finished]
    assert output_of(second) == output_of(first)


def test_needs_no_messages_at_all(comfy):
    prompt_id, _ = submit(comfy, image_graph(steps=2))
    events = list(comfy.follow(prompt_id, "a client that receives no messages"))
    assert [type(event) for event in events] == [Executed, Finished]


def test_follows_a_prompt_that_has_already_ended(comfy):
    prompt_id, client_id = submit(comfy, image_graph())
    output_of(list(comfy.follow(prompt_id, client_id)))
    requested: list[str] = []
    comfy._connection.session.hooks["response"].append(
        lambda response, **_: requested.append(urlsplit(response.url).path)
    )
    output_of(list(comfy.follow(prompt_id, client_id)))
    # One request is enough: it does not wait for a message that was sent long ago.
    assert requested == [f"/history/{prompt_id}"]


def test_receives_events_again_after_a_cut(relay):
    events = []
    cut_at = None
    for event in Comfy(relay.url).run(image_graph(steps=40)):
        events.append(event)
        if isinstance(event, Progress) and event.value == 5 and cut_at is None:
            relay.cut()
            cut_at = len(events)
    assert cut_at
    received = [event.value for event in events[cut_at:] if isinstance(event, Progress)]
    assert len(received) > 5
    assert output_of(events)


def test_finds_an_end_that_it_missed(relay, server):
    comfy = Comfy(relay.url)
    prompt_id, client_id = submit(comfy, image_graph(steps=10))
    events = comfy.follow(prompt_id, client_id)
    while not isinstance(next(events), Progress):
        pass
    relay.cut()
    time.sleep(1.5)
    assert output_of(list(events))


def test_works_below_a_path(server, tmp_path):
    comfy = Comfy(server.url + "/api/")
    events = list(comfy.run(image_graph(steps=1)))
    assert Executing("2") in events
    assert comfy.fetch(output_of(events), tmp_path / "a.png").exists()


def test_takes_a_scheme_in_capitals(server):
    comfy = Comfy(server.url.replace("http", "HTTP"))
    assert Executing("2") in list(comfy.run(image_graph(steps=1)))


def test_rejects_a_wrong_graph_with_its_errors(comfy):
    graph = image_graph()
    graph["1"]["inputs"]["width"] = -5
    del graph["2"]["inputs"]["image"]
    with pytest.raises(Rejected, match=r"node 2 \(Slow\): Required input is missing: image") as caught:
        submit(comfy, graph)
    assert caught.value.error["type"] == "prompt_outputs_failed_validation"
    assert caught.value.node_errors["2"]["errors"][0]["extra_info"]["input_name"] == "image"


def test_rejects_an_unknown_node(comfy):
    graph = image_graph()
    graph["2"]["class_type"] = "NoSuchNode"
    with pytest.raises(Rejected, match="rejects the graph: .*NoSuchNode"):
        submit(comfy, graph)


def test_runs_no_part_of_a_graph_that_is_partly_wrong(comfy):
    graph = image_graph(steps=50)
    graph["4"] = {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}
    prompt_id = str(uuid.uuid4())
    with pytest.raises(Rejected, match="node 4"):
        comfy.submit(graph, prompt_id, "client")
    with pytest.raises((Lost, AssertionError)):
        output_of(list(comfy.follow(prompt_id, "client")))


def test_reports_which_node_failed(comfy, tmp_path):
    (tmp_path / "broken.png").write_text("not an image")
    graph = image_graph()
    name = comfy.upload(tmp_path / "broken.png", "broken.png")
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    *events, end = comfy.run(graph)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.node, failed.class_type) == ("1", "LoadImage")
    assert "UnidentifiedImageError" in failed.type
    assert "cannot identify" in failed.message
    assert 0 < len(failed.traceback) <= 2000
    assert end == Finished({}, "error")


def test_uploads_and_fetches_the_same_image(comfy, tmp_path, server):
    Image.new("RGB", (8, 8), (200, 30, 90)).save(tmp_path / "mine.png")
    name = comfy.upload(tmp_path / "mine.png", "mine.png")
    assert name == "story_studio/mine.png"
    graph = image_graph()
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": name}}
    file = comfy.fetch(output_of(list(comfy.run(graph))), tmp_path / "deep/er/back.png")
    assert Image.open(file).getpixel((3, 3)) == (200, 30, 90)
    assert [path.name for path in file.parent.iterdir()] == ["back.png"]


def test_uploads_over_an_older_file(comfy, tmp_path, server):
    for text in ("first", "second, longer"):
        (tmp_path / "voice.wav").write_text(text)
        comfy.upload(tmp_path / "voice.wav", "voice.wav", subfolder="a/b")
        assert (server.workspace / "input/a/b/voice.wav").read_text() == text


def test_uploads_a_name_with_a_hash_once_and_replaces_a_damaged_file(comfy, tmp_path, server):
    (tmp_path / "voice.wav").write_bytes(b"sound" * 1000)
    name = f"{hashlib.sha256(b'sound' * 1000).hexdigest()[:16]}.wav"
    uploaded = server.workspace / "input" / comfy.upload(tmp_path / "voice.wav", name)
    written = uploaded.stat().st_mtime_ns
    comfy.upload(tmp_path / "voice.wav", name)
    assert uploaded.stat().st_mtime_ns == written
    uploaded.write_bytes(b"sound")
    comfy.upload(tmp_path / "voice.wav", name)
    assert uploaded.read_bytes() == b"sound" * 1000


def test_an_input_that_is_there_is_marked_and_sent_again_if_it_is_gone(comfy, tmp_path, server):
    (tmp_path / "voice.wav").write_bytes(b"noise" * 1000)
    name = f"{hashlib.sha256(b'noise' * 1000).hexdigest()[:16]}.wav"
    marked = []

    def touch(value: str) -> bool:
        marked.append(value)
        uploaded.unlink()
        return False

    client = Comfy(comfy.url, touch=touch)
    uploaded = server.workspace / "input" / client.upload(tmp_path / "voice.wav", name)
    assert not marked
    assert client.upload(tmp_path / "voice.wav", name) == marked[0] == f"story_studio/{name}"
    assert uploaded.read_bytes() == b"noise" * 1000


def test_a_worker_s_server_forgets_prompts_that_have_ended(comfy):
    prompts = [str(uuid.uuid4()) for _ in range(2)]
    for client, prompt_id in zip((comfy, Comfy(comfy.url, forget=True)), prompts, strict=True):
        *_, end = client.run(image_graph(), prompt_id=prompt_id)
        assert isinstance(end, Finished) and end.status == "success"
    history = requests.get(f"{comfy.url}/history").json()
    assert [prompt_id in history for prompt_id in prompts] == [True, False]


def test_fetch_of_a_lost_file_leaves_nothing(comfy, tmp_path):
    with pytest.raises(ComfyError, match="no longer has"):
        comfy.fetch({"filename": "gone.png", "subfolder": "", "type": "output"}, tmp_path / "gone.png")
    assert not list(tmp_path.iterdir())


def test_cancels_a_running_prompt(comfy):
    events = []
    prompt_id = str(uuid.uuid4())
    for event in comfy.run(image_graph(steps=MANY), prompt_id=prompt_id):
        events.append(event)
        if event == Executing("2"):
            assert comfy.cancel(prompt_id)
    assert events[-1] == Finished({}, "interrupted")
    # Within its node, which would take minutes, and not after it.
    assert all(event.value < MANY for event in events if isinstance(event, Progress) and event.node == "2")
    assert Executing("3") not in events


def test_cancels_a_waiting_prompt_and_no_other(comfy):
    running, waiting = submit(comfy, image_graph(steps=MANY)), submit(comfy, image_graph())
    assert comfy.cancel(waiting[0])
    with pytest.raises(Lost, match="Submit it again"):
        list(comfy.follow(*waiting))
    assert is_running(comfy, running)
    assert comfy.cancel(running[0])


def test_gives_up_at_its_timeout_without_cancelling_the_prompt(comfy):
    prompt = submit(comfy, image_graph(steps=MANY))
    with pytest.raises(Stuck, match="not finished the graph"):
        list(comfy.follow(*prompt, timeout=0.5))
    assert is_running(comfy, prompt)
    assert comfy.cancel(prompt[0])


def test_reports_an_unreachable_server(relay, server):
    comfy = Comfy(relay.url)
    prompt = submit(comfy, image_graph(steps=20))
    events = comfy.follow(*prompt, max_silence=1)
    next(events)
    relay.close()
    with pytest.raises(Unreachable, match="does not answer"):
        list(events)
    assert Comfy(server.url).cancel(prompt[0])


def test_reports_what_a_server_was_doing_when_it_died(relay, server):
    """Also if the client had not read the last messages when it noticed."""
    prompt_id = str(uuid.uuid4())
    # Longer than the client waits until it looks at the history again.
    events = Comfy(relay.url, alive=lambda: False).run(image_graph(steps=20), prompt_id=prompt_id)
    received = [next(events)]
    while not requests.get(f"{server.url}/history/{prompt_id}", timeout=30).json():
        time.sleep(0.05)
    relay.lose_server()
    with pytest.raises(Unreachable):
        for event in events:
            received.append(event)
    assert [event.node for event in received if isinstance(event, Executing)] == ["1", "2", "3"]


@pytest.mark.parametrize("address", ["127.0.0.1:8188", "ftp://host", "http://", "file:///etc/passwd"])
def test_refuses_what_is_not_an_address(address):
    with pytest.raises(ComfyError, match="not the address"):
        Comfy(address)


def test_reports_a_server_that_is_not_comfyui(server):
    with pytest.raises(ComfyError, match="answers /nonsense/system_stats with status 404"):
        Comfy(server.url + "/nonsense").stats()


def test_shows_no_password():
    with pytest.raises(Unreachable) as caught:
        Comfy("http://me:hunter2@127.0.0.1:9/").stats()
    assert "hunter2" not in str(caught.value)


def test_names_each_missing_model_with_folder_and_address(comfy, server):
    known = {model.file: model for model in known_models()}
    wav2vec = known["wav2vec2_large_english_fp16.safetensors"]
    graph: Graph = {
        "1": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "2": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
        "3": {"class_type": "AudioEncoderLoader", "inputs": {"audio_encoder_name": wav2vec.file}},
        "4": {
            "class_type": "LoraLoaderModelOnly",
            "inputs": {"lora_name": "my.safetensors", "model": ["9", 0]},
        },
        "5": {"class_type": "NoSuchNode", "inputs": {"file": "x.safetensors"}},
    }
    vae, audio, lora = missing(graph, comfy)
    assert vae == known["ae.safetensors"]
    assert audio == wav2vec
    assert str(lora) == "my.safetensors belongs in models/loras"
    assert str(vae).endswith("belongs in models/vae: " + str(vae.url))
    for model in (vae, audio):
        path = server.workspace / "models" / str(model.folder) / model.file
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert missing(graph, comfy) == [lora]


def test_frees_memory_for_the_next_prompt(comfy: Comfy, tmp_path: Path) -> None:
    graph, marker = image_graph(), tmp_path / "collecting"
    list(comfy.run(graph))
    list(comfy.run({"1": {"class_type": "Untidy", "inputs": {"marker": str(marker)}}}))
    end = time.monotonic() + 60
    while not marker.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    # ComfyUI misses the request while it collects garbage.
    comfy.free()
    assert not [event for event in comfy.run(graph) if isinstance(event, Cached) and event.nodes]
