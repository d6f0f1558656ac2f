"""Story files on the canvas: dropped or chosen, they become the driver's graph; saved, a story again."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from driver.comfy.client import Comfy
from driver.paths import ROOT
from driver.rendering import keys
from driver.rendering.prepare import RenderPlan, prepare
from story_studio.story import graph, schema
from story_studio.story.recipes import FOLDER
from tests.studio import Studio
from tests.voices import write_voice
from tests.web.canvas import Canvas, held

OPENED = "name => window.app.extensionManager.workflow.activeWorkflow.filename === name"
STORY = """
project_id: harbour
title: The harbour
profile: {profile}
style: thin ink, fog (dense).
seed: {seed}
video_settings: {{resolution: 64x64, sample_steps: 1}}
scenes:
  - id: pier
    title: The pier
    prompt: A pier (old), at dawn.
    audio: voices/pier.wav
    text: Good morning.
  - {{id: boat, image: boat.png, audio: boat.wav, video_prompt: "She (softly) sings"}}
"""
IMAGE_SETTINGS = "image_settings: {steps: 1}\n"


def write_story(folder: Path, profile: str, seed: int) -> Path:
    """A story of two scenes, one with its own image, and its files."""
    (folder / "voices").mkdir(parents=True)
    write_voice(folder / "voices" / "pier.wav", 0.3)
    write_voice(folder / "boat.wav", 0.4)
    Image.effect_noise((64, 64), 60 + seed % 10).convert("RGB").save(folder / "boat.png")
    text = STORY.format(profile=profile, seed=seed) + ("" if profile == "draft" else IMAGE_SETTINGS)
    (folder / "harbour.yaml").write_text(text)
    return folder / "harbour.yaml"


def drop(canvas: Canvas, *paths: Path) -> None:
    """Drops files or folders in the middle of the canvas, as a user would."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = canvas.page.context.new_cdp_session(canvas.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 800, "y": 450, "data": data})
    session.detach()


def wait_for(canvas: Canvas, title: str) -> None:
    """Waits until a workflow of this name is open and complete."""
    canvas.page.wait_for_function(OPENED, arg=title)
    canvas.page.wait_for_function("() => window.app.graph.groups.length > 0")


def planned(path: Path, profile: str = "") -> RenderPlan:
    """The plan that the driver makes of a story file."""
    with tempfile.TemporaryDirectory() as folder:
        (plan,) = prepare([path], profile or None, Path(folder))
    return plan


def driver_graph(path: Path) -> tuple[graph.Graph, dict[str, str]]:
    """What the driver submits for a story, and the key of each still and clip."""
    plan = planned(path)
    built = graph.build([plan])
    return built, keys.predict(built, plan.contents)


@pytest.mark.parametrize(
    ("page", "profile"), [("canvas", "draft"), ("canvas", "turbo"), ("newer_canvas", "draft")]
)
def test_a_dropped_folder_becomes_what_the_driver_submits(
    request: pytest.FixtureRequest, tmp_path: Path, page: str, profile: str
) -> None:
    canvas: Canvas = request.getfixturevalue(page)
    path = write_story(tmp_path / "a story", profile, 100)
    expected, known = driver_graph(path)
    with held(canvas.page, "**/story_studio/graph"):
        drop(canvas, path.parent)
        waiting = canvas.page.get_by_role("status").filter(has_text="Opening harbour.yaml…")
        expect(waiting.get_by_role("progressbar")).to_be_visible()
        canvas.screenshot("waiting")
    wait_for(canvas, "The harbour")
    expect(waiting).to_have_count(0)
    canvas.screenshot("dropped")
    before = canvas.api_graph()
    assert_nothing_overlaps(canvas)
    boxes = "() => window.app.graph.nodes.filter(node => node.subgraph).map(node => node.title)"
    assert canvas.run_script(boxes) == ["Models and settings", "The pier", "boat"]
    assert canvas.run_script("() => window.app.canvas.ds.scale") >= 0.65
    run = canvas.press_run()
    assert (run["status"], run["error"]) == ("success", None)
    canvas.screenshot("run")
    assert_nothing_overlaps(canvas)
    # The driver would reuse these results, and vice versa.
    assert results_of(run, before) == results_named(expected, known)
    assert any(before[node]["class_type"] == "StoryStudio_Film" for node in run["outputs"])
    after = canvas.api_graph()
    for node in after.values():
        node["inputs"].pop("video-preview", None)
    assert after == before


def results_of(run: dict[str, Any], nodes: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The keys of the stills and clips of a run, by their classes and names."""
    return {
        (cls, nodes[node]["inputs"]["name"]): output["images"][0]["filename"].split(".")[-2]
        for node, output in run["outputs"].items()
        if (cls := nodes[node]["class_type"]) in ("StoryStudio_Still", "StoryStudio_Clip")
    }


def results_named(expected: graph.Graph, known: dict[str, str]) -> dict[tuple[str, str], str]:
    """The keys that the driver expects, by classes and names."""
    nodes = expected.nodes
    return {(nodes[node]["class_type"], nodes[node]["inputs"]["name"]): key for node, key in known.items()}


def test_a_dropped_script_or_folder_of_recordings_becomes_a_graph(canvas: Canvas, tmp_path: Path) -> None:
    drop(canvas, ROOT / "workflows" / "examples" / "the-clockmaker.txt")
    wait_for(canvas, "The Clockmaker")
    expect(canvas.page.get_by_text("Prompts are left to write, marked FILL IN")).to_be_visible()
    canvas.screenshot("script")
    classes = [node["class_type"] for node in canvas.api_graph().values()]
    assert (classes.count("StoryStudio_Still"), classes.count("StoryStudio_FilmScene")) == (3, 3)
    folder = tmp_path / "my voices"
    folder.mkdir()
    for name in ("10 end.wav", "2 begin.wav"):
        write_voice(folder / name, 0.3)
    (folder / "10 end.txt").write_text("The end.")
    drop(canvas, folder)
    wait_for(canvas, "my-voices")
    scenes = [
        node["inputs"]
        for node in canvas.api_graph().values()
        if node["class_type"] == "StoryStudio_FilmScene"
    ]
    assert [(scene["title"], scene.get("text", "")) for scene in scenes] == [
        ("begin", ""),
        ("end", "The end."),
    ]


def assert_nothing_overlaps(canvas: Canvas) -> None:
    nodes = canvas.run_script("() => window.app.graph.nodes.map(n => [n.title, ...n.pos, ...n.size])")
    for number, (title, x, y, width, height) in enumerate(nodes):
        for other, x2, y2, width2, height2 in nodes[number + 1 :]:
            apart = x + width <= x2 or x2 + width2 <= x or y + height <= y2 - 30 or y2 + height2 <= y - 30
            assert apart, f"{title} and {other} overlap"


def test_a_story_is_chosen_in_the_panel_and_saved_again(canvas: Canvas, tmp_path: Path) -> None:
    path = write_story(tmp_path / "a story", "turbo", 200)
    _, known = driver_graph(path)
    canvas.page.get_by_role("button", name=re.compile("^Story")).first.click()
    panel = canvas.page.get_by_role("region", name="Storyboard")
    chooser = panel.get_by_role("group", name="Story file").locator("input[type=file]")
    files = [path, path.parent / "voices" / "pier.wav", path.parent / "boat.png"]
    chooser.set_input_files(files)
    wait_for(canvas, "The harbour")
    expect(canvas.page.get_by_text("open the story again together with them: boat.wav.")).to_be_visible()
    canvas.screenshot("a_recording_is_missing")
    chooser.set_input_files([*files, path.parent / "boat.wav"])
    expect(panel.locator(":scope > ol > li")).to_have_count(2)
    canvas.page.wait_for_function(
        """() => window.app.graph.nodes.filter(node => node.type === 'LoadAudio').every(
            node => node.widgets.find(widget => widget.name === 'audio').value.startsWith('story_studio/'))"""
    )
    with canvas.page.expect_download() as download:
        panel.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename == "harbour.json"
    saved = tmp_path / "input" / "harbour.json"
    download.value.save_as(saved)
    canvas.screenshot("saved")
    names = [scene["audio"] for scene in json.loads(saved.read_text())["scenes"]]
    assert all(name.startswith("story_studio/") for name in names)
    # Next to its recordings, it is the same story again.
    shutil.copytree(Path(studio_input(canvas)) / "story_studio", saved.parent / "story_studio")
    assert driver_graph(saved)[1] == known
    saved_story = schema.load(saved)
    assert (saved_story.title, saved_story.style, saved_story.profile) == (
        "The harbour",
        "thin ink, fog (dense).",
        "turbo",
    )
    assert [(scene.id, scene.title, scene.text) for scene in saved_story.scenes] == [
        *(("pier", "The pier", "Good morning."), ("boat", "", ""))
    ]


def test_a_story_is_changed_in_its_tab_in_one_undo_step(artist: Canvas, tmp_path: Path) -> None:
    """From a real story to a draft and back, with the prompt that was changed in between."""
    path = write_story(tmp_path / "a story", "turbo", 210)
    artist.run_script("() => { window.tabs = window.app.extensionManager.workflow.openWorkflows.length; }")
    for title in ("The harbour", "THE HARBOUR (2)"):
        # A saved or open workflow of the same title stays, also where a file's name has no case.
        written = title.removesuffix(" (2)")
        path.write_text(path.read_text().replace("The harbour", written))
        drop(artist, path.parent)
        wait_for(artist, title)
        if title == "The harbour":
            artist.save("The harbour")
    tabs = "() => window.app.extensionManager.workflow.openWorkflows.length - window.tabs"
    assert artist.run_script(tabs) == 2
    before = artist.api_graph()
    assert artist.run_script(REBUILD, "data.profile = 'draft'") == []
    draft = artist.api_graph()
    assert "StoryStudio_TitleCard" in {node["class_type"] for node in draft.values()}
    assert not {"KSampler", "StoryStudio_TalkingVideo"} & {node["class_type"] for node in draft.values()}
    artist.set_widgets([("The pier", "prompt", "A pier (new)")])
    edited = artist.api_graph()
    artist.run_script(REBUILD, "data.profile = 'turbo'")
    artist.screenshot("real_again")
    after = artist.api_graph()
    changed = {
        (node["class_type"], name)
        for key, node in after.items()
        for name, value in node["inputs"].items()
        if value != before[key]["inputs"][name]
    }
    # Style, steps and movement are as they were.
    assert changed == {("StoryStudio_ScenePrompt", "prompt"), ("StoryStudio_Storyboard", "prompt")}
    assert artist.run_script(tabs) == 2
    assert artist.repeated_ids() == []
    undo = "async () => { await window.app.extensionManager.workflow.activeWorkflow.changeTracker.undo(); }"
    for expected in (edited, draft, before):
        artist.run_script(undo)
        assert artist.api_graph() == expected


REBUILD = """async change => {
    const { rebuild } = await import('/extensions/story_studio/story/rebuild.mjs');
    const { createStudio } = await import('/extensions/story_studio/state/studio.mjs');
    const studio = createStudio(window.app);
    studio.listen(() => {});
    return await rebuild(studio, new Function('data', change));
}"""


def test_a_page_without_hashing_opens_a_story_too(canvas: Canvas, tmp_path: Path) -> None:
    """Like a page of another machine, over plain HTTP."""
    path = write_story(tmp_path / "a story", "draft", 250)
    canvas.run_script("() => Object.defineProperty(crypto, 'subtle', { value: undefined })")
    assert uploaded_names(canvas, path.parent)["boat.wav"] == "story_studio/boat.wav"
    assert uploaded_names(canvas, path.parent)["boat.wav"] == "story_studio/boat.wav", (
        "it is the same recording"
    )
    write_voice(path.parent / "boat.wav", 0.5)
    names = uploaded_names(canvas, path.parent)
    assert names["boat.wav"] == "story_studio/boat (1).wav"
    assert names["voices/pier.wav"] == "story_studio/pier.wav"
    canvas.page.wait_for_function("() => window.app.graph.groups.length > 0")


def uploaded_names(canvas: Canvas, folder: Path) -> dict[str, str]:
    """Drops a story's folder; returns the server's names of its files, by their paths in the folder."""
    with canvas.page.expect_response("**/story_studio/graph") as response:
        drop(canvas, folder)
    return json.loads(response.value.request.post_data or "")["files"]


def studio_input(canvas: Canvas) -> str:
    """The input folder of the page's server."""
    flags = canvas.run_script("async () => (await window.app.api.getSystemStats()).system.argv")
    return str(Path(flags[flags.index("--base-directory") + 1]) / "input")


def test_all_problems_of_a_story_are_shown_and_the_canvas_is_kept(canvas: Canvas, tmp_path: Path) -> None:
    before = canvas.api_graph()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("profil: draft\nscenes:\n  - {id: a, prompt: x}\n")
    drop(canvas, wrong)
    toast = canvas.page.get_by_role("alert").filter(has_text="Story Studio")
    expect(toast).to_contain_text("profil (line 1): unknown key, did you mean 'profile'?")
    expect(toast).to_contain_text("scenes[0] (line 3): needs a voice: `audio` (a recording) or `text`")
    canvas.screenshot("said")
    assert canvas.api_graph() == before


def test_other_files_are_left_to_comfyui(canvas: Canvas, tmp_path: Path) -> None:
    workflow = tmp_path / "plain.json"
    workflow.write_text((FOLDER / "animatic_clip.json").read_text())
    drop(canvas, workflow)
    canvas.page.wait_for_function(OPENED, arg="plain")
    assert {node["class_type"] for node in canvas.api_graph().values()} >= {"StoryStudio_Animatic"}


@pytest.mark.parametrize("page", ["canvas", "newer_canvas"])
def test_a_dropped_still_or_clip_opens_its_graph(
    request: pytest.FixtureRequest, studio: Studio, tmp_path: Path, page: str
) -> None:
    """The driver's files hold the API graph only, without the interface's workflow."""
    canvas: Canvas = request.getfixturevalue(page)
    path = write_story(tmp_path / "a story", "draft", 300)
    planned(path).upload(Comfy(canvas.url))
    assert studio.render(path, studio.server.output) == 0
    folder = studio.server.output / "harbour"
    for name, last in (("boat_img.png", "StoryStudio_Still"), ("boat_video.mp4", "StoryStudio_Clip")):
        file = next(folder.rglob(name))
        canvas.run_script("() => { window.app.graph.clear() }")
        drop(canvas, file)
        canvas.page.wait_for_function("() => window.app.graph.nodes.length > 1")
        opened = canvas.api_graph()
        assert [node["class_type"] for node in opened.values()].count(last) == 1
        assert {"LoadImage"} <= {node["class_type"] for node in opened.values()}
        canvas.screenshot(file.name)
