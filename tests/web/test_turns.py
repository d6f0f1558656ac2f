"""What is asked for while something else is still at work: in turn, once, and never in another workflow."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.web.canvas import Canvas, held, newer_only, older_only
from tests.web.test_panel import SEEDS, TWO_FRAMES, Panel

_RESTORE = """isRestoring => {
    window.app.extensionManager.workflow.activeWorkflow.changeTracker._restoringState = isRestoring;
}"""


@newer_only
def test_what_is_asked_for_in_one_workflow_is_not_done_in_another(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    with held(artist.page, "**/story_studio/takes"):
        with artist.page.expect_request("**/story_studio/takes"):
            panel.start("New take of the still of 2. Sailor", end=False)
        # Its scenes have the same ids.
        panel.load()
    assert panel.start("Stills") == "success"
    seeds = {node["inputs"].get("seed", panel.seed) for node in artist.api_graph().values()}
    assert seeds == {panel.seed}


@older_only
def test_a_second_click_is_no_second_run_and_an_edit_waits_for_undo(artist: Canvas) -> None:
    panel = Panel(artist, next(SEEDS))
    queued: list[str] = []
    artist.page.on("request", lambda request: queued.append(request.url))
    with held(artist.page, "**/story_studio/takes"):
        panel.start("Stills", end=False)
        panel.root.get_by_role("button", name="Stills", exact=True).click()
    assert panel.ended() == "success"
    expect(panel.stop).to_be_hidden()
    assert len([url for url in queued if url.endswith("/prompt")]) == 1
    panel.unfold()
    # As while Ctrl+Z is at work: what is changed then would be no step of undo, or be lost.
    artist.run_script(_RESTORE, True)
    panel.root.get_by_role("button", name="Remove 2. Sailor", exact=True).click()
    artist.run_script(TWO_FRAMES)
    artist.run_script(_RESTORE, False)
    expect(panel.states).to_have_count(2)
    panel.root.locator("h2").click()
    artist.undo()
    expect(panel.states).to_have_count(3)


@older_only
def test_what_is_set_for_one_story_is_not_written_into_another(artist: Canvas) -> None:
    panel = Panel(artist)
    settings = panel.root.locator(".whole.settings")
    settings.locator("summary").click()
    style = settings.get_by_label("Style of all scenes")
    style.fill("in ink")
    with held(artist.page, "**/story_studio/graph"):
        with artist.page.expect_request("**/story_studio/graph"):
            panel.root.get_by_role("button", name="Real", exact=True).click()
        panel.load()
        expect(style).to_be_hidden()
    # What is asked for next waits for the change.
    panel.unfold()
    panel.root.get_by_role("button", name="Remove 2. Sailor", exact=True).click()
    expect(panel.states).to_have_count(2)
    assert "StoryStudio_TitleCard" in {node["class_type"] for node in artist.api_graph().values()}
    settings.locator("summary").click()
    expect(style).to_have_value("")
    expect(panel.root.locator(".switch .problem")).to_be_hidden()
