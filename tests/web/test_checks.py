"""What the storyboard panel and the canvas show of the checks of clips."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, expect

from driver.comfy.client import Comfy
from story_studio.media.clip_writer import ClipWriter
from tests.web.canvas import Canvas

_MARKS = """() => window.app.graph.nodes.filter(node => node.type === 'StoryStudio_Clip')
    .flatMap(node => node.widgets.filter(widget => widget.name === 'story_studio_check'))
    .map(widget => widget.element.textContent).sort()"""
_MADE_AGAIN = """async () => {
    const history = await (await window.app.api.fetchApi('/history?max_items=1')).json();
    const [check] = window.app.graph.nodes.filter(node => node.type === 'StoryStudio_CheckClip').slice(-1);
    const output = { check: [{ kept: 'a', verdict: 'fail', findings: [{ text: 'it shakes' }] }] };
    const [prompt_id] = Object.keys(history);
    const detail = { node: String(check.id), display_node: String(check.id), output, prompt_id };
    window.app.api.dispatchEvent(new CustomEvent('executed', { detail }));
}"""
"""What the server sends while Check Clip waits for a retake, as of the prompt that ran last."""
_CONTRAST = """element => {
    const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
        .map(value => value / 255)
        .map(value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4)
        .reduce((sum, value, index) => sum + value * [.2126, .7152, .0722][index], 0);
    const { color, backgroundColor } = getComputedStyle(element);
    const [dark, bright] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
    return (bright + .05) / (dark + .05);
}"""
"""WCAG's contrast of an element's text."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A clip that stands still for more than a second, and one that moves."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("checked")
    ground = rng.integers(40, 200, (96, 128, 3), np.uint8)
    paths = [folder / "checked_frozen.mp4", folder / "checked_moving.mp4"]
    for path, stop in zip(paths, (8, 99), strict=True):
        with ClipWriter(path, 128, 96, np.zeros((0, 0), np.float32), 48_000, 16) as writer:
            for number in range(32):
                frame, left = ground.copy(), 4 + 2 * min(number, stop)
                frame[30:60, left : left + 30] = 255
                writer.write(frame[None])
    return paths


def open_checked(canvas: Canvas, clips: list[Path], name: str) -> Locator:
    """A scene for each clip, all with one name and their checks, and the open panel."""
    nodes: dict[str, Any] = {}
    for number, path in enumerate(clips):
        Comfy(canvas.url).upload(path, path.name, "")
        load, clip, check = (str(3 * number + place) for place in (1, 2, 3))
        nodes[load] = {"class_type": "LoadVideo", "inputs": {"file": path.name}}
        nodes[clip] = {"class_type": "StoryStudio_Clip", "inputs": {"video": [load, 0], "name": name}}
        inputs = {"clip": [clip, 0], "name": name, "talking": False}
        nodes[check] = {"class_type": "StoryStudio_CheckClip", "inputs": inputs}
    canvas.run_script("([nodes, name]) => window.app.loadApiJson(nodes, name)", [nodes, name])
    canvas.page.get_by_role("button", name=re.compile("^(Story|分镜板)")).first.click()
    panel = canvas.page.get_by_role("region", name=re.compile("Storyboard|分镜板"))
    expect(panel.locator(".state")).to_have_count(len(clips))
    expect(panel.locator(".verdict:visible")).to_have_count(0)
    return panel


def test_a_check_is_shown_on_card_node_and_takes(canvas: Canvas, clips: list[Path]) -> None:
    panel = open_checked(canvas, clips, "checked classic")
    panel.get_by_role("button", name="Clips", exact=True).click()
    badges = panel.locator(".head .verdict")
    expect(badges).to_have_text(["✗ fail", "✓ pass"])
    expect(panel.locator(".finding").first).to_contain_text("the image stands still for 1.")
    passed, failed = canvas.run_script(_MARKS)
    assert passed == "✓ pass" and failed.startswith("✗ fail · the image stands still for 1.")
    # What is shown is not part of the workflow.
    saved = canvas.run_script("() => JSON.stringify(window.app.graph.serialize())")
    assert "StoryStudio_Clip" in saved and "✗" not in saved and "story_studio_check" not in saved
    assert "story_studio_check" not in json.dumps(canvas.api_graph())
    panel.get_by_role("button", name="Takes 2").first.click()
    takes = panel.get_by_role("group", name="Takes of the clip of 1.").locator(".take")
    expect(takes).to_have_count(2)
    frozen = takes.filter(has_text="fail")
    expect(frozen.locator(".figures")).to_contain_text("frozen: 1.")
    canvas.screenshot("takes")
    frozen.locator(".verdict").click()
    sheet = canvas.page.get_by_role("dialog", name="The worst moments of the clip").get_by_role("img")
    expect(sheet).to_have_attribute("src", re.compile("checked-classic.*checks"))
    canvas.page.wait_for_function("() => document.querySelector('dialog.sheet img').naturalWidth > 300")
    canvas.screenshot("sheet")
    canvas.page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    # A clip that is made again is marked while it is, also while the panel is closed.
    canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()
    expect(panel).to_have_count(0)
    canvas.run_script(_MADE_AGAIN)
    assert "✗ fail · it shakes" in canvas.run_script(_MARKS)


def test_checks_in_chinese_with_nodes_2_and_the_light_theme(newer_canvas: Canvas, clips: list[Path]) -> None:
    before = {"Comfy.VueNodes.Enabled": False, "Comfy.ColorPalette": "dark", "Comfy.Locale": "en"}
    newer_canvas.change_settings(
        {"Comfy.VueNodes.Enabled": True, "Comfy.ColorPalette": "light", "Comfy.Locale": "zh"}
    )
    try:
        newer_canvas.open()
        panel = open_checked(newer_canvas, clips, "checked newer")
        panel.get_by_role("button", name="片段", exact=True).click()
        expect(panel.locator(".head .verdict")).to_have_text(["✗ 不合格", "✓ 合格"])
        expect(panel.locator(".finding").first).to_contain_text("画面静止 1.")
        expect(newer_canvas.page.get_by_text(re.compile("^✗ 不合格 · 画面静止 1"))).to_be_visible()
        newer_canvas.screenshot("light")
        marks = newer_canvas.page.get_by_text(re.compile("^[✗✓] (不)?合格"))
        for shown in marks.all():
            assert shown.evaluate(_CONTRAST) >= 4.5
    finally:
        newer_canvas.change_settings(before)
