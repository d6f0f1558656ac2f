"""Runs in the panel: what a page sees of them after a reload or in another tab, and scenes that fail."""

from __future__ import annotations

import json
from pathlib import Path

import requests
from playwright.sync_api import expect

from driver.comfy.client import Comfy
from tests.web.canvas import Canvas, newer_only
from tests.web.test_panel import SEEDS, Panel, scene_results

_RECORDING = """name => {
    const graph = window.app.rootGraph ?? window.app.graph;
    const boxes = graph.nodes.filter(node => node.title === 'Draft scene');
    boxes.sort((a, b) => a.pos[0] - b.pos[0]);
    const voice = window.LiteGraph.createNode('LoadAudio');
    graph.add(voice);
    voice.widgets.find(widget => widget.name === 'audio').value = name;
    voice.connect(0, boxes[1], boxes[1].inputs.findIndex(slot => slot.name === 'voice'));
}"""
"""Gives the second scene a recording with this name."""
_WANTED = """async () => {
    const answer = await window.app.api.fetchApi(`/story_studio/runs?workflow=${window.app.rootGraph.id}`);
    const runs = await answer.json();
    return runs.filter(run => run.state === 'running').map(run => run.wanted.length);
}"""
_WAITS = """async () => {
    const answer = await window.app.api.fetchApi('/queue');
    return (await answer.json()).queue_pending.length === 1;
}"""
LEFT = ["done", "failed", "done"]


def test_one_bad_scene_affects_only_that_scene(artist: Canvas, tmp_path: Path) -> None:
    panel = Panel(artist, next(SEEDS))
    artist.run_script(_RECORDING, "nowhere.wav")
    # From Run, with the panel closed: ComfyUI refuses the recording, and marks its node.
    panel.open()
    expect(panel.root).to_have_count(0)
    artist.run_script("() => { window.rendered.length = 0; }")
    artist.run_button().click()
    assert panel.ended() == "success"
    rendered = artist.run_script("() => window.rendered")
    assert sorted(scene_results(rendered)) == ["story_studio/clips"] * 2 + ["story_studio/stills"] * 3
    # As from the driver: no film that lacks a scene.
    assert "story_studio/films" not in rendered
    panel.open()
    expect(panel.states).to_have_text(LEFT)
    refused = panel.root.locator(".reason").nth(1)
    expect(refused).to_have_text("nowhere.wav is not in the input folder: choose another file.")
    expect(panel.root.locator(".film .why")).to_have_text("Failed: 2. Sailor.")
    artist.screenshot("refused")
    # From the panel: the file is there, and no audio.
    (tmp_path / "junk.wav").write_bytes(b"no sound" * 100)
    Comfy(artist.url).upload(tmp_path / "junk.wav", "junk.wav", "")
    artist.set_widgets([("LoadAudio", "audio", "junk.wav"), ("Draft scene", "seed", next(SEEDS))])
    # What was refused is another one now, which no run has tried.
    expect(panel.states.nth(1)).to_have_text("waiting, with an error")
    expect(panel.root.locator(".film .why")).to_be_hidden()
    assert panel.start("Film") == "error"
    artist.page.keyboard.press("Escape")
    artist.page.wait_for_function("() => window.ends.length > 1 && window.ends[1] === 'success'")
    expect(panel.states).to_have_text(LEFT)
    expect(panel.root.locator(".reason").nth(1)).to_contain_text("junk.wav")
    rendered = artist.run_script("() => window.rendered")
    assert rendered.count("story_studio/clips") == 2 and "story_studio/films" not in rendered
    artist.screenshot("failed")
    # What failed is still said after a reload.
    artist.open()
    panel.open()
    expect(panel.states).to_have_text(LEFT)
    expect(panel.root.locator(".reason").nth(1)).to_contain_text("junk.wav")


@newer_only
def test_a_run_is_seen_after_a_reload_and_in_another_tab(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    artist.set_widgets([("EmptyAudio", "duration", 900)])
    panel.start("Clips", end=False)
    talking = panel.root.locator("[data-state=talking]")
    expect(talking).to_have_count(1)
    saved = artist.run_script("() => JSON.stringify((window.app.rootGraph ?? window.app.graph).serialize())")
    assert artist.run_script(_WANTED) == [6]
    # Another run waits behind it.
    artist.set_widgets([("Draft scene", "seed", next(SEEDS))])
    panel.root.get_by_role("button", name="Stills", exact=True).click()
    artist.page.wait_for_function(_WAITS)
    # Saved under a name, the workflow has another path, and still this run.
    progress = talking.locator(".state")
    expect(progress).to_contain_text("%")
    artist.save(f"saved in a run {panel.seed}")
    expect(progress).not_to_have_text(progress.inner_text())
    expect(talking).to_contain_text("%")
    expect(panel.stop).to_be_visible()
    artist.open()
    panel.open()
    expect(panel.stop).to_be_visible()
    expect(talking).to_contain_text("%")
    artist.screenshot("reloaded")
    # Another tab has another client, which gets no events about the run.
    first, other = artist.page, artist.context.new_page()
    try:
        artist.page = other
        artist.open()
        artist.load(json.loads(saved))
        there = Panel.__new__(Panel)
        there.canvas, there.seed = artist, panel.seed
        there.open()
        there.root = other.get_by_role("region", name="Storyboard")
        expect(there.stop).to_be_visible()
        expect(there.root.locator("[data-state=talking]")).to_contain_text("%")
        artist.screenshot("other-tab")
        there.stop.click()
        expect(there.stop).to_be_hidden()
        queue = requests.get(f"{artist.url}/queue", timeout=60).json()
        assert queue == {"queue_running": [], "queue_pending": []}
    finally:
        artist.page = first
        other.close()
    expect(panel.stop).to_be_hidden()
    expect(talking).to_have_count(0)
