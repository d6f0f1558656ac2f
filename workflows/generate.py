"""Writes the API templates from their GUI sources, in a real browser: .venv/bin/python -m workflows.generate

`source/` holds what a person edits in ComfyUI; the templates beside this file are what *Export (API)* makes
of it, in one form. The examples that artists open are other files: a template serves the driver, so each of
its parameters is a node titled `$name`, and no checkpoint keeps its result.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from driver.server import Server
from tests.browser.canvas import HOW, Canvas, find_chromium, read_workflow, running_browser

TEMPLATES = Path(__file__).parent
SOURCE = TEMPLATES / "source"


def api_template(canvas: Canvas, source: Path) -> str:
    """The text of a template's API file, made from its GUI source on a page of ComfyUI."""
    canvas.load(read_workflow(source))
    nodes = canvas.api_graph()
    classes = canvas.run_script("async () => (await window.app.api.fetchApi('/object_info')).json()")
    ordered = sorted(nodes.items(), key=lambda item: int(item[0]))
    done = {node_id: _in_form(node, classes[node["class_type"]]["input"]) for node_id, node in ordered}
    return json.dumps(done, indent=2, ensure_ascii=False) + "\n"


def _in_form(node: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The node with the inputs that its class knows, in their order.

    Optional ones at their default are left out: what is added to a node later changes no finished checkpoint.
    """
    inputs = {}
    for group in ("required", "optional"):
        for name, (kind, *options) in known.get(group, {}).items():
            if name not in node["inputs"]:
                continue
            value = node["inputs"][name]
            # JavaScript has one kind of number; a checkpoint's key tells 3 from 3.0.
            value = float(value) if kind == "FLOAT" and isinstance(value, int) else value
            if group == "required" or not options or value != options[0].get("default"):
                inputs[name] = value
    return {"inputs": inputs, "class_type": node["class_type"], "_meta": node["_meta"]}


def main() -> None:
    """Writes every template whose source is there, and says which were not as they should be."""
    executable = find_chromium() or sys.exit(HOW)
    with tempfile.TemporaryDirectory() as folder, running_browser(executable) as browser:
        workspace = Path(folder)
        with Server(workspace, workspace / "output", extra_flags=("--cpu",)) as server:
            canvas = Canvas(browser, server.url)
            for source in sorted(SOURCE.glob("*.json")):
                path = TEMPLATES / source.name
                text = api_template(canvas, source)
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    path.write_text(text, encoding="utf-8")
                    print(f"written anew: {path}")


if __name__ == "__main__":
    main()
