"""The page of a delivery in a real browser, from the disk: it plays, seeks, has captions, asks nobody."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from tests.export.projects import FRAMES, Project

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
# The page's own policy forbids what Playwright's wait_for_function evaluates.
UNTIL = """(holds) => new Promise((done) => {
  const film = document.getElementById("film");
  const conditions = {
    ready: () => film.readyState >= 2,
    captioned: () => film.textTracks[0].cues?.length === 2,
  };
  const look = () => (conditions[holds]() ? done() : setTimeout(look, 50));
  look();
})"""


def test_a_delivery_plays_from_the_disk(browser: Browser, tmp_path: Path) -> None:
    project = Project.render(tmp_path, 24, "cut", HOSTILE)
    cut = project.set_cut()
    project.set_cut(shots=[shot.model_copy(update={"title": HOSTILE}) for shot in cut.shots])
    page = browser.new_page(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((project.export("delivery") / "index.html").as_uri())
    page.evaluate(UNTIL, "ready")
    assert page.title() == page.locator("h1").inner_text() == HOSTILE
    page.evaluate("document.getElementById('film').textTracks[0].mode = 'showing'")
    page.evaluate(UNTIL, "captioned")
    page.evaluate("document.getElementById('film').play = async () => {}")
    page.locator(".scenes button").nth(2).click()
    page.locator(".scenes li:nth-child(3) [aria-current]").wait_for()
    assert page.evaluate("document.getElementById('film').currentTime") * 24 >= FRAMES[0] + FRAMES[1]
    assert page.locator("#now").inner_text().startswith("3 of 3")
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out on a phone"
    assert errors == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    page.close()
