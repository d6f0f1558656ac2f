"""The routes behind the panel's voice tools: what is known of each scene's recording, and a part of one."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from story_studio.story.voices import voices_of
from tests.studio import Studio
from tests.voices import write_voice


def scene(number: int, source: list[Any] | None, **film: Any) -> dict[str, Any]:
    """A draft scene as an API workflow, with the voice of a node."""
    animatic = {"width": 64, "height": 64, "seed": 1} | ({"audio": source} if source else {})
    clip, name = f"clip{number}", f"scene{number}"
    return {
        f"animatic{number}": {"class_type": "StoryStudio_Animatic", "inputs": animatic},
        clip: {"class_type": "StoryStudio_Clip", "inputs": {"video": [f"animatic{number}", 0], "name": name}},
        f"place{number}": {
            "class_type": "StoryStudio_FilmScene",
            "inputs": {"clip": [clip, 0], "title": name, **film},
        },
    }


def loader(name: str) -> dict[str, Any]:
    return {"class_type": "LoadAudio", "inputs": {"audio": name}}


def ask(studio: Studio, path: str, body: Any) -> Any:
    response = requests.post(f"{studio.url}/story_studio/{path}", json=body, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def write(folder: Path, name: str, samples: np.ndarray, rate: int = 16_000) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / name), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return name


@pytest.fixture
def inputs(studio: Studio) -> Path:
    return studio.server.workspace / "input"


def test_what_is_wrong_with_a_recording_is_known_before_anything_is_rendered(
    studio: Studio, inputs: Path
) -> None:
    good = write_voice(inputs / "good.wav", 2.0).name
    rng = np.random.default_rng(1)
    noise = rng.uniform(-0.3, 0.3, 16_000)
    files = {
        "silent": write(inputs, "silent.wav", np.zeros(16_000)),
        "short": write(inputs, "short.wav", noise[:1600]),
        "missing": "choose your recording",
    }
    (inputs / "text.wav").write_text("<html>not found</html>")
    files["unreadable"] = "text.wav"
    prompt = {"good": loader(good)} | scene(0, ["good", 0])
    for number, (kind, name) in enumerate(files.items(), 1):
        prompt |= {kind: loader(name)} | scene(number, [kind, 0])

    found = ask(studio, "voice", {"prompt": prompt})

    kinds = {clip: [fault["kind"] for fault in voice["faults"]] for clip, voice in found.items()}
    wrong = {f"clip{number}": [kind] for number, kind in enumerate(files, 1)}
    assert {clip: kinds[clip] for clip in wrong} == wrong
    # Only the silent one can be rendered as it is.
    assert [found[clip]["usable"] for clip in wrong] == [True, False, False, False]
    voice = found["clip0"]
    assert voice["seconds"] == pytest.approx(2, abs=0.01)
    assert len(voice["peaks"]) > 50 and max(voice["peaks"]) > 0.1
    assert voice["file"] == {"filename": "good.wav", "subfolder": "", "type": "input"}
    assert set(found["clip1"]["peaks"]) == {0}


def test_the_words_of_a_recording_and_its_clipping_are_found(studio: Studio, inputs: Path) -> None:
    tone = np.sin(np.arange(16_000) * 2 * np.pi * 220 / 16_000) * np.linspace(0.5, 1, 16_000)
    rng = np.random.default_rng(2)
    quiet = rng.normal(0, 0.0005, 16_000)
    samples = np.concatenate([quiet, np.clip(tone * 4, -0.99, 0.99), quiet])
    prompt = {"1": loader(write(inputs, "clipped.wav", samples))} | scene(0, ["1", 0])

    voice = ask(studio, "voice", {"prompt": prompt})["clip0"]

    assert "clipped" in [fault["kind"] for fault in voice["faults"]]
    assert voice["speech"] == pytest.approx([1, 2], abs=0.1)


def test_a_changed_file_is_measured_again(studio: Studio, inputs: Path) -> None:
    prompt = {"1": loader(write(inputs, "changed.wav", np.zeros(16_000)))} | scene(0, ["1", 0])
    assert ask(studio, "voice", {"prompt": prompt})["clip0"]["seconds"] == 1
    write(inputs, "changed.wav", np.zeros(32_000))
    assert ask(studio, "voice", {"prompt": prompt})["clip0"]["seconds"] == 2


def test_no_file_outside_of_comfyui_is_read(studio: Studio, inputs: Path) -> None:
    write_voice(inputs.parent / "outside.wav", 0.5)
    prompt = {"1": loader("../outside.wav")} | scene(0, ["1", 0])
    assert ask(studio, "voice", {"prompt": prompt})["clip0"]["faults"][0]["kind"] == "missing"
    answer = ask(studio, "voice/cut", {"file": "../outside.wav", "start": 0, "end": 1})
    assert "is not in ComfyUI's input folder" in answer["problems"][0]


def test_a_part_is_a_new_file_and_the_recording_stays(studio: Studio, inputs: Path) -> None:
    samples = np.concatenate([np.zeros(8_000), np.full(16_000, 0.5), np.zeros(8_000)])
    name = write(inputs, "whole.wav", samples)
    before = (inputs / name).read_bytes()

    part = ask(studio, "voice/cut", {"file": name, "start": 0.5, "end": 1.5})["file"]

    assert part.startswith("whole-part-")
    with wave.open(str(inputs / part)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16_000, 1, 16_000)
        kept = np.frombuffer(file.readframes(16_000), "<i2")
    assert np.abs(kept / 2**15 - 0.5).max() < 1e-3
    assert (inputs / name).read_bytes() == before
    assert ask(studio, "voice/cut", {"file": name, "start": 0.5, "end": 1.5})["file"] == part
    # A part of a part keeps the recording's name.
    again = ask(studio, "voice/cut", {"file": part, "start": 0, "end": 0.5})["file"]
    assert again != part and again.count("-part-") == 1
    nothing = ask(studio, "voice/cut", {"file": name, "start": 5, "end": 6})
    assert "There is no sound between 5.00 and 6.00 s" in nothing["problems"][0]


@pytest.mark.parametrize("body", [[], {"file": "a", "start": 1, "end": 1}, {"file": 1, "start": 0, "end": 1}])
def test_a_request_for_no_part_is_refused(studio: Studio, body: Any) -> None:
    response = requests.post(f"{studio.url}/story_studio/voice/cut", json=body, timeout=30)
    assert response.status_code == 400
    assert "Send" in response.json()["problems"][0]


def test_voices_are_found_through_other_nodes() -> None:
    nodes = {
        "1": loader("a.wav"),
        "trim": {"class_type": "TrimAudioDuration", "inputs": {"audio": ["1", 0], "start_index": 1.0}},
        "empty": {"class_type": "EmptyAudio", "inputs": {"duration": 2.0}},
    }
    nodes |= scene(0, ["1", 0], pause_after=1.5) | scene(1, ["trim", 0], pause_after=-1.0)
    nodes |= scene(2, ["empty", 0]) | scene(3, None)

    found = voices_of(nodes)

    assert [voice.loader for voice in found.values()] == ["1", "1", None, None]
    assert [voice.source for voice in found.values()] == ["1", "trim", "empty", None]
    assert [voice.others for voice in found.values()] == [["clip1"], ["clip0"], [], []]
    assert [voice.pause for voice in found.values()] == [1.5, None, None, None]
    assert {voice.speaker for voice in found.values()} == {f"animatic{number}" for number in range(4)}
