"""The voice tools on a scene's card, as an artist uses them: with both interfaces, and in Nodes 2.0."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Route, expect

from driver.comfy.process import PACK
from tests.web.canvas import Canvas, newer_only, older_only
from workflows.canvas import read_workflow

_AUDIO = """() => window.app.graph.nodes.map(node => node.type).filter(type => /Audio$/.test(type)).sort()"""
_MARKS = """() => window.app.graph.nodes.filter(node => node.type === 'LoadAudio')
    .map(node => node.widgets.find(widget => widget.name === 'story_studio_check')?.element
        .textContent ?? '')"""
_INPUTS = """async ([cls, name]) => Object.values((await window.app.graphToPrompt()).output)
    .filter(node => node.class_type === cls).map(node => node.inputs[name])"""
_MICROPHONE = """() => {
    // A real stream, of a tone, in place of the microphone that this machine lacks.
    const context = new AudioContext(), tone = context.createOscillator();
    const end = context.createMediaStreamDestination();
    tone.connect(end);
    tone.start();
    window.microphone = end.stream.getTracks()[0];
    const value = { getUserMedia: async () => end.stream };
    Object.defineProperty(navigator, 'mediaDevices', { value, configurable: true });
}"""
PAUSE = ["StoryStudio_FilmScene", "pause_after"]
_SHARE = """() => {
    const { nodes } = window.app.graph;
    const boxes = nodes.filter(node => node.title === 'Draft scene').sort((a, b) => a.pos[0] - b.pos[0]);
    const slot = boxes[0].inputs.findIndex(input => input.name === 'voice');
    nodes.find(node => node.type === 'LoadAudio').connect(0, boxes[0], slot);
    window.app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
}"""
_SOUNDS = """() => {
    window.sounds = [];
    window.Audio = class extends Audio {
        constructor(...given) {
            super(...given);
            window.sounds.push(this);
        }
    };
}"""
"""Keeps the players of the panel, which are not in the document."""
_PLAYING = "() => window.sounds.filter(sound => !sound.paused).length"
SILENCES = ["EmptyAudio"] * 3


class Voices:
    """The panel with the draft story, small and short, in it; scenes are counted from 0."""

    def __init__(self, canvas: Canvas):
        self.canvas = canvas
        self.open()
        canvas.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
        small = [("Draft scene", side, 128) for side in ("width", "height")]
        canvas.set_widgets([*small, ("EmptyAudio", "duration", 0.3)])
        expect(self.root.locator(".state")).to_have_count(3)
        self.root.get_by_role("button", name="Details", exact=True).click()

    def open(self) -> None:
        self.canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()
        self.root = self.canvas.page.get_by_role("region", name="Storyboard")

    def scene(self, number: int) -> Locator:
        return self.root.locator(".voice").nth(number)

    def choose(self, number: int, path: Path) -> None:
        self.scene(number).locator("input[type=file]").set_input_files(path)
        expect(self.scene(number).locator(".waveform")).to_be_visible()
        expect(self.scene(number)).to_have_attribute("aria-busy", "false")

    def drop(self, number: int, path: Path) -> None:
        script = """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.wav', { type: 'audio/wav' }));
            return transfer;
        }"""
        transfer = self.canvas.page.evaluate_handle(script, list(path.read_bytes()))
        self.scene(number).dispatch_event("drop", {"dataTransfer": transfer})

    def inputs(self, cls: str, name: str) -> list[Any]:
        return self.canvas.run_script(_INPUTS, [cls, name])

    def undo(self) -> None:
        self.canvas.page.locator("#graph-canvas").focus()
        self.canvas.undo()

    def expect_audio(self, kinds: list[str]) -> None:
        self.canvas.page.wait_for_function(f"kinds => ({_AUDIO})().join() === kinds.join()", arg=kinds)


def write(path: Path, samples: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """A tone of a second with half a second of silence on both sides."""
    loud = 0.5 * np.sin(np.arange(16_000) * 2 * np.pi * 200 / 16_000)
    return write(tmp_path / "tone.wav", np.r_[np.zeros(8_000), loud, np.zeros(8_000)])


@pytest.fixture
def silence(tmp_path: Path) -> Path:
    return write(tmp_path / "nothing.wav", np.zeros(16_000))


@older_only
def test_a_recording_is_chosen_trimmed_and_undone(artist: Canvas, tone: Path) -> None:
    voices = Voices(artist)
    expect(voices.scene(0)).to_contain_text("Silence, until there is a recording")

    voices.choose(0, tone)
    expect(voices.scene(0)).to_contain_text("Voice 2.00 s")
    voices.expect_audio(["EmptyAudio", "EmptyAudio", "LoadAudio"])
    (whole,) = voices.inputs("LoadAudio", "audio")

    voices.scene(0).get_by_role("button", name="Trim").click()
    start, end = (
        voices.scene(0).get_by_role("slider", name=f"{side} of the part") for side in ("Start", "End")
    )
    assert float(start.get_attribute("aria-valuenow") or 0) == pytest.approx(0.35, abs=0.05)
    start.focus()
    for _ in range(3):
        artist.page.keyboard.press("ArrowRight")
    assert float(start.get_attribute("aria-valuenow") or 0) == pytest.approx(0.5, abs=0.05)
    box = end.bounding_box()
    assert box
    artist.page.mouse.move(box["x"] + 4, box["y"] + 9)
    artist.page.mouse.down()
    artist.page.mouse.move(box["x"] - 20, box["y"] + 9, steps=3)
    artist.page.mouse.up()
    artist.screenshot("trim")
    voices.scene(0).get_by_role("button", name=re.compile(r"^Keep \d")).click()
    expect(voices.scene(0)).to_contain_text(re.compile(r"Voice (0\.[6-9]|1\.[01])\d s"))
    (part,) = voices.inputs("LoadAudio", "audio")
    assert part.startswith("tone-part-")

    voices.undo()
    expect(voices.scene(0)).to_contain_text("Voice 2.00 s")
    assert voices.inputs("LoadAudio", "audio") == [whole]
    voices.undo()
    voices.expect_audio(SILENCES)
    artist.redo()
    voices.expect_audio(["EmptyAudio", "EmptyAudio", "LoadAudio"])

    voices.scene(0).get_by_role("button", name="Play the voice of").click()
    expect(voices.scene(0).locator(".playhead")).to_be_visible()
    pause = voices.scene(0).get_by_role("spinbutton", name="Seconds of pause after")
    pause.fill("1.5")
    pause.press("Tab")
    artist.page.wait_for_function(f"async wanted => (await ({_INPUTS})(wanted))[0] === 1.5", arg=PAUSE)
    assert voices.inputs(*PAUSE) == [1.5, -1, -1]
    voices.undo()
    expect(pause).to_have_value("")


@newer_only
def test_a_silent_recording_is_a_warning_before_and_after_it_is_rendered(
    artist: Canvas, silence: Path
) -> None:
    voices = Voices(artist)
    voices.choose(1, silence)
    states = voices.root.locator(".state")
    expect(states.nth(1)).to_contain_text("with a warning")
    expect(voices.scene(1)).to_contain_text("The recording is silent: record it again")
    artist.page.wait_for_function(f"() => ({_MARKS})()[0].includes('The recording is silent')")

    voices.root.get_by_role("button", name="Clips", exact=True).click()
    expect(states).to_have_text(["done", "done, with a warning", "done"])
    artist.screenshot("silent")

    artist.open()
    # The panel may still be closed.
    artist.page.wait_for_function(f"() => ({_MARKS})()[0]?.includes('The recording is silent')")
    if not voices.root.is_visible():
        voices.open()
    expect(states).to_have_text(["done", "done, with a warning", "done"])


def test_a_voice_is_recorded_and_dropped_in_nodes_2(newer_canvas: Canvas, tone: Path) -> None:
    newer_canvas.change_settings({"Comfy.VueNodes.Enabled": True})
    try:
        newer_canvas.open()
        voices = Voices(newer_canvas)
        newer_canvas.run_script(_MICROPHONE)
        record = voices.scene(2).get_by_role("button", name="Record", exact=True)
        record.click()
        stop = voices.scene(2).get_by_role("button", name="Stop recording")
        expect(stop).to_have_attribute("aria-pressed", "true")
        newer_canvas.page.wait_for_timeout(700)
        stop.click()
        expect(voices.scene(2)).to_contain_text(re.compile(r"Voice \d"))
        (name,) = voices.inputs("LoadAudio", "audio")
        assert re.fullmatch(r"recording( \(\d+\))?\.wav", name)

        voices.drop(0, tone)
        expect(voices.scene(0)).to_contain_text("Voice 2.00 s")
        voices.expect_audio(["EmptyAudio", "LoadAudio", "LoadAudio"])
        newer_canvas.screenshot("recorded")
        voices.undo()
        voices.expect_audio(["EmptyAudio", "EmptyAudio", "LoadAudio"])

        # Two scenes speak one recording; another one for one of them leaves that of the other.
        newer_canvas.run_script(_SHARE)
        expect(voices.scene(0)).to_contain_text("other scenes with it: 1")
        voices.drop(0, tone)
        expect(voices.scene(0)).to_contain_text("Voice 2.00 s")
        expect(voices.scene(2)).not_to_contain_text("other scenes with it")
        assert len(voices.inputs("LoadAudio", "audio")) == 2
        assert name in voices.inputs("LoadAudio", "audio")
    finally:
        newer_canvas.change_settings({"Comfy.VueNodes.Enabled": False})


@older_only
def test_what_sounds_records_or_uploads_belongs_to_its_card_and_workflow(
    artist: Canvas, tmp_path: Path
) -> None:
    long = write(tmp_path / "long.wav", np.full(16_000 * 60, 0.1))
    short = write(tmp_path / "short.wav", np.full(16_000, 0.1))
    artist.run_script(_SOUNDS)
    artist.run_script(_MICROPHONE)
    voices = Voices(artist)

    # A part of a recording is not one of the next.
    voices.choose(0, long)
    voices.scene(0).get_by_role("button", name="Trim").click()
    expect(voices.scene(0).get_by_role("slider").first).to_be_visible()
    voices.choose(0, short)
    expect(voices.scene(0)).to_contain_text("Voice 1.00 s")
    expect(voices.scene(0).get_by_role("slider").first).to_be_hidden()

    # Closing the panel ends what has no button any more.
    voices.choose(0, long)
    expect(voices.scene(0)).to_contain_text("Voice 1:00")
    voices.scene(0).get_by_role("button", name="Play the voice of").click()
    artist.page.wait_for_function(f"() => ({_PLAYING})() === 1")
    voices.scene(2).get_by_role("button", name="Record", exact=True).click()
    expect(voices.scene(2).get_by_role("button", name="Stop recording")).to_be_visible()
    voices.open()
    expect(voices.root).to_have_count(0)
    artist.page.wait_for_function("() => window.microphone.readyState === 'ended'")
    assert artist.run_script(_PLAYING) == 0

    # What is uploaded for one workflow does not come into another one with the same ids, nor its open forms.
    voices.open()
    voices.root.get_by_role("listitem").first.get_by_role("button", name="Edit").click()
    opened = voices.root.get_by_role("button", name="Edit", expanded=True)
    expect(opened).to_have_count(1)
    held: list[Route] = []
    artist.page.route("**/upload/image", lambda route: held.append(route))
    with artist.page.expect_request("**/upload/image"):
        voices.scene(1).locator("input[type=file]").set_input_files(short)
    artist.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
    expect(opened).to_have_count(0)
    expect(voices.scene(0)).to_contain_text("Silence, until there is a recording")
    held[0].continue_()
    artist.page.unroute("**/upload/image")
    expect(artist.page.get_by_text("another workflow is open now").first).to_be_visible()
    voices.expect_audio(SILENCES)
