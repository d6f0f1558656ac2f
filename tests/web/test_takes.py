"""Takes in the storyboard panel: chosen until the graph changes, compared side by side, never mixed up."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from driver.comfy.process import PACK
from tests.web.canvas import Canvas, held, newer_only, older_only
from tests.web.test_panel import CLIPS, DONE, SEEDS, STILLS, Panel, scene_results
from workflows.canvas import read_workflow

_SET_TAKE = """take => {
    const box = window.app.rootGraph.nodes.find(node => node.widgets?.[0]?.value === 'Sailor');
    const still = box.subgraph.nodes.find(node => node.type === 'StoryStudio_Still');
    still.widgets.find(widget => widget.name === 'take').value = take;
    window.app.api.dispatchCustomEvent('graphChanged', window.app.rootGraph.serialize());
}"""


@older_only
def test_a_chosen_take_lets_go_when_the_prompt_changes(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    panel.press("Film", DONE)
    before = panel.shown("still")[1]
    panel.press("New take of the still of 2. Sailor", ["done", "waiting", "done"])
    choose_while_it_is_read_again(panel, before)
    card = panel.root.get_by_role("listitem").nth(1)
    note = card.get_by_role("status")
    expect(note).to_contain_text("is used instead of what the graph says")
    expect(note).to_contain_text(f"Its seed: {panel.seed}.")
    expect(panel.states).to_have_text(DONE)
    # With the seed of the take the graph itself makes it: nothing to say.
    seed = artist.api_graph()["5:201"]["inputs"]["seed"]
    artist.set_node("5", {"seed": panel.seed})
    expect(note).to_be_hidden()
    artist.set_node("5", {"seed": seed})
    artist.run_script("() => { window.app.rootGraph.getNodeById(5).title = 'Draft scene'; }")
    expect(note).to_contain_text("is used instead of what the graph says")
    artist.set_widgets([("Draft scene", "prompt", "A boat in a calm bay")])
    expect(note).to_contain_text("is no longer used")
    expect(card.locator(".state")).to_have_text("waiting")
    artist.screenshot("let-go")
    card.get_by_role("button", name="Use the chosen take of the still of 2. Sailor again").click()
    expect(note).to_contain_text("Its prompt: Chest-up portrait of a bearded fisherman")
    artist.set_widgets([("Draft scene", "prompt", "A boat in a storm")])
    expect(note).to_contain_text("is no longer used")
    assert scene_results(panel.press("Stills", ["waiting"] * 3)) == [STILLS] * 3, "the prompt is rendered"
    # It had no effect any more, and queueing has emptied it.
    expect(note).to_be_hidden()
    assert all(not node["inputs"].get("take") for node in artist.api_graph().values())


def choose_while_it_is_read_again(panel: Panel, address: str) -> None:
    """Chooses a take of the second still; before the answer to that, the panel has read the story again."""
    page, url = panel.canvas.page, "**/story_studio/takes"
    chosen = panel.take("still", "2. Sailor", address)
    with held(page, url, 1):
        with page.expect_request(url):
            chosen.click()
        with page.expect_response(url):
            panel.canvas.run_script("() => { window.app.api.dispatchCustomEvent('graphChanged', {}); }")
    expect(chosen).to_have_attribute("aria-pressed", "true")


@newer_only
def test_a_take_that_holds_whatever_changes_is_not_plainly_done(artist: Canvas) -> None:
    panel = Panel(artist)
    panel.press("Film", DONE)
    name = panel.shown("still")[0]
    key = name.partition(".png")[0].rpartition(".")[2]
    artist.run_script(_SET_TAKE, key)
    card = panel.root.get_by_role("listitem").nth(1)
    expect(card.get_by_role("status")).to_contain_text("have no effect on it")
    panel.press("Clips", ["done", "pinned", "done"])
    artist.screenshot("pinned")
    card.get_by_role("button", name="Let go of the chosen take of the still of 2. Sailor").click()
    expect(panel.states).to_have_text(DONE)
    artist.run_script(_SET_TAKE, "0" * 24)
    expect(card.get_by_role("status")).to_contain_text("is gone")


@newer_only
def test_takes_side_by_side(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    panel.press("Stills", ["waiting"] * 3)
    artist.set_widgets([("Draft scene", "prompt", "Chest-up portrait of a young fisherman")])
    panel.press("Stills", ["waiting"] * 3)
    older = panel.root.get_by_role("listitem").nth(1).locator(".takes img").last
    panel.open_takes("still", "2. Sailor")
    old = older.get_attribute("src")
    panel.root.get_by_role("button", name="Compare the takes of the still of 2. Sailor").click()
    dialog = panel.root.get_by_role("dialog", name="Takes of the still of 2. Sailor")
    takes = dialog.get_by_role("listitem")
    expect(takes).to_have_count(2)
    expect(takes.nth(0).locator("mark")).to_have_count(0)
    assert "bearded" in takes.nth(1).locator("mark").all_inner_texts()
    assert "fisherman" not in takes.nth(1).locator("mark").all_inner_texts()
    expect(takes.nth(1)).to_contain_text(str(panel.seed))
    artist.screenshot("side-by-side")
    artist.page.keyboard.press("ArrowRight")
    artist.page.keyboard.press("Enter")
    expect(takes.nth(1).locator(".use")).to_have_attribute("aria-pressed", "true")
    expect(takes.nth(1).locator(".use")).to_be_focused()
    artist.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert panel.shown("still")[1].endswith(old or "-")


def with_one_seed(story: dict[str, Any]) -> dict[str, Any]:
    """The example as earlier versions had it: one seed for the still and the clip of a box."""
    for box in story["definitions"]["subgraphs"]:
        names = [entry["name"] for entry in box["inputs"]]
        own = names.index("clip_seed")
        moved = next(link for link in box["links"] if link["origin_id"] == -10 and link["origin_slot"] == own)
        moved["origin_slot"] = names.index("seed")
        box["inputs"][names.index("seed")]["linkIds"].append(moved["id"])
        del box["inputs"][own]
        for node in story["nodes"]:
            if node["type"] == box["id"]:
                node["inputs"].pop()
                node["widgets_values"].pop()
    return story


def made_from(canvas: Canvas) -> dict[str, tuple[Any, Any]]:
    """The seed and the take of each node."""
    nodes = canvas.api_graph()
    return {name: (node["inputs"].get("seed"), node["inputs"].get("take")) for name, node in nodes.items()}


@newer_only
def test_a_shared_seed_is_asked_about(artist: Canvas) -> None:
    panel = Panel(artist)
    artist.load(with_one_seed(read_workflow(PACK / "example_workflows" / "Draft.json")))
    small = [("Draft scene", side, 128) for side in ("width", "height")]
    artist.set_widgets([*small, ("EmptyAudio", "duration", 0.3), ("Draft scene", "seed", panel.seed)])
    panel.press("Film", DONE)
    before = made_from(artist)
    still, clip = panel.shown("still")[2], panel.shown("clip")[2]
    answer_about_seed(panel, "Cancel")
    assert made_from(artist) == before
    # A question that goes away with the panel is answered as well: what is asked for next is done.
    panel.start("New take of the clip of 3. Morning", end=False)
    expect(panel.root.get_by_role("dialog")).to_be_visible()
    artist.run_script("() => window.app.extensionManager.sidebarTab.toggleSidebarTab('story-studio')")
    expect(panel.root).to_have_count(0)
    panel.open()
    answer_about_seed(panel, "Keep the still")
    assert rendered(panel) == [CLIPS]
    assert panel.shown("still")[2] == still and panel.shown("clip")[2] != clip
    note = panel.root.get_by_role("listitem").nth(2).get_by_role("status")
    expect(note).to_contain_text("is used instead of what the graph says")
    # The take and the seed are one step of undo.
    panel.root.locator("h2").click()
    artist.undo()
    expect(note).to_have_count(0)
    assert made_from(artist) == before
    answer_about_seed(panel, "Change both")
    assert rendered(panel) == [CLIPS, STILLS]
    assert panel.shown("still")[2] != still and panel.shown("clip")[2] != clip


def answer_about_seed(panel: Panel, answer: str) -> None:
    """Asks for a new take of the third clip, and answers the question that follows."""
    panel.start("New take of the clip of 3. Morning", end=False)
    dialog = panel.root.get_by_role("dialog")
    expect(dialog).to_contain_text("The still and the clip of Morning have one seed")
    panel.canvas.screenshot("question")
    dialog.get_by_role("button", name=answer).click()
    expect(dialog).to_have_count(0)


def rendered(panel: Panel) -> list[str]:
    """Waits until the run has ended well, and returns the folders of the scenes' new results."""
    assert panel.ended() == "success"
    expect(panel.states).to_have_text(DONE)
    return scene_results(sorted(panel.canvas.run_script("() => window.rendered")))
