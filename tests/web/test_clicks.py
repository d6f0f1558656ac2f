"""How many clicks it takes: each press of the mouse and each drop counts, text that is typed does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.voices import write_voice
from tests.web.canvas import Canvas, newer_only
from tests.web.test_editing import drag
from tests.web.test_examples import TINY
from tests.web.test_panel import DONE, Panel

_COUNT = """() => {
    if (!window.pressed) window.addEventListener('pointerdown', event => {
        window.pressed.push(event.target.textContent.trim().slice(0, 30));
    }, true);
    window.pressed = [];
}"""
_PLACE = """([type, number]) => {
    const nodes = window.app.graph.nodes.filter(node => node.type === type)
        .sort((one, other) => one.pos[0] - other.pos[0]);
    const { pos, size } = nodes[number];
    const [x, y] = window.app.canvas.ds.convertOffsetToCanvas([pos[0] + size[0] / 2, pos[1] + 20]);
    const { left, top } = window.app.canvas.canvas.getBoundingClientRect();
    return [left + x, top + y];
}"""
_HAS = """([type, number, name]) => {
    const nodes = window.app.graph.nodes.filter(node => node.type === type)
        .sort((one, other) => one.pos[0] - other.pos[0]);
    return nodes[number].widgets.some(widget => String(widget.value).includes(name));
}"""


def drop(canvas: Canvas, path: Path, kind: str, number: int = 0) -> None:
    """Drops a file on a node of a class, counted from the left, and waits until it has it."""
    x, y = canvas.run_script(_PLACE, [kind, number])
    assert 60 < x < 1600 and 40 < y < 900, "the node is out of view"
    drop_at(canvas, path, x, y)
    canvas.page.wait_for_function(_HAS, arg=[kind, number, path.stem])


def drop_at(canvas: Canvas, path: Path, x: float, y: float) -> None:
    """Drops a file or folder at a place of the page."""
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = canvas.page.context.new_cdp_session(canvas.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})
    session.detach()
    canvas.run_script("name => window.pressed.push(`dropped ${name}`)", path.name)


def clicks(canvas: Canvas, most: int) -> None:
    """Checks that there were so many."""
    pressed = canvas.run_script("() => window.pressed")
    assert 0 < len(pressed) <= most, pressed


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """An image, and three recordings in a folder."""
    folder = tmp_path / "my recordings"
    folder.mkdir()
    found = {"image": tmp_path / "my face.png"}
    Image.effect_noise((64, 64), 80).convert("RGB").save(found["image"])
    for number in (1, 2, 3):
        found[f"voice {number}"] = write_voice(folder / f"{number} voice.wav", 0.4)
    return {**found, "folder": folder}


@newer_only
def test_a_talking_video_takes_five(artist: Canvas, files: dict[str, Path]) -> None:
    """With a recording of one's own. The face that comes along is exchanged with one drop more."""
    artist.run_script(_COUNT)
    artist.open_template("Talking video")
    drop(artist, files["voice 1"], "LoadAudio")
    artist.set_widgets(TINY)
    run = artist.press_run()
    assert run["status"] == "success", run["error"]
    clicks(artist, 5)
    drop(artist, files["image"], "LoadImage")
    clicks(artist, 6)


@newer_only
def test_a_film_takes_six_and_a_story_from_a_folder_three(artist: Canvas, files: dict[str, Path]) -> None:
    artist.run_script(_COUNT)
    artist.page.get_by_role("button", name=re.compile("^Story")).first.click()
    root = artist.page.get_by_role("region", name="Storyboard")
    drop_at(artist, files["folder"], 800, 450)
    expect(root.locator(".state")).to_have_count(3)
    clicks(artist, 2)
    for number in range(3):
        root.locator(".prompt").nth(number).click()
        artist.page.keyboard.press("Control+a")
        artist.page.keyboard.type(f"A portrait of speaker {number}")
        expect(root.locator(".prompt").nth(number)).to_have_text(f"A portrait of speaker {number}")
    artist.run_button().click()
    expect(root.get_by_role("button", name="Stop")).to_be_visible()
    clicks(artist, 6)
    artist.screenshot("running")


def test_a_take_a_place_and_a_scene_take_one_each(artist: Canvas) -> None:
    panel = Panel(artist)
    if panel.states.all_inner_texts() != DONE:
        panel.press("Film", DONE)
    artist.run_script(_COUNT)
    panel.start("New take of the clip of 2. Sailor")
    clicks(artist, 1)
    artist.run_script(_COUNT)
    handle = panel.root.get_by_role("button", name="Move 1. Keeper:")
    drag(artist, handle, panel.root.get_by_role("listitem").nth(1))
    expect(panel.root.locator(".name")).to_have_text(["1. Sailor", "2. Keeper", "3. Morning"])
    clicks(artist, 1)
    artist.run_script(_COUNT)
    panel.root.get_by_role("button", name="+ Add a scene", exact=True).click()
    expect(panel.root.get_by_role("textbox", name="Prompt")).to_be_focused()
    clicks(artist, 1)
