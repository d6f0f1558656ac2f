"""Texts spoken by the voices of this machine."""

from __future__ import annotations

import json
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver.cli import main
from driver.terminal import FAILED, OK
from driver.voices.catalog import choose, estimated_seconds
from driver.voices.engines import Voice, voices
from driver.voices.speak import speak, speech_of, write_speech
from story_studio.story.results import key_in
from story_studio.story.schema import Story, parse

TEXT = "The keeper climbed the stairs every night, and every night the light answered. Nobody knew her name."
HERE = {voice.name: voice for voice in voices()}


def story(*texts: str, **more: Any) -> Story:
    scenes = [{"id": f"s{number}", "prompt": "a lamp", "text": text} for number, text in enumerate(texts)]
    return parse({"project_id": "words", "language": "en", "scenes": scenes, **more})


def samples_of(path: Path) -> tuple[np.ndarray, int]:
    """A WAV's samples, -1 to 1, and their rate."""
    with wave.open(str(path)) as file:
        assert file.getparams()[:2] == (1, 2)
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data.astype(np.float64) / 2**15, file.getframerate()


@pytest.mark.parametrize("name", ["hibari/heart", "piper/joe"])
def test_a_voice_speaks_at_an_even_level_between_short_silences(name: str, tmp_path: Path) -> None:
    path, voice = tmp_path / "voice.wav", HERE[name]
    seconds = write_speech(speech_of(TEXT, voice), path)
    samples, rate = samples_of(path)
    assert seconds == pytest.approx(len(samples) / rate, abs=0.01)
    assert seconds == pytest.approx(estimated_seconds(TEXT), rel=0.25)
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    assert 0.08 < loud[0] / rate < 0.25 and 0.08 < (len(samples) - loud[-1]) / rate < 0.3
    assert 0.2 < np.abs(samples).max() < 0.9
    assert -28 < 20 * np.log10(np.sqrt(np.mean(samples**2))) < -20
    # Piper's sounds last at least a frame each.
    fast = write_speech(speech_of(TEXT, voice, 2.0), tmp_path / "fast.wav")
    assert seconds * 0.45 < fast < seconds * 0.75


def test_a_voice_is_kept_and_found_by_what_it_says_and_how(tmp_path: Path) -> None:
    texts = story("Hello there.", "Hello there.", "Good night.")
    first = speak(texts, tmp_path)
    again = speak(texts, tmp_path)
    assert again.files == first.files and again.reused == {"s0", "s1", "s2"}
    assert first.files["s0"] == first.files["s1"] != first.files["s2"]
    others = [
        speak(story("Hello there.", voice_settings=settings), tmp_path).files["s0"]
        for settings in ({"voice": "piper/joe"}, {"speed": 1.5}, {"voice": "hibari/heart"})
    ]
    assert len({key_in(path.name) for path in (first.files["s0"], *others)}) == 3
    # On another machine of this kind it is the same file.
    elsewhere = speak(texts, tmp_path / "other").files["s2"]
    assert elsewhere.read_bytes() == first.files["s2"].read_bytes()


def test_every_text_that_cannot_be_spoken_is_reported_with_what_to_do(tmp_path: Path) -> None:
    spoken = speak(story("Fine.", "😀", "Say спасибо."), tmp_path)
    assert list(spoken.files) == ["s0"]
    assert [str(problem) for wrong in spoken.problems.values() for problem in wrong] == [
        "scenes[1].text: has nothing that can be spoken: write words, or `seconds` for a silent scene.",
        "scenes[2].text: has 'спасибо.', which the voice hibari/heart (en-US) cannot say: write it as it "
        "sounds in Latin letters, choose a voice of that language, or give the scene a recording as `audio`.",
    ]
    (silent,) = speak(story("①", voice_settings={"voice": "piper/joe"}), tmp_path).problems["s0"]
    assert str(silent) == "scenes[0].text: the voice piper/joe says nothing: write the text in words."


@pytest.mark.parametrize(
    ("name", "language", "message"),
    [
        ("", "de", "no voice here speaks de (they speak en-US): put a Piper voice"),
        ("piper/joe", "de", "the voice piper/joe speaks en-US, and the text is de: name a voice recipe"),
        ("piper/jo", "en", "there is no voice 'piper/jo' here, did you mean 'piper/joe'?"),
    ],
)
def test_a_voice_that_is_not_here_is_explained(name: str, language: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        choose(name, language, list(HERE.values()))
    assert str(error.value).startswith(message)
    with pytest.raises(ValueError, match="no voice is installed here"):
        choose(name, language, [])


def test_a_voice_of_your_own_speaks_its_language(tmp_path: Path) -> None:
    folder = tmp_path / "piper"
    folder.mkdir()
    model = HERE["piper/joe"].model
    (folder / "de_DE-anna-low.onnx").symlink_to(model)
    about = json.loads(model.with_name(f"{model.name}.json").read_text("utf-8"))
    about["language"] = {"code": "de_DE"}
    about["espeak"] = {"voice": "de"}
    (folder / "de_DE-anna-low.onnx.json").write_text(json.dumps(about))
    (folder / "broken.onnx").write_bytes(b"")
    german: Voice = choose("", "de", voices(folder))
    assert (german.name, german.language) == ("piper/de_DE-anna-low", "de-DE")
    assert write_speech(speech_of("Zwölf Boote kamen nie zurück.", german), tmp_path / "voice.wav") > 1
    shutil.copyfile(folder / "de_DE-anna-low.onnx.json", folder / "broken.onnx.json")
    broken = next(voice for voice in voices(folder) if voice.name == "piper/broken")
    with pytest.raises(ValueError, match="piper/broken does not work"):
        write_speech(speech_of("Hallo.", broken), tmp_path / "broken.wav")


def test_the_command_lists_voices_and_speaks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["voices"]) == OK
    assert [line.split()[:2] for line in capfd.readouterr().out.splitlines()[:2]] == [
        ["hibari/heart", "en-US"],
        ["piper/joe", "en-US"],
    ]
    target = tmp_path / "hello.wav"
    assert main(["voices", "--say", "Hello.", "--voice", "piper/joe", "--output", str(target)]) == OK
    assert samples_of(target)[1] == 22_050
    assert main(["voices", "--say", "Hallo.", "--language", "de", "--output", str(target)]) == FAILED
    assert "no voice here speaks de" in capfd.readouterr().err


def test_a_voice_is_not_written_as_another_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "hello.mp3"
    assert main(["voices", "--say", "Hello.", "--output", str(file)]) == 1
    assert f"--output: {file} is written as WAV" in capsys.readouterr().err
    assert not file.exists()
