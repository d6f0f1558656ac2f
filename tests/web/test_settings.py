"""The whole story from the panel: how it begins, its settings, its draft, its characters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Locator, expect

from story_studio.story.recipes import FOLDER
from tests.voices import write_voice
from tests.web.canvas import Canvas, newer_only, older_only
from tests.web.test_story_files import drop, wait_for, write_story

UNDO = "async () => { await window.app.extensionManager.workflow.activeWorkflow.changeTracker.undo(); }"


def open_panel(canvas: Canvas) -> Locator:
    """The storyboard panel."""
    canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()
    return canvas.page.get_by_role("region", name="Storyboard")


def open_story(canvas: Canvas, folder: Path, seed: int, recipe: str = "") -> Locator:
    """The panel of a real story of two scenes, which may name a recipe of its own."""
    panel = open_panel(canvas)
    path = write_story(folder / "a story", "turbo", seed)
    if recipe:
        (path.parent / recipe).write_text(shifted_recipe())
        path.write_text(
            path.read_text().replace("image_settings: {", f"image_settings: {{workflow: {recipe}, ")
        )
    drop(canvas, path.parent)
    wait_for(canvas, "The harbour")
    expect(panel.locator(":scope > ol > li")).to_have_count(2)
    return panel


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[str, str, Any]]:
    """The values that differ in two graphs with the same nodes, with their classes and inputs."""
    assert before.keys() == after.keys()
    return {
        (node["class_type"], name, value)
        for key, node in after.items()
        for name, value in node["inputs"].items()
        if value != before[key]["inputs"].get(name)
    }


def shifted_recipe() -> str:
    """A recipe for stills that no profile has."""
    nodes = json.loads((FOLDER / "z_image_turbo_still.json").read_text())
    next(node for node in nodes.values() if "shift" in node["inputs"])["inputs"]["shift"] = 5.0
    return json.dumps(nodes)


def apply(section: Locator) -> None:
    section.get_by_role("button", name="Apply").click()
    expect(section.get_by_text("Applied. Ctrl+Z undoes it.")).to_be_visible()


def test_settings_draft_and_real_are_one_step_each(artist: Canvas, tmp_path: Path) -> None:
    """Of a story with a recipe of its own, which stays with it."""
    panel = open_story(artist, tmp_path, 410, "mine.json")
    before = artist.api_graph()
    nodes = artist.node_ids()
    section = panel.locator("details.settings")
    section.get_by_text("Settings of the story").press("Enter")
    expect(section.get_by_label("Profile")).to_have_value("turbo")
    expect(section.get_by_label("Size of the clips")).to_have_value("64x64")
    expect(section.get_by_label("Style of all scenes")).to_have_value("thin ink, fog (dense).")
    section.get_by_label("Steps of clips").fill("2")
    section.get_by_label("Style of all scenes").fill("oil paint")
    section.get_by_role("button", name="Add a LoRA").click()
    section.get_by_label("LoRA", exact=True).fill("../outside.safetensors")
    section.get_by_role("button", name="Apply").click()
    expect(section.get_by_role("alert")).to_contain_text("Nothing was changed.")
    expect(section.get_by_role("alert")).to_contain_text("is outside models/loras")
    assert artist.api_graph() == before
    section.get_by_role("button", name="Remove this LoRA").click()
    apply(section)
    artist.screenshot("settings")
    changed = artist.api_graph()
    assert differences(before, changed) == {
        ("PrimitiveInt", "value", 2),
        ("PrimitiveStringMultiline", "value", "oil paint"),
    }
    assert artist.node_ids() == nodes
    with artist.page.expect_download() as download:
        panel.get_by_role("button", name="Save").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert (saved["image_settings"]["workflow"], saved["style"]) == ("mine.json", "oil paint")
    mode = panel.get_by_role("group", name="Draft or real")
    mode.get_by_role("button", name="Draft").click()
    expect(mode.get_by_role("button", name="Draft")).to_have_attribute("aria-pressed", "true")
    expect(section.get_by_label("Profile")).to_have_value("draft")
    draft = artist.api_graph()
    assert "StoryStudio_TalkingVideo" not in {node["class_type"] for node in draft.values()}
    mode.get_by_role("button", name="Real").click()
    expect(mode.get_by_role("button", name="Real")).to_have_attribute("aria-pressed", "true")
    # The profile that it had, with its settings: the same graph has the same results.
    assert artist.api_graph() == changed
    for expected in (draft, changed, before):
        artist.run_script(UNDO)
        assert artist.api_graph() == expected


ADD_FOREIGN_NODE = """() => {
    const { subgraph } = window.app.graph.nodes.find(node => node.subgraph);
    const foreign = LiteGraph.createNode('ImageInvert');
    subgraph.add(foreign);
    const still = subgraph.nodes.find(node => node.type === 'StoryStudio_Still');
    const slot = still.inputs.findIndex(input => input.name === 'image');
    const link = subgraph.getLink(still.inputs[slot].link);
    subgraph.getNodeById(link.origin_id).connect(link.origin_slot, foreign, 0);
    foreign.connect(0, still, slot);
}"""


def test_settings_leave_an_artist_s_graph_as_it_is(artist: Canvas) -> None:
    """An example with a node that no story has: nothing is asked, and only values change, in boxes too."""
    panel = open_panel(artist)
    artist.open_template("Story")
    expect(panel.locator(":scope > ol > li")).to_have_count(3)
    artist.run_script(ADD_FOREIGN_NODE)
    before = artist.api_graph()
    section = panel.locator("details.settings")
    section.get_by_text("Settings of the story").press("Enter")
    section.get_by_label("Aspect ratio of the clips").select_option("9:16")
    section.get_by_label("Steps of clips").fill("7")
    section.get_by_label("Negative prompt of clips").fill("noise (loud)")
    apply(section)
    artist.screenshot("settings_of_an_example")
    assert differences(before, artist.api_graph()) == {
        *{("EmptySD3LatentImage", side, size) for side, size in (("width", 448), ("height", 832))},
        *{("StoryStudio_TalkingVideo", side, size) for side, size in (("width", 480), ("height", 832))},
        ("StoryStudio_TalkingVideo", "steps", 7),
        ("CLIPTextEncode", "text", r"noise \(loud\)"),
    }
    expect(section.get_by_label("Size of the clips")).to_have_value("480p")
    section.get_by_label("Seed of the story").fill("9")
    section.get_by_role("button", name="Apply").click()
    expect(section.get_by_role("alert")).to_contain_text("Each scene has a seed of its own")
    artist.run_script(UNDO)
    assert artist.api_graph() == before


@newer_only
def test_a_size_of_its_own_has_no_shape(artist: Canvas, tmp_path: Path) -> None:
    panel = open_story(artist, tmp_path, 420)
    section = panel.locator("details.settings")
    section.get_by_text("Settings of the story").click()
    expect(section.get_by_label("Aspect ratio of the clips")).to_have_value("")
    section.get_by_label("Aspect ratio of the clips").select_option("9:16")
    apply(section)
    expect(section.get_by_label("Size of the clips")).to_have_value("480p")
    section.get_by_label("Size of the clips").fill("96x64")
    apply(section)
    expect(section.get_by_label("Aspect ratio of the clips")).to_have_value("")


@older_only
def test_characters_are_added_and_mentioned(artist: Canvas, tmp_path: Path) -> None:
    panel = open_story(artist, tmp_path, 430)
    before = artist.api_graph()
    section = panel.locator("details.characters")
    section.get_by_text("Characters", exact=True).press("Enter")
    section.get_by_role("button", name="Add a character").click()
    section.get_by_label("Name").fill("Old Mara")
    section.get_by_label("Description").fill("a sailor with red hair")
    image = tmp_path / "mara.png"
    Image.new("RGB", (64, 64), "red").save(image)
    section.locator("input[type=file]").set_input_files(image)
    expect(section.get_by_role("img", name="Reference image")).to_be_visible()
    expect(section.locator("code")).to_have_text("{old_mara}")
    apply(section)
    artist.screenshot("characters")
    artist.set_widgets([("The pier", "prompt", "{old_mara} waits")])
    expect(section.get_by_text("These scenes mention characters by name only: The pier.")).to_be_visible()
    section.get_by_role("button", name="Put the descriptions in").click()
    expect(section.get_by_role("button", name="Put the descriptions in")).to_be_hidden()
    prompts = [
        node["inputs"]["prompt"]
        for node in artist.api_graph().values()
        if node["class_type"] == "StoryStudio_ScenePrompt"
    ]
    assert "a sailor with red hair waits" in prompts
    section.get_by_label("Description").fill("a sailor with grey hair")
    apply(section)
    prompts = [node["inputs"].get("prompt") for node in artist.api_graph().values()]
    assert "a sailor with grey hair waits" in prompts
    # ComfyUI may have made a step of the sizes of nodes, once their previews were drawn.
    for _ in range(6):
        artist.run_script(UNDO)
        if artist.api_graph() == before:
            break
    assert artist.api_graph() == before


@newer_only
def test_a_story_begins_in_the_panel(artist: Canvas, tmp_path: Path) -> None:
    panel = open_panel(artist)
    folder = tmp_path / "my voices"
    folder.mkdir()
    for name in ("10 end.wav", "2 begin.wav"):
        write_voice(folder / name, 0.3)
    (folder / "10 end.txt").write_text("The end.")
    begin = panel.get_by_role("region", name="Begin a story")
    with artist.page.expect_file_chooser() as chooser:
        begin.get_by_role("button", name="A folder of recordings").click()
    chooser.value.set_files(folder)
    wait_for(artist, "my-voices")
    expect(panel.locator(":scope > ol > li")).to_have_count(2)
    expect(begin).to_be_hidden()
    # The same is behind Open, with the keyboard.
    panel.get_by_role("button", name="Open…").press("Enter")
    panel.get_by_role("menuitem", name="A folder of recordings").press("ArrowUp")
    artist.page.keyboard.press("Enter")
    dialog = artist.page.get_by_role("dialog", name="Which example?")
    expect(dialog.get_by_role("button", name=re.compile(": "))).to_have_count(5)
    dialog.get_by_role("button", name=re.compile("^Draft: ")).click()
    artist.page.wait_for_function(
        "() => window.app.extensionManager.workflow.activeWorkflow.filename === 'Draft'"
    )
    expect(panel.locator(":scope > ol > li")).to_have_count(3)
    with artist.page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="Open…").click()
        panel.get_by_role("menuitem", name="A script").click()
    script = tmp_path / "a walk.md"
    script.write_text("# A walk\n\n## Out\n\nMARA: Come.\n")
    chooser.value.set_files(script)
    wait_for(artist, "A walk")
    expect(panel.locator(":scope > ol > li")).to_have_count(1)
