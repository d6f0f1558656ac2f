"""What a user does on a page of ComfyUI."""

from __future__ import annotations

import base64
import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, TimeoutError, expect

from driver.paths import ROOT
from workflows import canvas
from workflows.canvas import PATIENCE_MS

SCREENSHOTS = ROOT / "output" / "screenshots"
expect.set_options(timeout=PATIENCE_MS)

newer_only = pytest.mark.parametrize("artist", ["newer_canvas"], indirect=True)
older_only = pytest.mark.parametrize("artist", ["canvas"], indirect=True)
"""For what does not depend on the interface. These tests are spread over both; where the two differ (undo,
boxes, the search, dialogs), a test runs on each."""


class Canvas(canvas.Canvas):
    """A page of ComfyUI as a user operates it: its buttons, menus and screenshots."""

    def __init__(self, browser: Browser, url: str, name: str):
        self.name = name
        super().__init__(browser, url)

    def begin(self, name: str) -> None:
        """Resets the page for another test, in half the time that a new page takes."""
        self.name = name
        for order, body in (("queue", {"clear": True}), ("interrupt", {})):
            requests.post(f"{self.url}/{order}", json=body, timeout=PATIENCE_MS / 1000).raise_for_status()
        # A page of the same server without scripts, so nothing writes or logs while the storage is cleared.
        self.page.goto(f"{self.url}/system_stats")
        self.run_script("() => { localStorage.clear(); sessionStorage.clear(); }")
        self.errors.clear()
        self.warnings.clear()
        self.open()

    def park(self) -> None:
        """Leaves ComfyUI until the next test: an idle page draws all the time."""
        self.page.goto("about:blank")

    def open_template(self, name: str) -> None:
        """Opens an example of the pack from the template browser, with the mouse."""
        self.page.get_by_role("button", name="Templates").first.click()
        self.page.get_by_text("story_studio", exact=True).first.click()
        self.page.get_by_test_id(f"template-workflow-{name}").click()
        self.page.wait_for_function(_OPENED, arg=name)
        self.page.get_by_test_id("template-workflows-content").wait_for(state="detached")

    def missing_models(self) -> list[tuple[str, str]]:
        """Waits until ComfyUI lists missing models, and returns the folder and file of each."""
        newer = self.page.get_by_test_id("missing-model-importable-rows")
        see = self.page.get_by_test_id("error-overlay-see-errors")
        older = self.page.locator(".comfy-missing-models .p-listbox-option")
        older.or_(see).first.wait_for()
        if see.is_visible():
            see.click()
            newer.wait_for()
        listed = [text.splitlines()[0].split(" / ") for text in older.all_inner_texts()]
        # A file's name, the number of nodes that need it if several do, its folder.
        rows = [text.splitlines() for text in newer.locator("> div").all_inner_texts()]
        lines = [[line for line in row if line.strip() and not line.isdigit()] for row in rows]
        return sorted([(row[0], row[1]) for row in listed] + [(line[1], line[0]) for line in lines])

    def show_empty_place(self) -> None:
        """Moves the view to where there is no node, and waits until it stays there."""
        self.run_script(_MOVE_AWAY)

    def set_node(self, node: str, values: dict[str, Any]) -> None:
        """Sets widgets of one node, by its id."""
        title = f"only {node}"
        rename = "([id, title]) => { window.app.graph.nodes.find(n => String(n.id) === id).title = title; }"
        self.run_script(rename, [node, title])
        self.set_widgets([(title, widget, value) for widget, value in values.items()])

    def drop(self, name: str, x: int, y: int) -> str:
        """Double-clicks the empty canvas, adds a node or blueprint from the search, and returns its id."""
        before = set(self.node_ids())
        newer, results = self._search(name, x, y)
        results.filter(has_text=re.compile(rf"^\s*{name}")).first.click()
        self.page.wait_for_function("count => window.app.graph.nodes.length > count", arg=len(before))
        if newer:  # it follows the mouse until a click places it
            self.page.mouse.move(x + 5, y + 5)
            self.page.mouse.click(x, y)
        return next(node for node in self.node_ids() if node not in before)

    def crowded(self) -> list[str]:
        """The nodes that cover another one or have outgrown their group, as the page draws them now."""
        return self.run_script(_CROWDED)

    def find_nodes(self, words: str) -> list[str]:
        """Types words into the search of the empty canvas; returns the names of the nodes that it lists."""
        self.show_empty_place()
        _, results = self._search(words, 700, 400)
        # The search waits until nothing more is typed, and keeps what it showed until then.
        expect(results.first).to_be_visible()
        self.page.wait_for_timeout(600)
        names = [text.strip().splitlines()[0].strip() for text in results.all_inner_texts()]
        # With text in its box, the older interface logs an error when the search closes.
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.press("Escape")
        results.first.wait_for(state="detached")
        return names

    def _search(self, words: str, x: int, y: int) -> tuple[bool, Any]:
        """Types into the search of the empty canvas; returns whether it is a newer one, and the results."""
        box = self.page.get_by_placeholder(re.compile("Search Nodes...|Add a node...|搜索节点|添加节点"))
        # Two clicks are a double click if the canvas sees them within 0.3 s, which a busy machine may miss.
        for _ in range(10):
            self.page.mouse.dblclick(x, y)
            with contextlib.suppress(TimeoutError):
                box.wait_for(timeout=6_000)
                break
        newer = bool(re.match("Add|添加", box.get_attribute("placeholder") or ""))
        box.fill(words)
        return newer, self.page.locator(".p-autocomplete-option, [data-testid=result-item]")

    def node_ids(self) -> list[str]:
        """The ids of the nodes on the canvas."""
        return self.run_script("() => window.app.graph.nodes.map(node => String(node.id))")

    def play(self, cls: str) -> None:
        """Waits until a node of this class shows a video, and plays it until it has moved on."""
        script = """async cls => {
            const node = window.app.graph.nodes.find(node => node.type === cls);
            const parts = (node.widgets ?? []).map(widget => widget.element).filter(Boolean);
            const video = parts.flatMap(part => [part, ...part.querySelectorAll('video')])
                .find(element => element.matches('video') && element.readyState > 0);
            if (!video) return false;
            video.muted = true;
            await video.play();
            return video.currentTime > 0;
        }"""
        self.page.wait_for_function(script, arg=cls)

    def join(self, source: str, output: str, target: str, entry: str) -> None:
        """Links an output of a node to an input of another, by their ids and the names of the slots."""
        done = self.run_script(
            """([source, output, target, entry]) => {
                const find = id => window.app.graph.nodes.find(node => String(node.id) === id);
                const [from, to] = [find(source), find(target)];
                const slot = (slots, name) => slots.findIndex(candidate => candidate.name === name);
                return !!from.connect(slot(from.outputs, output), to, slot(to.inputs, entry));
            }""",
            [source, output, target, entry],
        )
        assert done, f"{source}.{output} does not go into {target}.{entry}"

    def save(self, name: str) -> dict[str, Any]:
        """Saves the workflow with Ctrl+S, under this name if it has none yet; returns the file's content."""
        self.page.locator("#graph-canvas").focus()
        self.page.keyboard.press("Control+s")
        named = self.page.locator(".prompt-dialog-content input")
        if self.run_script("() => window.app.extensionManager.workflow.activeWorkflow.isTemporary"):
            named.fill(name)
            named.press("Enter")
        self.page.wait_for_function(_SAVED, arg=name)
        path = urllib.parse.quote(f"workflows/{name}.json", safe="")
        response = requests.get(f"{self.url}/userdata/{path}", timeout=PATIENCE_MS / 1000)
        response.raise_for_status()
        return response.json()

    def open_file(self, path: Path) -> None:
        """Opens a workflow's file, as *Open* in the menu does once the file is chosen."""
        self.page.locator("#comfy-file-input").set_input_files(path)
        self.page.wait_for_function(_OPENED, arg=path.stem)

    def repeated_ids(self) -> list[str]:
        """The ids that the workflow would have twice if it were saved now, and what was said of such."""
        return self.run_script(_REPEATED) + [text for text in self.warnings if "duplicate subgraph" in text]

    def set_widgets(self, values: list[tuple[str, str, Any]]) -> None:
        """Sets widgets by title or class of their nodes, in subgraphs too, widget name and value."""
        unknown = self.run_script(_SET, values)
        assert not unknown, f"no such widgets: {unknown}"

    def press_run(self, seconds: float = PATIENCE_MS / 1000) -> dict[str, Any]:
        """Presses the Run button and waits for the end.

        Returns:
            What the page received: `status` (success, error, interrupted), `error`, `outputs` by node id,
            `texts` for nodes and those of their steps that were `shown` on the page, `cached` node ids, and
            in `order` the classes of the executed nodes.
        """
        self.run_script(_LISTEN)
        self.run_button().click()
        self.page.wait_for_function("() => window.received.status", timeout=seconds * 1000)
        return self.run_script("() => window.received")

    def undo(self) -> None:
        """Presses Ctrl+Z, with the focus in no text, and waits until ComfyUI has restored the step before."""
        self._press_undo("z", "redoQueue")

    def redo(self) -> None:
        """Presses Ctrl+Y, and waits until ComfyUI has restored the step after."""
        self._press_undo("y", "undoQueue")

    def _press_undo(self, key: str, grows: str) -> None:
        self.run_script(_NOTE_STEP, grows)
        self.page.keyboard.press(f"Control+{key}")
        self.page.wait_for_function(_RESTORED, arg=grows)

    def run_button(self) -> Any:
        """The Run button."""
        return self.page.locator("button").filter(has_text=re.compile(r"^\s*Run\s*$")).first

    def fetch(self, item: dict[str, str], path: Path) -> Path:
        """Fetches a result through the page's own /view, as the page does to show it."""
        data = self.run_script(
            """async item => {
                const answer = await window.app.api.fetchApi('/view?' + new URLSearchParams(item));
                if (!answer.ok) throw new Error(`/view: ${answer.status}`);
                const bytes = new Uint8Array(await answer.arrayBuffer());
                let text = '';
                for (let i = 0; i < bytes.length; i += 32768)
                    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
                return btoa(text);
            }""",
            {key: item[key] for key in ("filename", "subfolder", "type")},
        )
        path.write_bytes(base64.b64decode(data))
        return path

    def screenshot(self, name: str) -> Path:
        """Keeps what the page shows now as a PNG."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{self.name}-{name}.png"
        self.page.screenshot(path=path)
        return path


@contextlib.contextmanager
def held(page: Page, url: str, most: int = 100) -> Iterator[None]:
    """Requests, of which the first `most`, are answered only at the end."""
    routes: list[Route] = []
    page.route(url, lambda route: routes.append(route) if len(routes) < most else route.continue_())
    yield
    for route in routes:
        route.continue_()
    page.unroute(url)


_OPENED = "name => window.app.extensionManager.workflow.activeWorkflow.filename === name"
_SAVED = """name => {
    const { filename, isPersisted, isModified } = window.app.extensionManager.workflow.activeWorkflow;
    return filename === name && isPersisted && !isModified;
}"""
_NOTE_STEP = """grows => {
    window.tracker = window.app.extensionManager.workflow.activeWorkflow.changeTracker;
    window.lastStep = window.tracker[grows].at(-1);
}"""
_RESTORED = """grows => {
    const step = window.tracker[grows].at(-1);
    // Meanwhile ComfyUI ignores the keys, and what is on the canvas is not yet what will be.
    return step && step !== window.lastStep && !window.tracker._restoringState;
}"""
_MOVE_AWAY = """async () => {
    // ComfyUI fits the view a few frames after a workflow was opened.
    const { ds } = window.app.canvas, away = ds.offset[1] - 3000;
    for (let steady = 0; steady < 15; steady++) {
        if (ds.offset[1] !== away) steady = 0;
        ds.offset[1] = away;
        window.app.canvas.setDirty(true, true);
        await new Promise(requestAnimationFrame);
    }
}"""
_REPEATED = """() => {
    const root = (window.app.rootGraph ?? window.app.graph).serialize();
    const graphs = [root, ...(root.definitions?.subgraphs ?? [])];
    return ['nodes', 'links', 'groups'].flatMap(kind => {
        const ids = graphs.flatMap(graph => (graph[kind] ?? []).map(one => one.id ?? one[0]));
        const repeated = ids.filter((id, index) => id !== undefined && ids.indexOf(id) !== index);
        return repeated.map(id => `${kind} ${id}`);
    });
}"""
_CROWDED = """() => {
    const { nodes, groups } = window.app.graph;
    const title = 30;
    const boxes = nodes.map(node => {
        // Nodes 2.0 are elements; their heights include the title.
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        const height = element ? element.offsetHeight : node.size[1] + title;
        const [left, top] = [node.pos[0], node.pos[1] - title];
        return { node, left, top, right: left + node.size[0], bottom: top + height };
    });
    const faults = [];
    boxes.forEach((box, number) => {
        const name = box.node.title || box.node.type;
        for (const other of boxes.slice(number + 1)) {
            const apart = box.right <= other.left || other.right <= box.left
                || box.bottom <= other.top || other.bottom <= box.top;
            if (!apart) faults.push(`${name} and ${other.node.title || other.node.type} overlap`);
        }
        const inside = ({ pos, size }) => box.left >= pos[0] && box.top >= pos[1]
            && box.right <= pos[0] + size[0] && box.bottom <= pos[1] + size[1];
        if (box.node.type !== 'MarkdownNote' && !groups.some(inside)) faults.push(`${name} outgrew`);
    });
    return faults;
}"""
_SET = """values => {
    const graphs = [];
    const visit = graph => {
        graphs.push(graph);
        for (const node of graph.nodes) if (node.subgraph) visit(node.subgraph);
    };
    visit(window.app.rootGraph ?? window.app.graph);
    const unknown = values.filter(([title, widget, value]) => {
        const nodes = graphs.flatMap(graph => graph.nodes);
        const targets = nodes.filter(node => node.title === title || node.type === title)
            .flatMap(node => (node.widgets ?? []).filter(w => w.name === widget).map(w => [node, w]));
        for (const [node, target] of targets) {
            const before = target.value;
            target.value = value;
            target.callback?.(value);
            node.onWidgetChanged?.(target.name, value, before, target);
        }
        return !targets.length;
    });
    // As ComfyUI does after a user's change. Newer interfaces renamed it, and warn about the old name.
    const tracker = window.app.extensionManager.workflow?.activeWorkflow?.changeTracker;
    if (tracker?.captureCanvasState) tracker.captureCanvasState();
    else tracker?.checkState?.();
    return unknown;
}"""
_LISTEN = """async () => {
    window.received = { status: '', error: null, outputs: {}, texts: [], shown: [], cached: [], order: [] };
    const api = window.app.api;
    const { output } = await window.app.graphToPrompt();
    window.classes = Object.fromEntries(Object.entries(output).map(([id, node]) => [id, node.class_type]));
    if (window.listening) return;
    window.listening = true;
    api.addEventListener('executed', ({ detail }) => {
        window.received.outputs[detail.display_node ?? detail.node] = detail.output;
    });
    api.addEventListener('executing', ({ detail }) => {
        const node = typeof detail === 'object' ? detail?.node : detail;
        if (node) window.received.order.push(window.classes[node]);
    });
    api.addEventListener('execution_cached', ({ detail }) => window.received.cached.push(...detail.nodes));
    api.addEventListener('progress_text', ({ detail }) => window.received.texts.push(detail.text));
    new MutationObserver(records => {
        for (const { target } of records) {
            const text = /Chunk \\d+ of \\d+, step \\d+/.exec(target.textContent.slice(0, 500))?.[0];
            if (text && text !== window.received.shown.at(-1)) window.received.shown.push(text);
        }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
    api.addEventListener('execution_success', () => { window.received.status = 'success'; });
    api.addEventListener('execution_interrupted', () => { window.received.status = 'interrupted'; });
    api.addEventListener('execution_error', ({ detail }) => {
        window.received.status = 'error';
        window.received.error = detail.exception_message;
    });
}"""
