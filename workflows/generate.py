"""Writes the API templates from the examples, in a real browser: .venv/bin/python -m workflows.generate

The examples, which artists open in ComfyUI, are what a person edits. A template is the part of an example
that makes one still or one clip, as *Export (API)* writes it, with a node titled `$name` for each parameter.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from driver.server import PACK, Server
from story_studio.stories.templates import FOLDER, Nodes, is_link
from tests.browser.canvas import HOW, Canvas, find_chromium, read_workflow, running_browser

EXAMPLES = PACK / "example_workflows"


class Source(NamedTuple):
    """Where a template comes from.

    Attributes:
        example: the example's name.
        kind: `still` or `clip`: the template makes what the example's first checkpoint of this kind keeps.
        parameters: by name the input that each one sets, as a path of inputs from the last node back.
    """

    example: str
    kind: str
    parameters: dict[str, str]


_PICTURE = {
    "prompt": "samples.positive.text",
    "width": "samples.latent_image.width",
    "height": "samples.latent_image.height",
    "seed": "samples.seed",
    "steps": "samples.steps",
}
_DRAFT = {"width": "width", "height": "height", "seed": "seed"}
_CLIP = _DRAFT | {"image": "image", "audio": "audio", "after": "after"}
SOURCES = {
    "title_card_still": Source("Draft", "still", _DRAFT | {"subject": "text", "heading": "heading"}),
    "animatic_clip": Source("Draft", "clip", _CLIP),
    "z_image_turbo_still": Source("One scene", "still", _PICTURE),
    "z_image_base_still": Source(
        "One picture",
        "still",
        _PICTURE | {"negative_prompt": "samples.negative.text", "cfg": "samples.cfg"},
    ),
    "s2v_clip": Source(
        "Talking video",
        "clip",
        _CLIP
        | {"prompt": "positive.text", "negative_prompt": "negative.text", "steps": "steps", "cfg": "cfg"}
        | {"models": "model"},
    ),
}
_SAVED = {
    "still": ("StoryStudio_Still", "image", "SaveImage", {"images": None, "filename_prefix": "still"}),
    "clip": (
        "StoryStudio_Clip",
        "video",
        "SaveVideo",
        {"video": None, "filename_prefix": "clip", "format": "auto", "codec": "auto"},
    ),
}
_VALUES = {"INT": "PrimitiveInt", "FLOAT": "PrimitiveFloat", "STRING": "PrimitiveString"}
_FILES = {"IMAGE": ("LoadImage", "image", "example.png"), "AUDIO": ("LoadAudio", "audio", "voice.mp3")}


def api_template(canvas: Canvas, source: Source) -> str:
    """The text of a template's API file, made from its example on a page of ComfyUI."""
    canvas.load(read_workflow(EXAMPLES / f"{source.example}.json"))
    nodes = canvas.api_graph()
    classes = canvas.run_script("async () => (await window.app.api.fetchApi('/object_info')).json()")
    checkpoint, entry, save, inputs = _SAVED[source.kind]
    last: str = next(node["inputs"][entry][0] for node in nodes.values() if node["class_type"] == checkpoint)
    for name, path in source.parameters.items():
        _add_parameter(nodes, classes, name, path.split("."), last)
    result = [last, 0]
    nodes["$"] = _node(save, f"${source.kind}", {**inputs, next(iter(inputs)): result})
    for node_id, node in nodes.items():
        nodes[node_id] = _in_form(node, classes[node["class_type"]]["input"])
    return json.dumps(_numbered(nodes, "$"), indent=2, ensure_ascii=False) + "\n"


def _add_parameter(nodes: Nodes, classes: dict[str, Any], name: str, path: list[str], node_id: str) -> None:
    """Puts a node titled `$name` before the input at the path's end; a loader of models gets the title."""
    *links, entry = path
    for link in links:
        node_id = nodes[node_id]["inputs"][link][0]
    inputs, known = nodes[node_id]["inputs"], classes[nodes[node_id]["class_type"]]["input"]
    kind, *options = (known["required"] | known.get("optional", {}))[entry]
    if kind == "MODEL":
        nodes[inputs[entry][0]]["_meta"]["title"] = f"${name}"
        return
    if kind in _FILES:
        cls, value_input, value = _FILES[kind]
    else:
        # What takes any link only waits for it: an empty text stands for nothing to wait for.
        cls, value_input, value = _VALUES.get(kind, "PrimitiveString"), "value", inputs.get(entry, "")
        value = "" if is_link(value) else value
        cls += "Multiline" if options and options[0].get("multiline") else ""
    nodes[f"${name}"] = _node(cls, f"${name}", {value_input: value})
    inputs[entry] = [f"${name}", 0]


def _node(cls: str, title: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": inputs, "class_type": cls, "_meta": {"title": title}}


def _in_form(node: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The node with the inputs that its class knows, in their order, without optional ones at the default."""
    inputs = {}
    for group in ("required", "optional"):
        for name, (kind, *options) in known.get(group, {}).items():
            if name not in node["inputs"]:
                continue
            value = node["inputs"][name]
            # JavaScript has one kind of number.
            value = float(value) if kind == "FLOAT" and isinstance(value, int) else value
            if group == "required" or not options or value != options[0].get("default"):
                inputs[name] = value
    return _node(node["class_type"], node["_meta"]["title"], inputs)


def _numbered(nodes: Nodes, last: str) -> Nodes:
    """What the last node is made from and that itself, numbered so that each comes after what it needs."""
    numbers: dict[str, str] = {}

    def visit(node_id: str) -> None:
        if node_id not in numbers:
            for value in nodes[node_id]["inputs"].values():
                if is_link(value):
                    visit(value[0])
            numbers[node_id] = str(len(numbers) + 1)

    visit(last)
    done = {numbers[node_id]: nodes[node_id] for node_id in numbers}
    for node in done.values():
        for name, value in node["inputs"].items():
            if is_link(value):
                node["inputs"][name] = [numbers[value[0]], value[1]]
    return done


def main() -> None:
    """Writes every template anew that differs from its example, and says which."""
    executable = find_chromium() or sys.exit(HOW)
    with tempfile.TemporaryDirectory() as folder, running_browser(executable) as browser:
        workspace = Path(folder)
        with Server(workspace, workspace / "output", extra_flags=("--cpu",)) as server:
            canvas = Canvas(browser, server.url)
            for name, source in SOURCES.items():
                path, text = FOLDER / f"{name}.json", api_template(canvas, source)
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    path.write_text(text, encoding="utf-8")
                    print(f"written anew: {path}")


if __name__ == "__main__":
    main()
