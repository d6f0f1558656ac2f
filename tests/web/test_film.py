"""The film in the storyboard panel: its state, its player, large previews, exports, and its finishing."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.voices import write_voice
from tests.web.canvas import Canvas, newer_only, older_only
from tests.web.test_panel import DONE, SEEDS, Panel

_CHANGE = """() => {
    const boxes = window.app.rootGraph.nodes.filter(node => node.title === 'Draft scene');
    const box = boxes.sort((a, b) => a.pos[0] - b.pos[0])[1];
    const prompt = box.widgets.find(widget => widget.name === 'prompt');
    [window.before, prompt.value] = [window.before ?? prompt.value, window.before ?? 'A harbour at night'];
    const tracker = window.app.extensionManager.workflow.activeWorkflow.changeTracker;
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
    window.app.api.dispatchCustomEvent?.('graphChanged');
}"""
"""Changes the prompt of the second scene, and at the next call back."""


_HELPERS = """() => {
    const film = window.app.graph.nodes.find(node => node.type === 'StoryStudio_Film');
    const above = node => node.inputs.map((_, slot) => node.getInputNode(slot)).filter(Boolean);
    const linked = above(film);
    const music = linked.filter(node => node.type === 'StoryStudio_FilmSound').flatMap(above);
    return [...linked, ...music].map(node => node.type).filter(one => /^(Story|LoadAudio)/.test(one)).sort();
}"""
"""The classes of the nodes that finish the film."""
_WATCH = """() => {
    window.filmStates = new Set();
    const note = () => window.filmStates.add(document.querySelector('.film-state').textContent);
    note();
    const watched = { subtree: true, childList: true, characterData: true };
    new MutationObserver(note).observe(document.querySelector('.film'), watched);
}"""
"""Notes all that the state of the film has been from now on."""
_MASTERS = """async () => {
    const { output } = await window.app.graphToPrompt();
    const scenes = Object.values(output).filter(node => node.class_type === 'StoryStudio_FilmScene');
    return scenes.map(scene => {
        const found = [];
        for (let at = output[scene.inputs.clip[0]], by; at; at = output[by?.[0]]) {
            found.push(at.class_type.replace('StoryStudio_', ''));
            if (at.class_type === 'StoryStudio_Clip') break;
            by = at.inputs.frames ?? at.inputs.image ?? at.inputs.clip;
        }
        return found.join(' < ');
    });
}"""
"""What the film is made from, for each scene: the nodes from its Film Scene up to its Clip."""
UPSCALED = ["Master < ImageUpscaleWithModel < ClipFrames < Clip"] * 3
_SECOND = """() => {
    const film = window.app.graph.nodes.find(node => node.type === 'StoryStudio_Film');
    const link = window.app.graph.getLink(film.inputs.find(slot => slot.name === 'film').link);
    const second = LiteGraph.createNode('StoryStudio_Film');
    window.app.graph.add(second);
    second.pos = [film.pos[0], film.pos[1] + 900];
    second.widgets.find(widget => widget.name === 'title').value = 'Trailer';
    const slot = second.inputs.findIndex(one => one.name === 'film');
    window.app.graph.getNodeById(link.origin_id).connect(link.origin_slot, second, slot);
    const tracker = window.app.extensionManager.workflow.activeWorkflow.changeTracker;
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
}"""
"""Adds another film of the same scenes."""
BURNED, DELIVERY, SOUND = (f"StoryStudio_{name}" for name in ("BurnedCaptions", "FilmDelivery", "FilmSound"))


def state(panel: Panel) -> Locator:
    return panel.root.locator(".film-state")


@newer_only
def test_a_film_is_out_of_date_after_a_change_and_played_with_chapters(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    expect(state(panel)).to_have_text("not made yet")
    assert "story_studio/films" in panel.press("Make the film", DONE)
    expect(state(panel)).to_have_text("up to date")
    expect(panel.root.get_by_role("button", name="Make the film")).to_be_disabled()
    artist.run_script(_CHANGE)
    expect(state(panel)).to_have_text("out of date")
    expect(panel.root.locator(".why")).to_have_text("Changed: 2. Sailor.")
    artist.screenshot("out-of-date")
    panel.root.get_by_role("button", name="Play the film").click()
    player = artist.page.get_by_role("dialog", name="The Keeper's Light")
    chapters = player.get_by_role("group", name="Chapters").get_by_role("button")
    expect(chapters).to_have_text(["Keeper0:00", "Sailor0:00", "Morning0:00"])
    player.locator("video").evaluate("async video => { await video.play(); video.pause(); }")
    assert player.locator("video").evaluate("video => video.textTracks.length") == 1
    chapters.nth(1).click()
    expect(chapters.nth(1)).to_have_attribute("aria-current", "true")
    artist.screenshot("player")
    artist.page.keyboard.press("ArrowRight")
    expect(chapters.nth(2)).to_have_attribute("aria-current", "true")
    artist.page.keyboard.press("Escape")
    expect(player).to_have_count(0)
    expect(panel.root.get_by_role("button", name="Play the film")).to_be_focused()
    artist.run_script(_CHANGE)
    expect(state(panel)).to_have_text("up to date")


@newer_only
def test_the_state_is_known_after_a_reload_and_results_are_seen_large_and_exported(
    artist: Canvas, tmp_path: Path
) -> None:
    panel = Panel(artist)
    assert panel.start("Film") == "success"
    expect(panel.states).to_have_text(DONE)
    artist.open()
    panel.open()
    panel.load()
    expect(state(panel)).to_have_text("up to date")
    panel.root.get_by_role("button", name="Show the clip of 1. Keeper large").click()
    preview = artist.page.get_by_role("dialog", name="Clip")
    expect(preview.get_by_role("heading")).to_have_text("1. Keeper")
    # The video goes when another scene is shown, and must not take the focus with it.
    preview.locator("video").focus()
    for key, heading in (("ArrowRight", "2. Sailor"), ("ArrowLeft", "1. Keeper"), ("ArrowLeft", "1. Keeper")):
        artist.page.keyboard.press(key)
        expect(preview.get_by_role("heading")).to_have_text(heading)
    shown = preview.locator("video").get_attribute("src")
    assert shown and shown in panel.shown("clip")[0]
    artist.screenshot("preview")
    artist.page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    panel.root.get_by_text("Export…").click()
    with artist.page.expect_download() as captions:
        panel.root.get_by_role("button", name="Captions VTT").click()
    assert captions.value.suggested_filename.endswith(".vtt")
    with artist.page.expect_download() as everything:
        panel.root.get_by_role("button", name="Everything (ZIP)").click()
    everything.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {"film.mp4", "film.srt", "story.json", "clips/003-Morning.mp4"} <= set(archive.namelist())


def test_a_film_is_a_video_on_its_node_in_nodes_2(canvas: Canvas) -> None:
    canvas.change_settings({"Comfy.VueNodes.Enabled": True})
    try:
        canvas.open()
        panel = Panel(canvas)
        assert panel.start("Film") == "success"
        film = canvas.page.locator(".lg-node").filter(has_text="crossfade_seconds")
        expect(film.locator("video").first).to_be_attached()
        expect(film.get_by_text("Image failed to load")).to_have_count(0)
        canvas.screenshot("nodes-2")
    finally:
        canvas.change_settings({"Comfy.VueNodes.Enabled": False})


@older_only
def test_a_film_is_finished_in_the_panel_in_one_undo_step_each(artist: Canvas, tmp_path: Path) -> None:
    # Without these settings no film of it has been made.
    panel = Panel(artist, next(SEEDS))
    root = panel.root
    root.get_by_text("Finishing of the film").click()
    root.get_by_label("Loudness").select_option("-14")
    root.get_by_label("Opening title").fill("Hello")
    root.get_by_label("Opening title").press("Tab")
    root.get_by_label("Opening title").fill("")
    root.get_by_label("Opening title").press("Tab")
    assert artist.run_script(_HELPERS) == [SOUND]
    root.get_by_label("In the frames").select_option("boxed")
    root.get_by_label("Format").select_option("square 1080")
    assert artist.run_script(_HELPERS) == [BURNED, DELIVERY, SOUND]
    artist.page.locator("#graph-canvas").focus()
    artist.undo()
    assert artist.run_script(_HELPERS) == [BURNED, SOUND]
    artist.undo()
    assert artist.run_script(_HELPERS) == [SOUND]
    artist.redo()
    assert artist.run_script(_HELPERS) == [BURNED, SOUND]
    expect(root.get_by_label("Format")).to_have_value("as rendered")
    artist.redo()
    assert artist.run_script(_HELPERS) == [BURNED, DELIVERY, SOUND]
    expect(root.get_by_label("Format")).to_have_value("square 1080")
    root.locator(".finishing input[type=file]").set_input_files(write_voice(tmp_path / "music.wav", 1.0))
    expect(root.get_by_role("button", name="Remove the music")).to_be_visible()
    assert artist.run_script(_HELPERS) == ["LoadAudio", BURNED, DELIVERY, SOUND]
    root.get_by_label("Upscaling").select_option("RealESRGAN_x4plus.safetensors")
    assert artist.run_script(_MASTERS) == UPSCALED
    artist.screenshot("finishing")
    artist.run_script(_WATCH)
    assert panel.start("Make the film") == "success", root.locator(":scope > .problem").inner_text()
    expect(state(panel)).to_have_text("up to date")
    shown = artist.run_script("() => [...window.filmStates]")
    assert shown[0] == "not made yet"
    assert any(re.fullmatch(r"being made \d+ %", text) for text in shown), shown
    expect(root.locator(".film .about")).to_contain_text("1080 × 1080")
    root.get_by_label("Upscaling").select_option("")
    assert artist.run_script(_MASTERS) == ["Clip"] * 3
    artist.page.locator("#graph-canvas").focus()
    artist.undo()
    assert artist.run_script(_MASTERS) == UPSCALED
    artist.redo()
    assert artist.run_script(_MASTERS) == ["Clip"] * 3
    root.get_by_role("button", name="Remove the music").click()
    root.get_by_label("Loudness").select_option("")
    root.get_by_label("In the frames").select_option("")
    root.get_by_label("Format").select_option("as rendered")
    assert artist.run_script(_HELPERS) == []
    expect(root.locator(".film .why")).to_contain_text("The settings of the film are changed.")
    artist.run_script(_SECOND)
    states = root.locator(".film-state")
    expect(states).to_have_text(["out of date", "not made yet"])
    root.locator(".finishing").get_by_label("Film", exact=True).select_option("Trailer")
    root.get_by_label("In the frames").select_option("clean")
    assert artist.run_script(_HELPERS) == [], "the other film is finished"
    assert panel.start("Make the film: Trailer") == "success"
    expect(states).to_have_text(["out of date", "up to date"])
    assert artist.run_script("() => window.rendered") == ["story_studio/films"]
    # A story has one film: what is lost is said before anything is.
    before = artist.api_graph()
    real = root.get_by_role("group", name="Draft or real").get_by_role("button", name="Real")
    for answer, pressed in (("Cancel", "false"), ("Confirm", "true")):
        real.click()
        dialog = artist.page.get_by_role("dialog").filter(has_text="and is lost")
        expect(dialog).to_contain_text("The workflow has 2 films")
        artist.screenshot("losses")
        dialog.get_by_role("button", name=answer).click()
        expect(dialog).to_have_count(0)
        expect(root.locator(".switch")).not_to_have_attribute("aria-busy", "true")
        expect(real).to_have_attribute("aria-pressed", pressed)
        assert (artist.api_graph() == before) is (answer == "Cancel")
