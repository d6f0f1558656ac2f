"""The panel as it is seen, read aloud and reached with the keyboard, in both themes and languages."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from driver.comfy.process import PACK
from story_studio.story.problems import Problems
from story_studio.story.recipes import read_recipe
from story_studio.story.schema import read
from story_studio.story.script.read import SUFFIXES, story_from_script
from tests.web.audit import faint, jutting, nameless
from tests.web.canvas import Canvas, newer_only
from tests.web.test_panel import DONE, Panel
from workflows.canvas import read_workflow

WIDTHS = (240, 280, 310, 420, 700)
_THEME = "theme => window.app.extensionManager.setting.set('Comfy.ColorPalette', theme)"
_REACHABLE = """root => {
    const all = [...root.querySelectorAll('button, input, select, textarea, summary, video, [tabindex="0"]')];
    const open = all.filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0);
    return open.length;
}"""
_MARK = """() => {
    const one = document.activeElement;
    const inside = !!one.closest('.story-studio');
    const fresh = inside && !one.dataset.reached;
    if (inside) one.dataset.reached = 'yes';
    const { top, bottom } = one.getBoundingClientRect();
    return { inside, fresh, seen: bottom > 0 && top < innerHeight };
}"""


def finished(canvas: Canvas) -> Panel:
    """The panel with a story that is rendered."""
    panel = Panel(canvas)
    if panel.states.all_inner_texts() != DONE:
        panel.press("Film", DONE)
    return panel


def audit(panel: Panel, where: str) -> None:
    """Checks the contrast of all texts in both themes, and the names of all controls."""
    found = [f"{where}: {one}" for one in nameless(panel.root)]
    for theme in ("light", "dark"):
        panel.canvas.run_script(_THEME, theme)
        # ComfyUI fades from one theme to the other.
        panel.canvas.page.wait_for_timeout(600)
        found += [f"{where}, {theme}: {one}" for one in faint(panel.root)]
        panel.canvas.screenshot(f"{where}-{theme}")
    assert found == []


@newer_only
def test_all_texts_are_legible_and_all_controls_named(artist: Canvas) -> None:
    panel = finished(artist)
    root, keys = panel.root, artist.page.keyboard
    audit(panel, "small cards")
    panel.open_takes("still", "2. Sailor")
    root.get_by_role("button", name="Compare the takes of the still of 2. Sailor").click()
    audit(panel, "takes")
    keys.press("Escape")
    root.get_by_role("button", name="Show the clip of 1. Keeper large").click()
    audit(panel, "preview")
    keys.press("Escape")
    root.get_by_role("button", name="Play the film").click()
    audit(panel, "player")
    keys.press("Escape")
    panel.unfold()
    for section in root.locator("summary").all():
        section.click()
    root.get_by_role("button", name="Edit 1. Keeper").click()
    root.get_by_role("button", name="Render of 2. Sailor…").click()
    audit(panel, "all folded out")
    artist.set_widgets([("Draft scene", "seed", 4711)])
    expect(panel.states).to_have_text(["waiting"] * 3)
    artist.run_script(_BREAK)
    expect(root.locator(".reason:visible")).to_have_count(3)
    audit(panel, "failed")


_BREAK = """() => {
    const boxes = window.app.graph.nodes.filter(node => node.title === 'Draft scene');
    const [first, , last] = boxes.sort((one, other) => one.pos[0] - other.pos[0]);
    last.connect(last.outputs.findIndex(one => one.name === 'film'), first,
        first.inputs.findIndex(one => one.name === 'film'));
    window.app.graph.change();
    window.app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState?.();
    window.app.api.dispatchCustomEvent('graphChanged');
}"""


@newer_only
def test_the_keyboard_reaches_everything_from_top_to_bottom(artist: Canvas) -> None:
    panel = finished(artist)
    for folded in (True, False):
        if not folded:
            panel.unfold()
        count = panel.root.evaluate(_REACHABLE)
        assert count > 20
        panel.root.get_by_role("button", name="Open…").focus()
        reached = 0
        while True:
            at = artist.run_script(_MARK)
            # A video has controls of its own, which Tab reaches too.
            if not at["inside"]:
                break
            assert at["seen"], "the focus is where it is not seen"
            reached += at["fresh"]
            artist.page.keyboard.press("Tab")
        assert reached == count
        panel.root.evaluate(
            "root => root.querySelectorAll('[data-reached]').forEach(e => delete e.dataset.reached)"
        )


@newer_only
def test_cards_are_small_and_what_is_folded_out_is_remembered(artist: Canvas) -> None:
    panel = finished(artist)
    card = panel.root.get_by_role("listitem").filter(has_text="2. Sailor")
    small = card.bounding_box()
    assert small and small["height"] < 180
    for name in ("Edit 2. Sailor", "Render of 2. Sailor…", "Choose a recording for 2. Sailor"):
        expect(card.get_by_role("button", name=name)).to_be_hidden()
    expect(card.get_by_role("button", name="New take of the clip of 2. Sailor")).to_be_visible()
    card.get_by_role("button", name="More of 2. Sailor").press("Enter")
    expect(card.get_by_role("button", name="More of 2. Sailor")).to_be_focused()
    expect(card.get_by_role("button", name="Edit 2. Sailor")).to_be_visible()
    expect(panel.root.get_by_role("button", name="Edit 1. Keeper")).to_be_hidden()
    assert [fault for width in WIDTHS for fault in jutting(panel.root, width)] == []
    panel.unfold()
    panel.root.get_by_text("Finishing of the film").click()
    artist.open()
    if not panel.root.is_visible():
        panel.open()
    expect(panel.root.get_by_role("button", name="Edit 1. Keeper")).to_be_visible()
    expect(panel.root.get_by_label("Loudness")).to_be_visible()
    assert [fault for width in WIDTHS for fault in jutting(panel.root, width)] == []


_ENGLISH = re.compile(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}", re.IGNORECASE)
_SAID = """async said => {
    const shared = '/extensions/story_studio/shared';
    const { localized } = await import(`${shared}/sentences.mjs`);
    const { default: table } = await import(`${shared}/chinese/server.mjs`);
    // Each template with values in it, without what may be left out.
    const filled = text => {
        let next = 0;
        return text.replace(/\\[[^[\\]]*\\{\\}[^[\\]]*\\]/g, '')
            .replace(/\\{([\\d、]?)\\}/g, (_, mark) => `Q${Number(mark) || ++next}Z`);
    };
    const wrong = Object.entries(table).map(texts => texts.map(filled))
        .filter(([english, chinese]) => localized(english) !== chinese);
    return [said.map(localized), wrong];
}"""
"""What the panel makes of sentences, and the templates that another one hides."""
_BROKEN = {
    "story.yaml": """
        profile: standrd
        style: 3
        scenes:
        - {id: a, prompt: "A boat", text: "{tom}", kind: silent, seed: -1}
        - {id: a, promt: The sea, audio: []}
        characters: {mara: {description: x, voice: {speed: fast}}}
    """,
    "quote.yaml": "scenes: 'A boat",
    "empty.json": '{"scenes": [{"id": "a" "prompt": "b"}]}',
    "table.csv": "prompt,text,seconds,prompt\nA boat,,soon,\n",
    "words.srt": "1\n00:00:1 --> x\nHello\n",
    "recipe.json": '{"1": {"class_type": "A", "inputs": {"image": ["7", 0]}, "_meta": {"title": "$clip"}}}',
}


def real_sentences() -> Iterator[str]:
    """What is said of files that are broken."""
    for name, text in _BROKEN.items():
        try:
            if name == "recipe.json":
                read_recipe(text, "clip", name)
            elif name.endswith(SUFFIXES):
                story_from_script(name, text)
            else:
                read(textwrap.dedent(text), Path(name))
        except Problems as error:
            yield from map(str, error.problems)


@pytest.fixture
def chinese(artist: Canvas) -> Iterator[Canvas]:
    """ComfyUI in Chinese, for one test."""
    artist.change_settings({"Comfy.Locale": "zh"})
    yield artist
    artist.change_settings({"Comfy.Locale": "en"})


def test_it_fits_in_chinese_and_is_never_painted_without_its_styles(chinese: Canvas) -> None:
    held: list[Route] = []
    pattern = re.compile(r"/story_studio/css/")
    chinese.page.route(pattern, lambda route: held.append(route))
    chinese.open()
    chinese.page.get_by_role("button", name=re.compile("^(分镜板|故事)")).first.click()
    chinese.page.wait_for_timeout(1000)
    assert held, "the style sheets are loaded with the page"
    expect(chinese.page.locator(".story-studio")).to_have_count(0)
    for route in held:
        route.continue_()
    chinese.page.unroute(pattern)
    root = chinese.page.get_by_role("region", name="分镜板")
    expect(root).to_be_visible()
    assert root.evaluate("root => getComputedStyle(root).fontSize") == "13px"
    chinese.load(read_workflow(PACK / "example_workflows" / "Draft.json"))
    expect(root.locator(".state")).to_have_count(3)
    root.get_by_role("button", name="详细", exact=True).click()
    assert [fault for width in WIDTHS for fault in jutting(root, width)] == []
    assert nameless(root) == []
    chinese.screenshot("chinese")
    said = [*real_sentences()]
    assert len(said) > 10
    translated, wrong = chinese.run_script(_SAID, said)
    assert wrong == []
    assert [text for text in translated if _ENGLISH.search(text)] == []
