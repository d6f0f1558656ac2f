"""The storyboard panel as an artist uses it: a draft of three scenes, with both interfaces."""

from __future__ import annotations

import itertools
import re
import urllib.parse
from pathlib import Path

from playwright.sync_api import Locator, expect

from driver.comfy.process import PACK
from tests.web.canvas import Canvas, newer_only, older_only
from workflows.canvas import read_workflow

SEEDS = itertools.count(1001)
"""A new seed for each test that counts results: those of another test would be reused."""
FINISHED = 1000
"""The seed of a story that several tests start from: only the first of them has to render it."""
NAMES = ["Keeper", "Sailor", "Morning"]
STILLS, CLIPS = "story_studio/stills", "story_studio/clips"
_LISTEN = """() => {
    window.rendered = [];
    let cached = [];
    window.app.api.addEventListener('execution_cached', ({ detail }) => { cached = detail.nodes; });
    window.app.api.addEventListener('executed', ({ detail: { node, output } }) => {
        // What ComfyUI still has says what was true when it was made.
        if (!output?.checkpoint || output.checkpoint[0].reused || cached.includes(node)) return;
        window.rendered.push(output.images[0].subfolder);
    });
    window.ends = [];
    for (const end of ['success', 'error', 'interrupted']) {
        window.app.api.addEventListener(`execution_${end}`, () => window.ends.push(end));
    }
    window.states = new Set();
    new MutationObserver(() => {
        for (const state of document.querySelectorAll('.story-studio .state')) {
            window.states.add(state.textContent.split(' ')[0]);
        }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
_TAKE = """take => {
    const boxes = window.app.rootGraph.nodes.filter(node => node.title === 'Draft scene');
    const box = boxes.sort((a, b) => a.pos[0] - b.pos[0])[1];
    const clip = box.subgraph.nodes.find(node => node.type === 'StoryStudio_Clip');
    clip.widgets.find(widget => widget.name === 'take').value = take;
}"""
_BYPASS = """() => {
    window.app.rootGraph.nodes.find(node => node.widgets?.[0]?.value === 'Sailor').mode = 4;
    window.app.api.dispatchCustomEvent('graphChanged', window.app.rootGraph.serialize());
}"""
TWO_FRAMES = "async () => { for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame); }"


class Panel:
    """The panel of an open canvas, with the draft story in it."""

    def __init__(self, canvas: Canvas, seed: int = FINISHED):
        self.canvas, self.seed = canvas, seed
        self.open()
        self.root = canvas.page.get_by_role("region", name="Storyboard")
        expect(self.root).to_contain_text("No scenes yet")
        self.load()
        expect(self.states).to_have_count(3)

    def open(self) -> None:
        """Opens the sidebar tab."""
        self.canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()

    def load(self) -> None:
        """Puts the draft story on the canvas, small and short, and records what is rendered."""
        self.canvas.run_script(_LISTEN)
        self.canvas.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
        small = [("Draft scene", side, 128) for side in ("width", "height")]
        length = ("EmptyAudio", "duration", 0.3)
        seeds = [("Draft scene", name, self.seed) for name in ("seed", "clip_seed")]
        self.canvas.set_widgets([*small, length, *seeds])

    @property
    def states(self) -> Locator:
        return self.root.locator(".state")

    def press(self, name: str, states: list[str]) -> list[str]:
        """Presses a button, waits for its end and these states, and returns the folders of new results."""
        assert self.start(name) == "success"
        expect(self.states).to_have_text(states)
        expect(self.stop).to_be_hidden()
        return sorted(self.canvas.run_script("() => window.rendered"))

    def unfold(self) -> None:
        """Shows all that can be done with every scene."""
        self.root.get_by_role("button", name="Details", exact=True).click()

    def start(self, name: str, end: bool = True) -> str:
        """Presses a button; with `end`, waits until its run has ended, and returns how."""
        self.canvas.run_script(
            "() => { window.ends.length = 0; window.rendered.length = 0; window.states.clear(); }"
        )
        self.root.get_by_role("button", name=name, exact=True).click()
        return self.ended() if end else ""

    def ended(self) -> str:
        """Waits until a run has ended, and returns how: success, error or interrupted."""
        return self.canvas.page.wait_for_function("() => window.ends[0]").json_value()

    @property
    def stop(self) -> Locator:
        return self.root.get_by_role("button", name="Stop")

    def choose(self, kind: str, scene: str, address: str = "") -> None:
        """Chooses the take of a scene's still or clip at this address; without one, no take."""
        chosen = self.take(kind, scene, address)
        chosen.click()
        expect(chosen).to_have_attribute("aria-pressed", "true")

    def take(self, kind: str, scene: str, address: str = "") -> Locator:
        """The button of the take at this address, or of none."""
        strip = self.open_takes(kind, scene)
        name = Path(urllib.parse.parse_qs(urllib.parse.urlsplit(address).query).get("filename", [""])[0])
        button = strip.locator(f"button:has([src*='{name.name}'])" if address else "button:has-text('graph')")
        expect(button).to_have_count(1)
        return button

    def open_takes(self, kind: str, scene: str) -> Locator:
        """The strip of takes of a scene's still or clip, opened."""
        strip = self.root.get_by_role("group", name=f"Takes of the {kind} of {scene}")
        card = self.root.get_by_role("listitem").filter(has_text=scene)
        figure = card.get_by_role("figure").nth(0 if kind == "still" else 1)
        if not strip.is_visible():
            figure.get_by_role("button", name=re.compile("^Take(s|n? chosen)")).click()
        return strip

    def shown(self, kind: str) -> list[str]:
        """The addresses of the stills (img) or clips (video) that are shown."""
        elements = self.root.locator(f".frame {'img' if kind == 'still' else 'video'}")
        return elements.evaluate_all("all => all.map(element => element.src)")


def scene_results(folders: list[str]) -> list[str]:
    """The scenes' results only: a contact sheet is drawn again wherever clips follow it."""
    return [folder for folder in folders if folder in (STILLS, CLIPS)]


WAITING, DONE = ["waiting"] * 3, ["done"] * 3


@newer_only
def test_stills_first_then_the_film(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    expect(panel.root.locator(".name")).to_have_text([f"{n}. {name}" for n, name in enumerate(NAMES, 1)])
    expect(panel.root.locator(".prompt").nth(1)).to_contain_text("bearded fisherman")
    expect(panel.states).to_have_text(WAITING)
    artist.screenshot("waiting")
    assert panel.press("Stills", WAITING) == [STILLS] * 3
    expect(panel.root.locator(".frame img")).to_have_count(3)
    assert "drawing" in artist.run_script("() => [...window.states]")
    artist.screenshot("stills")
    assert panel.press("Film", DONE) == [*[CLIPS] * 3, "story_studio/films", "story_studio/sheets"]
    assert {"talking", "done"} <= set(artist.run_script("() => [...window.states]"))
    expect(panel.root.locator(".spoken")).to_contain_text(": done")
    expect(panel.root.locator(".frame video")).to_have_count(3)
    artist.page.wait_for_function(
        "() => [...document.querySelectorAll('.frame video')].every(video => video.duration > 0.2)"
    )
    artist.screenshot("done")
    panel.root.get_by_role("button", name="3. Morning", exact=True).press("Enter")
    selected = "() => [...window.app.canvas.selectedItems].map(node => node.widgets[0].value)"
    assert artist.run_script(selected) == ["Morning"]


@newer_only
def test_results_are_shown_after_a_reload(artist: Canvas) -> None:
    panel = Panel(artist)
    panel.press("Clips", DONE)
    artist.open()
    panel.open()
    panel.load()
    expect(panel.states).to_have_text(DONE)
    expect(panel.root.locator(".frame video")).to_have_count(3)


@older_only
def test_a_new_still_renders_one_still_and_then_its_clip(artist: Canvas) -> None:
    panel = Panel(artist)
    panel.press("Film", DONE)
    before = panel.shown("still")
    rendered = panel.press("New take of the still of 2. Sailor", ["done", "waiting", "done"])
    assert rendered == [STILLS]
    after = panel.shown("still")
    assert after[1] != before[1] and after[::2] == before[::2]
    assert scene_results(panel.press("Clips", DONE)) == [CLIPS]
    panel.choose("still", "2. Sailor", before[1])
    expect(panel.root.locator(".frame img").nth(1)).to_have_js_property("src", before[1])
    artist.screenshot("earlier-take")
    assert STILLS not in panel.press("Film", DONE)
    assert panel.shown("still") == before
    panel.choose("still", "2. Sailor")
    expect(panel.root.locator(".frame img").nth(1)).to_have_js_property("src", after[1])
    expect(panel.states).to_have_text(DONE)


@newer_only
def test_a_new_clip_leaves_its_still(artist: Canvas) -> None:
    panel = Panel(artist)
    panel.press("Film", DONE)
    stills, clips = panel.shown("still"), panel.shown("clip")
    assert scene_results(panel.press("New take of the clip of 3. Morning", DONE)) == [CLIPS]
    assert panel.shown("still") == stills
    assert panel.shown("clip")[:2] == clips[:2]
    assert panel.shown("clip")[2] != clips[2]
    panel.choose("clip", "3. Morning", clips[2])
    expect(panel.root.locator(".frame video").nth(2)).to_have_js_property("src", clips[2])


@newer_only
def test_a_click_is_not_lost_when_the_panel_changes_under_it(artist: Canvas) -> None:
    panel = Panel(artist)
    fold = panel.root.get_by_role("button", name="More of 3. Morning")
    while not (fold.is_visible() and fold.evaluate("fold => fold.matches(':active')")):
        # What is read of the story meanwhile may move it away.
        artist.page.mouse.up()
        fold.hover()
        artist.page.mouse.down()
    left_out = panel.root.get_by_role("region", name="Left out on the canvas")
    with artist.page.expect_response("**/story_studio/takes") as answer:
        artist.run_script(_BYPASS)
    answer.value.finished()
    artist.run_script(TWO_FRAMES)
    assert left_out.is_hidden(), "it would move the button away"
    artist.page.mouse.up()
    expect(left_out).to_be_visible()
    expect(panel.root.get_by_role("button", name="More of 2. Morning")).to_have_attribute(
        "aria-expanded", "true"
    )


@newer_only
def test_a_failed_scene_shows_its_error_and_is_repaired(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    panel.press("Stills", WAITING)
    artist.run_script(_TAKE, "0" * 24)
    assert panel.start("Clips") == "error"
    failed = panel.root.get_by_role("listitem").nth(1)
    expect(failed.locator(".state")).to_have_text("failed")
    expect(failed.get_by_role("alert")).to_contain_text(f"There is no take '{'0' * 24}'")
    artist.screenshot("failed")
    artist.page.keyboard.press("Escape")
    panel.choose("clip", "2. Sailor")
    assert set(scene_results(panel.press("Clips", DONE))) == {CLIPS}
    expect(failed.get_by_role("alert")).to_be_hidden()


@newer_only
def test_a_prompt_is_text(artist: Canvas) -> None:
    panel = Panel(artist)
    hostile = "<img src=x onerror='window.hurt = 1'><b>bold</b>"
    artist.set_widgets([("Draft scene", "prompt", hostile), ("Draft scene", "title", hostile)])
    panel.press("Stills", WAITING)
    expect(panel.root.locator(".prompt")).to_have_text([hostile] * 3)
    assert panel.root.locator("b").count() == 0
    assert artist.run_script("() => window.hurt") is None


@older_only
def test_stop_ends_a_run(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    artist.set_widgets([("EmptyAudio", "duration", 600)])
    panel.start("Clips", end=False)
    expect(panel.root.locator("[data-state=talking]").first).to_be_visible()
    artist.screenshot("talking")
    panel.stop.click()
    assert panel.ended() == "interrupted"
    expect(panel.stop).to_be_hidden()
    expect(panel.root.locator("[data-state=talking]")).to_have_count(0)


def test_nodes_2_and_the_light_theme(newer_canvas: Canvas) -> None:
    settings = {"Comfy.VueNodes.Enabled": True, "Comfy.ColorPalette": "light"}
    before = {"Comfy.VueNodes.Enabled": False, "Comfy.ColorPalette": "dark"}
    newer_canvas.change_settings(settings)
    try:
        newer_canvas.open()
        panel = Panel(newer_canvas)
        panel.press("Film", DONE)
        assert scene_results(panel.press("New take of the clip of 1. Keeper", DONE)) == [CLIPS]
        panel.open_takes("clip", "1. Keeper")
        newer_canvas.screenshot("light")
    finally:
        newer_canvas.change_settings(before)


@newer_only
def test_the_panel_in_chinese(artist: Canvas) -> None:
    artist.change_settings({"Comfy.Locale": "zh"})
    try:
        artist.open()
        artist.page.get_by_role("button", name=re.compile("^分镜板")).first.click()
        panel = artist.page.get_by_role("region", name="分镜板")
        expect(panel).to_contain_text("还没有场景")
        artist.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
        expect(panel.locator(".state")).to_have_count(3)
        expect(panel.get_by_role("button", name="停止")).to_be_hidden()
        expect(panel.get_by_role("button", name="静帧", exact=True)).to_be_enabled()
        expect(panel.get_by_role("button", name="2. Sailor的静帧的新版本")).to_be_visible()
        artist.screenshot("opened")
    finally:
        artist.change_settings({"Comfy.Locale": "en"})


def test_the_panel_is_small() -> None:
    files = [path for path in (PACK / "web").rglob("*") if path.suffix in {".js", ".mjs"}]
    sizes: dict[Path, int] = {path: path.read_text().count("\n") for path in files}
    assert files and max(sizes.values()) < 300
