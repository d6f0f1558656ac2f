"""Equal Wan2.2 S2V Models nodes, one in each scene's box: every file is read once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from driver.comfy.events import Failed, Finished
from story_studio.story.recipes import FOLDER
from tests.studio import Studio
from tests.voices import write_voice

RECIPE = json.loads((FOLDER / "s2v_clip.json").read_text())
FILES = {"diffusion_model", "text_encoder", "vae", "audio_encoder"}


def boxes(studio: Studio, folder: Path, count: int, **models: Any) -> dict[str, Any]:
    """A graph with `count` copies of the S2V clip recipe, each with its own loader and seed."""
    image_file = folder / "equal_loaders.png"
    Image.effect_noise((64, 64), 80).convert("RGB").save(image_file)
    image = studio.comfy.upload(image_file, image_file.name)
    voice = studio.comfy.upload(write_voice(folder / "equal_loaders.wav", 0.2), "equal_loaders.wav")
    graph = {}
    for box in range(count):
        for name, node in json.loads(json.dumps(RECIPE)).items():
            inputs = node["inputs"]
            for key, value in inputs.items():
                if isinstance(value, list):
                    inputs[key] = [f"{box}:{value[0]}", value[1]]
            inputs |= {"LoadImage": {"image": image}, "LoadAudio": {"audio": voice}}.get(
                node["class_type"], {}
            )
            inputs |= models if node["class_type"] == "StoryStudio_S2VModels" else {}
            if node["class_type"] == "StoryStudio_TalkingVideo":
                inputs |= {"width": 64, "height": 64, "steps": 1, "seed": 500 + box}
            graph[f"{box}:{name}"] = node
    return graph


def run(studio: Studio, graph: dict[str, Any]) -> list[str]:
    """Runs a graph and returns its errors."""
    events = list(studio.comfy.run(graph))
    assert isinstance(events[-1], Finished)
    return [event.message for event in events if isinstance(event, Failed)]


@pytest.fixture
def empty(studio: Studio) -> Studio:
    """The server without any model in memory, and with an empty record of loads."""
    studio.comfy.free()
    studio.loads()
    return studio


def test_three_equal_loaders_read_each_file_once(empty: Studio, tmp_path: Path) -> None:
    graph = boxes(empty, tmp_path, 3)
    assert run(empty, graph) == []
    loader = next(node for node in graph.values() if node["class_type"] == "StoryStudio_S2VModels")
    files = sorted(loader["inputs"][name] for name in FILES)
    assert sorted(load["file"] for load in empty.loads()) == files


def test_different_loaders_load_their_own_models(empty: Studio, tmp_path: Path) -> None:
    graph = boxes(empty, tmp_path, 2)
    graph["1:1"]["inputs"]["shift"] = 5.0
    assert run(empty, graph) == []
    # The text encoder, of one file and kind, serves both.
    assert len(empty.loads()) == 2 * len(FILES) - 1


def test_an_error_of_the_loader_is_reported_and_not_cached(empty: Studio, tmp_path: Path) -> None:
    wrong = "z_image_turbo_bf16.safetensors"
    (message,) = run(empty, boxes(empty, tmp_path, 3, diffusion_model=wrong))
    assert f"{wrong} is not a Wan2.2 S2V model" in message
    # Where other programs have left less than 3 GB, the text encoder is read first, and freed.
    before = [] if empty.comfy.memory_plan().keeps_all else ["umt5_xxl_fp8_e4m3fn_scaled.safetensors"]
    assert [load["file"] for load in empty.loads()] == [*before, wrong]
    assert len(run(empty, boxes(empty, tmp_path, 3, diffusion_model=wrong))) == 1
    assert [load["file"] for load in empty.loads()] == [*before, wrong]
    assert run(empty, boxes(empty, tmp_path, 3)) == []
    assert len(empty.loads()) == len(FILES)
