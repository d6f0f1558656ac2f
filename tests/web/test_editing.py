"""Scenes edited in the panel: added, copied, moved, removed, typed; each edit one step of undo."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.web.canvas import Canvas, newer_only, older_only
from tests.web.test_panel import NAMES, Panel

_CHAINS = """async () => {
    const { output } = await window.app.graphToPrompt();
    const walk = (end, name, label, all = label) => {
        const found = [];
        let id = Object.values(output).find(node => node.class_type === end).inputs[name]?.[0];
        while (output[id] && all in output[id].inputs && !found.includes(id)) {
            found.unshift(id);
            id = output[id].inputs[name]?.[0];
        }
        return found.map(one => output[one].inputs[label]);
    };
    return [
        walk('StoryStudio_Film', 'film', 'text'),
        walk('StoryStudio_ContactSheet', 'storyboard', 'name'),
        walk('StoryStudio_Film', 'film', 'title', 'text'),
    ];
}"""
_PLACES = """() => {
    const boxes = window.app.graph.nodes.filter(node => node.subgraph)
        .sort((one, other) => one.pos[0] - other.pos[0]);
    const titled = boxes.map(box => box.widgets.find(widget => widget.name === 'title').value);
    const groups = window.app.graph.groups.map(({ title, pos, size }) => [title, pos[0], pos[0] + size[0]]);
    const ends = window.app.graph.nodes.filter(node => node.type === 'StoryStudio_Film');
    const groupOf = node => groups.filter(([, left, right]) => node.pos[0] > left && node.pos[0] < right)
        .map(([title]) => title);
    const types = new Set(boxes.map(box => box.type)).size;
    return { titled, groups: [...boxes, ...ends].map(groupOf).flat(), types };
}"""


class Editor(Panel):
    """The panel, with what a director does to its scenes."""

    @property
    def names(self) -> Locator:
        return self.root.locator(".name")

    def press_button(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def handle(self, scene: str) -> Locator:
        return self.root.get_by_role("button", name=f"Move {scene}:")

    def shows(self, *names: str) -> None:
        """Waits until these are the scenes: on the cards, in both chains, and from left to right."""
        expect(self.names).to_have_text([f"{number}. {name}" for number, name in enumerate(names, 1)])
        _, board, film = self.canvas.run_script(_CHAINS)
        assert board == film == [*names]
        places = self.canvas.run_script(_PLACES)
        assert places["titled"] == [*names]
        assert places["groups"] == [*(f"Scene {number}" for number in range(1, len(names) + 1)), "Story end"]
        assert places["types"] == len(names), "every box has insides of its own"

    def linked(self, *names: str, board: list[str] | None = None) -> None:
        """Waits until these are the scenes of the film, on the cards and in both chains."""
        expect(self.names).to_have_text([f"{number}. {name}" for number, name in enumerate(names, 1)])
        _, sheet, film = self.canvas.run_script(_CHAINS)
        assert film == [*names]
        assert sheet == (board or [*names])

    def texts(self) -> list[str]:
        """What is said in the film."""
        return self.canvas.run_script(_CHAINS)[0]

    def undo(self) -> None:
        self.root.locator("h2").click()
        self.canvas.undo()


def test_scenes_are_moved_with_one_drag_or_key(artist: Canvas) -> None:
    panel = Editor(artist)
    said = panel.texts()
    assert len(set(said)) == 3
    panel.handle("3. Morning").press("Alt+ArrowUp")
    panel.shows("Keeper", "Morning", "Sailor")
    assert panel.texts() == [said[0], said[2], said[1]]
    expect(panel.handle("2. Morning")).to_be_focused()
    expect(panel.root.locator(".announcement")).to_have_text("Morning is now scene 2 of 3.")
    artist.undo()
    panel.shows(*NAMES)
    drag(artist, panel.handle("1. Keeper"), panel.root.get_by_role("listitem").nth(1))
    panel.shows("Sailor", "Keeper", "Morning")
    artist.screenshot("moved")
    panel.undo()
    panel.shows(*NAMES)
    assert panel.texts() == said


def drag(canvas: Canvas, handle: Locator, card: Locator) -> None:
    """Drags a handle to below the middle of a card."""
    handle.scroll_into_view_if_needed()
    start, end = handle.bounding_box(), card.bounding_box()
    assert start and end
    x, y = start["x"] + start["width"] / 2, start["y"] + start["height"] / 2
    canvas.page.mouse.move(x, y)
    canvas.page.mouse.down()
    canvas.page.mouse.move(x, y + 20)
    canvas.page.mouse.move(x, end["y"] + end["height"] * 0.7)
    canvas.page.mouse.up()


def test_scenes_are_added_copied_and_removed(artist: Canvas) -> None:
    panel = Editor(artist)
    said = panel.texts()
    panel.press_button("+ Add a scene")
    panel.shows(*NAMES, "Scene 4")
    expect(panel.root.get_by_role("textbox", name="Prompt")).to_be_focused()
    artist.page.keyboard.type("A storm over the sea")
    expect(panel.root.locator(".prompt").nth(3)).to_have_text("A storm over the sea")
    panel.root.get_by_role("textbox", name="What is said").fill("Here it comes.")
    panel.root.get_by_role("textbox", name="Title").fill("Storm")
    # In a box the title is also the name on the storyboard and of the results.
    panel.shows(*NAMES, "Storm")
    assert panel.texts() == [*said, "Here it comes."]
    artist.screenshot("added")
    # Each text is a step of its own, however quickly the next one follows.
    panel.undo()
    panel.shows(*NAMES, "Scene 4")
    assert panel.texts() == [*said, "Here it comes."]
    panel.undo()
    expect(panel.root.get_by_role("textbox", name="What is said")).to_have_value("")
    assert panel.texts() == [*said, ""]
    prompt = panel.root.locator(".prompt").nth(3)
    expect(prompt).to_have_text("A storm over the sea")
    panel.undo()
    expect(prompt).to_have_text("")
    panel.shows(*NAMES, "Scene 4")
    panel.undo()
    panel.shows(*NAMES)
    panel.unfold()
    panel.press_button("Duplicate 1. Keeper")
    panel.shows("Keeper", "Keeper 2", "Sailor", "Morning")
    assert panel.texts() == [said[0], *said]
    assert artist.repeated_ids() == []
    panel.press_button("Remove 3. Sailor")
    panel.shows("Keeper", "Keeper 2", "Morning")
    expect(panel.root.get_by_role("button", name="3. Morning", exact=True)).to_be_focused()
    panel.undo()
    panel.shows("Keeper", "Keeper 2", "Sailor", "Morning")
    panel.undo()
    panel.shows(*NAMES)
    assert panel.texts() == said


@newer_only
def test_an_edit_that_fails_halfway_leaves_the_story_as_it_was(artist: Canvas) -> None:
    panel = Editor(artist)
    panel.unfold()
    panel.press_button("Remove 2. Sailor")
    panel.shows("Keeper", "Morning")
    edits = {
        "Not moved.": lambda: panel.handle("2. Morning").press("Alt+ArrowUp"),
        "Not copied.": lambda: panel.press_button("Duplicate 1. Keeper"),
    }
    for problem, edit in edits.items():
        # By the time that it is linked, all scenes have lost their places in the chains.
        artist.run_script(
            """problem => { for (const node of window.app.graph.nodes) if (node.subgraph)
                node.connect = () => { throw new Error(problem); }; }""",
            problem,
        )
        edit()
        expect(panel.root.locator(":scope > .problem")).to_contain_text(problem)
    panel.shows("Keeper", "Morning")
    panel.undo()
    panel.shows(*NAMES)


@older_only
def test_what_is_typed_on_the_canvas_is_on_the_card_at_once(artist: Canvas) -> None:
    panel = Editor(artist)
    box = artist.page.locator("textarea.comfy-multiline-input:visible").first
    before = box.input_value()
    # Typed, and not yet left.
    box.focus()
    artist.page.keyboard.press("End")
    artist.page.keyboard.type(" and a gull")
    changed = box.input_value()
    assert changed != before
    expect(panel.root.locator(".prompt").filter(has_text="and a gull")).to_have_count(1)


@newer_only
def test_scenes_move_through_reroutes_and_a_muted_one_says_what_it_ends(artist: Canvas) -> None:
    panel = Editor(artist)
    count = artist.run_script(_REROUTE)
    panel.handle("1. Keeper").press("Alt+ArrowDown")
    panel.shows("Sailor", "Keeper", "Morning")
    assert len(artist.node_ids()) == count - 3, "reroutes that lead nowhere are gone"
    panel.undo()
    panel.shows(*NAMES)
    assert len(artist.node_ids()) == count
    # Another film, which ends with the second scene.
    film = artist.run_script(_SECOND_FILM, box_ids(artist)["Sailor"])
    panel.unfold()
    panel.press_button("Remove 2. Sailor")
    panel.shows("Keeper", "Morning")
    assert artist.api_graph()[film]["inputs"]["film"][0].startswith(f"{box_ids(artist)['Keeper']}:")
    panel.undo()
    left_out = panel.root.get_by_role("region", name="Left out on the canvas")
    artist.run_script(_MUTE, box_ids(artist)["Sailor"])
    expect(left_out).to_contain_text("Sailor is muted on the canvas. That ends the film there")
    panel.press_button("Bypass Sailor")
    expect(left_out).to_contain_text("Sailor is bypassed on the canvas.")
    panel.linked("Keeper", "Morning")
    # Undo makes all nodes again.
    panel.handle("1. Keeper").press("Alt+ArrowDown")
    panel.undo()
    panel.press_button("Use Sailor again")
    expect(left_out).to_be_hidden()
    panel.linked(*NAMES)


_REROUTE = """() => {
    const { graph } = window.app;
    const boxes = graph.nodes.filter(node => node.subgraph).sort((one, other) => one.pos[0] - other.pos[0]);
    for (const [from, to, name] of [[0, 1, 'film'], [1, 2, 'storyboard'], [1, 2, 'film']]) {
        const reroute = LiteGraph.createNode('Reroute');
        graph.add(reroute);
        boxes[from].connect(boxes[from].outputs.findIndex(one => one.name === name), reroute, 0);
        reroute.connect(0, boxes[to], boxes[to].inputs.findIndex(one => one.name === name));
    }
    window.app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
    return graph.nodes.length;
}"""
_SECOND_FILM = """id => {
    const { graph } = window.app, box = graph.getNodeById(id);
    const film = LiteGraph.createNode('StoryStudio_Film');
    graph.add(film);
    box.connect(box.outputs.findIndex(one => one.name === 'film'), film, 0);
    window.app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
    return String(film.id);
}"""
_MUTE = """id => {
    // As Ctrl+M does: what is in the box is muted with it.
    const box = window.app.graph.getNodeById(id);
    for (const node of [box, ...box.subgraph.nodes]) node.mode = 2;
    window.app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
}"""


@older_only
def test_a_scene_outside_of_the_film_stands_apart_until_it_is_added(artist: Canvas) -> None:
    panel = Editor(artist)
    unlink(artist, "Sailor")
    apart = panel.root.get_by_role("region", name="Not in the film")
    expect(apart.locator(".name")).to_have_text(["Sailor"])
    expect(panel.names).to_have_text(["1. Keeper", "2. Morning", "Sailor"])
    artist.screenshot("apart")
    panel.press_button("Add Sailor to the film")
    expect(panel.names).to_have_text(["1. Keeper", "2. Morning", "3. Sailor"])
    expect(apart).to_be_hidden()
    assert artist.run_script(_CHAINS)[1] == ["Keeper", "Morning", "Sailor"]


@newer_only
def test_scenes_in_a_circle_are_an_error_on_the_cards_and_of_run(artist: Canvas) -> None:
    panel = Editor(artist)
    boxes = box_ids(artist)
    artist.join(boxes["Morning"], "film", boxes["Keeper"], "film")
    artist.run_script("() => window.app.graph.change()")
    panel.canvas.set_widgets([("Draft scene", "seed", 4001)])
    reasons = panel.root.locator(".reason:visible")
    expect(reasons).to_have_count(3)
    expect(reasons.first).to_contain_text("linked in a circle")
    expect(panel.root.locator(":scope > .problem")).to_contain_text("Undo the last link")
    expect(panel.states).to_have_text(["failed"] * 3)
    artist.screenshot("circle")
    panel.unfold()
    panel.press_button("Remove 1. Keeper")
    expect(panel.names).to_have_count(3)
    artist.run_button().click()
    said = artist.page.locator(".p-toast-message, [role=alert]").filter(has_text="Story Studio")
    expect(said.filter(has_text="linked in a circle").first).to_be_visible()


def box_ids(canvas: Canvas) -> dict[str, str]:
    return canvas.run_script(
        """() => Object.fromEntries(window.app.graph.nodes.filter(node => node.subgraph)
            .map(box => [box.widgets.find(widget => widget.name === 'title').value, String(box.id)]))"""
    )


def unlink(canvas: Canvas, scene: str) -> None:
    """Takes a scene out of both chains, as with six drags."""
    boxes: Any = box_ids(canvas)
    canvas.run_script(
        """id => {
            const { graph } = window.app, box = graph.getNodeById(Number(id));
            for (const [slot, name] of ['storyboard', 'film'].entries()) {
                const entry = box.inputs.findIndex(input => input.name === name);
                const before = graph.getLink(box.inputs[entry].link);
                const after = graph.getLink(box.outputs[slot].links[0]);
                const [from, to] = [graph.getNodeById(before.origin_id), graph.getNodeById(after.target_id)];
                const [out, into] = [before.origin_slot, after.target_slot];
                box.disconnectInput(entry);
                from.connect(out, to, into);
            }
        }""",
        boxes[scene],
    )
    canvas.set_widgets([("Draft scene", "seed", 4000)])
