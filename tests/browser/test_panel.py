"""The storyboard panel as an artist uses it: a draft of three scenes, with both interfaces."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, expect

from driver.server import PACK
from tests.browser.canvas import Canvas, read_workflow

SEEDS = itertools.count(1000)
"""Each test has pictures of its own: what another one made would be found again."""
NAMES = ["Keeper", "Sailor", "Morning"]
STILLS, CLIPS = "story_studio/stills", "story_studio/clips"
_LISTEN = """() => {
    window.made = [];
    window.app.api.addEventListener('executed', ({ detail: { output } }) => {
        if (output?.checkpoint && !output.checkpoint[0].reused) window.made.push(output.images[0].subfolder);
    });
    for (const end of ['success', 'error', 'interrupted']) {
        window.app.api.addEventListener(`execution_${end}`, () => { window.ended = true; });
    }
    window.states = new Set();
    new MutationObserver(() => {
        for (const one of document.querySelectorAll('.story-studio .state')) {
            window.states.add(one.textContent.split(' ')[0]);
        }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""
_TAKE = """take => {
    const boxes = window.app.rootGraph.nodes.filter(node => node.title === 'Draft scene');
    const box = boxes.sort((one, other) => one.pos[0] - other.pos[0])[1];
    const clip = box.subgraph.nodes.find(node => node.type === 'StoryStudio_Clip');
    clip.widgets.find(widget => widget.name === 'take').value = take;
}"""


class Panel:
    """The panel of an open canvas, with the draft story in it."""

    def __init__(self, canvas: Canvas):
        self.canvas = canvas
        self.open()
        self.root = canvas.page.get_by_role("region", name="Storyboard")
        expect(self.root).to_contain_text("No scenes yet")
        canvas.run_script(_LISTEN)
        self.seed = next(SEEDS)
        self.load()
        expect(self.states).to_have_count(3)

    def open(self) -> None:
        """Opens the sidebar tab."""
        self.canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()

    def load(self) -> None:
        """Puts the draft story on the canvas, small and short."""
        self.canvas.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
        small = [("Draft scene", side, 128) for side in ("width", "height")]
        length = ("EmptyAudio", "duration", 0.3)
        self.canvas.set_widgets([*small, length, ("Draft scene", "seed", self.seed)])

    @property
    def states(self) -> Locator:
        return self.root.locator(".state")

    def press(self, name: str | re.Pattern[str], states: list[str]) -> list[str]:
        """Presses a button and waits for these states and the end; the folders of what was made."""
        self.canvas.run_script(
            "() => { window.ended = false; window.made.length = 0; window.states.clear(); }"
        )
        self.root.get_by_role("button", name=name, exact=True).click()
        self.canvas.page.wait_for_function("() => window.ended", timeout=60_000)
        expect(self.states).to_have_text(states)
        expect(self.root.get_by_role("button", name="Stop")).to_be_hidden()
        return sorted(self.canvas.run_script("() => window.made"))

    def takes(self, kind: str, scene: str) -> Locator:
        """The strip of takes of a scene's still or clip, opened."""
        strip = self.root.get_by_role("group", name=f"Takes of the {kind} of {scene}")
        card = self.root.get_by_role("listitem").filter(has_text=scene)
        figure = card.get_by_role("figure").nth(0 if kind == "still" else 1)
        if not strip.is_visible():
            figure.get_by_role("button", name=re.compile("^Take(s|n? chosen)")).click()
        return strip

    def shown(self, kind: str) -> list[str]:
        """The addresses of the stills (img) or clips (video) that are shown."""
        found = self.root.locator(f".frame {'img' if kind == 'still' else 'video'}")
        return found.evaluate_all("all => all.map(one => one.src)")

    def inputs(self, cls: str, name: str) -> list[Any]:
        """An input of all nodes of a class, in the graph as it would be sent."""
        graph = self.canvas.api_graph().values()
        return [node["inputs"][name] for node in graph if node["class_type"] == cls]


@pytest.fixture(params=["canvas", "newer_canvas"])
def panel(request: pytest.FixtureRequest) -> Panel:
    return Panel(request.getfixturevalue(request.param))


def made_of(folders: list[str]) -> list[str]:
    """What was made for scenes; a contact sheet is drawn anew wherever clips come after it."""
    return [folder for folder in folders if folder in (STILLS, CLIPS)]


WAITING, DONE = ["waiting"] * 3, ["done"] * 3


def test_stills_first_then_the_film(panel: Panel) -> None:
    expect(panel.root.locator(".name")).to_have_text([f"{n}. {name}" for n, name in enumerate(NAMES, 1)])
    expect(panel.root.locator(".prompt").nth(1)).to_contain_text("bearded fisherman")
    panel.canvas.screenshot("waiting")
    panel.root.get_by_role("button", name="Stills", exact=True).click()
    expect(panel.root.locator(".frame img")).to_have_count(3, timeout=60_000)
    assert panel.canvas.run_script("() => window.made") == [STILLS] * 3
    expect(panel.states).to_have_text(WAITING)
    panel.canvas.screenshot("stills")
    assert panel.press("Film", DONE) == [*[CLIPS] * 3, "story_studio/films", "story_studio/sheets"]
    assert {"talking", "done"} <= set(panel.canvas.run_script("() => [...window.states]"))
    expect(panel.root.locator(".frame video")).to_have_count(3)
    panel.canvas.page.wait_for_function(
        "() => [...document.querySelectorAll('.frame video')].every(one => one.duration > 0.2)"
    )
    panel.canvas.screenshot("done")


def test_what_was_made_is_known_after_a_reload(panel: Panel) -> None:
    panel.press("Clips", DONE)
    panel.canvas.open()
    panel.open()
    panel.load()
    expect(panel.states).to_have_text(DONE)


def test_a_new_still_makes_one_still_and_then_its_clip(panel: Panel) -> None:
    panel.press("Film", DONE)
    before = panel.shown("still")
    made = panel.press("New take of the still of 2. Sailor", ["done", "waiting", "done"])
    assert made == [STILLS]
    after = panel.shown("still")
    assert after[1] != before[1] and after[::2] == before[::2]
    assert made_of(panel.press("Clips", DONE)) == [CLIPS]
    panel.takes("still", "2. Sailor").get_by_role("button").nth(2).click()
    expect(panel.root.locator(".frame img").nth(1)).to_have_js_property("src", before[1])
    panel.canvas.screenshot("earlier-take")
    assert STILLS not in panel.press("Film", DONE)
    assert panel.shown("still") == before
    panel.takes("still", "2. Sailor").get_by_role("button", name=re.compile("^No chosen take")).click()
    expect(panel.root.locator(".frame img").nth(1)).to_have_js_property("src", after[1])
    expect(panel.states).to_have_text(DONE)


def test_a_new_clip_leaves_its_still(panel: Panel) -> None:
    panel.press("Film", DONE)
    stills, clips = panel.shown("still"), panel.shown("clip")
    assert made_of(panel.press("New take of the clip of 3. Morning", DONE)) == [CLIPS]
    assert panel.shown("still") == stills
    assert panel.shown("clip")[:2] == clips[:2]
    assert panel.shown("clip")[2] != clips[2]
    panel.takes("clip", "3. Morning").get_by_role("button").nth(2).click()
    expect(panel.root.locator(".frame video").nth(2)).to_have_js_property("src", clips[2])


def test_a_failed_scene_says_why_and_is_repaired(panel: Panel) -> None:
    panel.press("Stills", WAITING)
    panel.canvas.run_script(_TAKE, "0" * 24)
    panel.root.get_by_role("button", name="Clips", exact=True).click()
    failed = panel.root.get_by_role("listitem").nth(1)
    expect(failed.locator(".state")).to_have_text("failed", timeout=60_000)
    expect(failed.get_by_role("alert")).to_contain_text(f"There is no take '{'0' * 24}'")
    panel.canvas.screenshot("failed")
    panel.canvas.page.keyboard.press("Escape")
    panel.takes("clip", "2. Sailor").get_by_role("button", name=re.compile("^No chosen take")).click()
    assert set(made_of(panel.press("Clips", DONE))) == {CLIPS}
    expect(failed.get_by_role("alert")).to_be_hidden()


def test_a_click_shows_the_scene_on_the_canvas(panel: Panel) -> None:
    panel.root.get_by_role("button", name="3. Morning", exact=True).press("Enter")
    widgets = "() => [...window.app.canvas.selectedItems].map(node => node.widgets[0].value)"
    assert panel.canvas.run_script(widgets) == ["Morning"]


def test_a_prompt_is_text(panel: Panel) -> None:
    hostile = "<img src=x onerror='window.hurt = 1'><b>bold</b>"
    panel.canvas.set_widgets([("Draft scene", "prompt", hostile), ("Draft scene", "title", hostile)])
    panel.press("Stills", WAITING)
    expect(panel.root.locator(".prompt")).to_have_text([hostile] * 3)
    assert panel.root.locator("b").count() == 0
    assert panel.canvas.run_script("() => window.hurt") is None


def test_stop_ends_a_run(panel: Panel) -> None:
    panel.canvas.set_widgets([("EmptyAudio", "duration", 60)])
    panel.root.get_by_role("button", name="Clips", exact=True).click()
    expect(panel.root.locator("[data-state=talking]").first).to_be_visible(timeout=60_000)
    panel.canvas.screenshot("talking")
    panel.root.get_by_role("button", name="Stop").click()
    expect(panel.root.get_by_role("button", name="Stop")).to_be_hidden(timeout=60_000)
    expect(panel.root.locator("[data-state=talking]")).to_have_count(0)


def test_nodes_2_and_the_light_theme(newer_canvas: Canvas) -> None:
    settings = {"Comfy.VueNodes.Enabled": True, "Comfy.ColorPalette": "light"}
    before = dict.fromkeys(settings, False) | {"Comfy.ColorPalette": "dark"}
    requests.post(f"{newer_canvas.url}/settings", json=settings, timeout=30).raise_for_status()
    try:
        newer_canvas.open()
        panel = Panel(newer_canvas)
        panel.press("Film", DONE)
        assert made_of(panel.press("New take of the clip of 1. Keeper", DONE)) == [CLIPS]
        panel.takes("clip", "1. Keeper")
        newer_canvas.screenshot("light")
    finally:
        requests.post(f"{newer_canvas.url}/settings", json=before, timeout=30).raise_for_status()


def test_the_panel_is_small() -> None:
    files = [path for path in (PACK / "web").iterdir() if path.suffix in {".js", ".mjs"}]
    sizes: dict[Path, int] = {path: path.read_text().count("\n") for path in files}
    assert files and max(sizes.values()) < 300
