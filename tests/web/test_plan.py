"""What the panel says before and during a run, and what a card renders of its scene alone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.web.canvas import Canvas, newer_only, older_only
from tests.web.test_panel import SEEDS, Panel

_SAID = """() => {
    window.said = new Set();
    new MutationObserver(() => {
        const text = document.querySelector('.story-studio .running:not([hidden]) p')?.textContent;
        if (text) window.said.add(text);
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@newer_only
def test_before_and_during_a_run(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    panel.unfold()
    plan = panel.root.locator(".plan")
    summary = plan.locator("summary")
    expect(summary).to_contain_text("Run makes 3 stills, 3 clips, 1 film")
    # By keyboard.
    summary.focus()
    artist.page.keyboard.press("Enter")
    rows = plan.get_by_role("listitem")
    expect(rows).to_have_text([re.compile(name) for name in ("1. Keeper", "2. Sailor", "3. Morning", "Film")])
    artist.run_script(_SAID)
    panel.press("Film", ["done", "done", "done"])
    said = artist.run_script("() => [...window.said]")
    assert any(re.search(r"\d of 7", text) for text in said), said
    assert any(re.search(r"(Keeper|Sailor|Morning): (drawing|talking)", text) for text in said), said
    expect(panel.root.locator(".running")).to_be_hidden()
    expect(summary).to_have_text("Run has nothing to make: everything is there")

    # One prompt is changed: why each is made, in the plan and on the card, with the times just measured.
    artist.run_script(
        """() => {
            const isSailor = ({ name, value }) => name === 'title' && value === 'Sailor';
            const boxes = window.app.rootGraph.nodes.filter(node => node.title === 'Draft scene');
            const box = boxes.find(node => node.widgets.some(isSailor));
            box.title = 'Sailor only';
        }"""
    )
    artist.set_widgets([("Sailor only", "prompt", "A calm sea")])
    expect(summary).to_contain_text("Run makes 1 still, 1 clip, 1 film: about ")
    expect(rows.nth(0)).to_contain_text("Still: its prompt changed (about ")
    expect(rows.nth(0)).to_contain_text("Clip: its still changed (about ")
    expect(rows.nth(1)).to_contain_text("new clips: 2. Sailor")
    expect(rows.nth(2)).to_contain_text("1. Keeper, 3. Morning")
    expect(plan).to_contain_text(re.compile(r"estimated from \d+ results that this server has made"))
    card = panel.root.locator("ol > li").nth(1)
    expect(card.locator(".forecast")).to_contain_text("its prompt changed")
    artist.screenshot("plan")


@older_only
def test_a_card_renders_its_scene_alone(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    panel.unfold()
    artist.set_widgets([("EmptyAudio", "duration", 4.5)])
    card = panel.root.locator("ol > li").nth(1)
    menu = card.get_by_role("button", name=re.compile("^Render of 2. Sailor"))

    def choose(steps: int) -> None:
        """By keyboard: the menu opens on its first entry."""
        menu.focus()
        artist.page.keyboard.press("Enter")
        expect(card.get_by_role("menu")).to_be_visible()
        for _ in range(steps):
            artist.page.keyboard.press("ArrowDown")
        artist.run_script("() => { window.ends.length = 0; window.rendered.length = 0; }")
        artist.page.keyboard.press("Enter")
        expect(card.get_by_role("menu")).to_be_hidden()
        expect(menu).to_be_focused()

    choose(1)
    assert panel.ended() == "success"
    assert artist.run_script("() => window.rendered") == ["story_studio/stills"]

    before = artist.run_script("async () => JSON.stringify((await window.app.graphToPrompt()).output)")
    choose(2)
    look = card.locator(".look")
    video = look.locator("video")
    expect(video).to_be_visible()
    expect(look).to_contain_text("a preview, not a take")
    expect(video).to_have_js_property("duration", 4)
    assert "first-seconds-of-Sailor." in (video.get_attribute("src") or "")
    assert before == artist.run_script(
        "async () => JSON.stringify((await window.app.graphToPrompt()).output)"
    )
    # It is not taken for the clip, by itself or as a take.
    expect(panel.states).to_have_text(["waiting"] * 3)
    expect(card.get_by_text("not rendered yet")).to_have_count(1)
    artist.screenshot("first-seconds")
    # Again, it is there at once; closing it leaves nothing on the card.
    choose(2)
    expect(video).to_be_visible()
    look.get_by_role("button", name="Close").click()
    expect(look).to_be_hidden()

    choose(0)
    expect(panel.states).to_have_text(["waiting", "done", "waiting"])
    assert panel.ended() == "success"
    assert artist.run_script("() => window.rendered") == ["story_studio/clips"]
