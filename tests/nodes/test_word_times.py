"""The Word Times node on a server: which files it reads, and what it keeps on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from driver.comfy.events import Failed, Finished
from story_studio.media.alignment import VOCABULARIES
from story_studio.story.recipes import FOLDER
from tests.studio import Studio
from tests.voices import write_voice

DEAF, READER = "wav2vec2_large_english_fp16.safetensors", "wav2vec2_letters.safetensors"
MODELS = json.loads((FOLDER / "s2v_clip.json").read_text("utf-8"))["1"]
WORDS: dict[str, Any] = {
    "class_type": "StoryStudio_WordTimes",
    "inputs": {"audio": ["audio", 0], "audio_encoder": ["models", 3]},
}


@pytest.fixture(scope="module")
def reader(models: Path) -> Iterator[None]:
    """The tiny encoder in another file, with a head that reads an `a` from whatever it hears."""
    weights = load_file(models / "audio_encoders" / DEAF)
    bias = torch.zeros(33)
    bias[VOCABULARIES[33].index("a")] = 9
    head = torch.zeros(33, len(weights["encoder.layer_norm.bias"]))
    path = models / "audio_encoders" / READER
    save_file({**weights, "lm_head.weight": head, "lm_head.bias": bias}, path)
    yield
    path.unlink()


@pytest.fixture
def audio(studio: Studio, tmp_path: Path) -> dict[str, Any]:
    voice = write_voice(tmp_path / "spoken.wav", 2, 181)
    return {"class_type": "LoadAudio", "inputs": {"audio": studio.comfy.upload(voice, voice.name)}}


def run(studio: Studio, graph: dict[str, Any]) -> tuple[list[Any], list[str]]:
    """What each Word Times gives (words, how, confidence), and the model files that were read."""
    shown = {
        f"show {name}": {"class_type": "PreviewAny", "inputs": {"source": [name, 0]}}
        for name, node in graph.items()
        if node["class_type"] == WORDS["class_type"]
    }
    studio.comfy.free()
    studio.loads()
    events = list(studio.comfy.run(graph | shown))
    end = events[-1]
    assert isinstance(end, Finished) and not [event for event in events if isinstance(event, Failed)]
    given = [json.loads(end.outputs[name]["text"][0]) for name in shown]
    return given, [load["file"] for load in studio.loads()]


def words(text: str, **inputs: Any) -> dict[str, Any]:
    return {**WORDS, "inputs": {**WORDS["inputs"], "text": text, **inputs}}


def models(file: str) -> dict[str, Any]:
    return {**MODELS, "inputs": {**MODELS["inputs"], "audio_encoder": file}}


def test_without_a_head_for_letters_nothing_is_read(studio: Studio, audio: dict[str, Any]) -> None:
    graph = {"audio": audio, "models": models(DEAF), "words": words("Six syllables are said")}
    (given,), loads = run(studio, graph)
    assert loads == []
    said, how, _ = given
    assert how == "estimated"
    assert [word for _, _, word in said] == ["Six", "syllables", "are", "said"]
    del graph["words"]["inputs"]["audio_encoder"]
    assert run(studio, {"audio": audio, "words": graph["words"]}) == ([given], [])


@pytest.mark.usefixtures("reader")
def test_only_the_encoder_is_read_and_once_for_all_scenes(studio: Studio, audio: dict[str, Any]) -> None:
    graph = {
        "audio": audio,
        "models": models(READER),
        "first": words("A aa — a."),
        "second": words("aa a"),
        "other": words("what is not said"),
    }
    given, loads = run(studio, graph)
    assert loads == [READER]
    assert [how for _, how, _ in given] == ["aligned", "aligned", "estimated"]
    folder = Path(studio.server.output, "story_studio", "words")
    kept = {path: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    (path,) = (path for path, times in kept.items() if [word[2] for word in times["words"]] == ["aa", "a"])
    assert kept[path]["how"] == "aligned" and kept[path]["confidence"] > 0.9
    assert run(studio, graph) == (given, [])
    path.write_text("{}")
    assert run(studio, graph) == (given, [READER])


@pytest.mark.usefixtures("reader")
def test_the_encoder_that_is_in_memory_is_used(studio: Studio, audio: dict[str, Any]) -> None:
    loader = {"class_type": "AudioEncoderLoader", "inputs": {"audio_encoder_name": READER}}
    used = {
        "class_type": "AudioEncoderEncode",
        "inputs": {"audio_encoder": ["models", 0], "audio": ["audio", 0]},
    }
    text = words("a a a", audio_encoder=["models", 0], after=["used", 0])
    (given,), loads = run(studio, {"audio": audio, "models": loader, "used": used, "words": text})
    assert loads == [READER]
    assert given[1] == "aligned"
