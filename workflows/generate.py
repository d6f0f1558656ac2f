"""Writes the recipes from the examples, in a real browser: .venv/bin/python -m workflows.generate

The examples, which artists open in ComfyUI, are what a person edits. A recipe is the part of an example
that makes one still or one clip, as *Export (API)* writes it, with a node titled `$name` for each parameter.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from driver.comfy.process import PACK, Server
from story_studio.story.recipes import FOLDER, Link, Nodes, Recipe, is_link
from workflows.canvas import HOW, Canvas, find_chromium, read_workflow, running_browser
from workflows.node_ids import renamed

EXAMPLES = PACK / "example_workflows"


class Source(NamedTuple):
    """Where a recipe comes from.

    Attributes:
        example: the example's name.
        kind: `still` or `clip`: the recipe makes what the example's first Still or Clip keeps.
        parameters: by name the input that each one sets, as a path of inputs from the last node back.
    """

    example: str
    kind: str
    parameters: dict[str, str]


_STILL = {
    "prompt": "samples.positive.text",
    "width": "samples.latent_image.width",
    "height": "samples.latent_image.height",
    "seed": "samples.seed",
    "steps": "samples.steps",
    "model": "samples.model.model",
}
_SHARED = {"width": "width", "height": "height", "seed": "seed"}
_CLIP = _SHARED | {"image": "image", "audio": "audio", "after": "after"}
SOURCES = {
    "title_card_still": Source("Draft", "still", _SHARED | {"subject": "text", "heading": "heading"}),
    "animatic_clip": Source("Draft", "clip", _CLIP),
    "z_image_turbo_still": Source("One scene", "still", _STILL),
    "z_image_base_still": Source(
        "One image",
        "still",
        _STILL | {"negative_prompt": "samples.negative.text", "cfg": "samples.cfg"},
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
    "still": ("StoryStudio_Still", "image", "SaveImage", "images", {"filename_prefix": "still"}),
    "clip": (
        "StoryStudio_Clip",
        "video",
        "SaveVideo",
        "video",
        {"filename_prefix": "clip", "format": "auto", "codec": "auto"},
    ),
}
_VALUES = {"INT": "PrimitiveInt", "FLOAT": "PrimitiveFloat", "STRING": "PrimitiveString"}
_FILES = {"IMAGE": ("LoadImage", "image", "example.png"), "AUDIO": ("LoadAudio", "audio", "voice.mp3")}


def recipe_text(canvas: Canvas, source: Source) -> str:
    """The text of a recipe, exported from its example on a page of ComfyUI."""
    canvas.load(read_workflow(EXAMPLES / f"{source.example}.json"))
    nodes = canvas.api_graph()
    classes = canvas.run_script("async () => (await window.app.api.fetchApi('/object_info')).json()")
    checkpoint, entry, save, saved, settings = _SAVED[source.kind]
    last: str = next(node["inputs"][entry][0] for node in nodes.values() if node["class_type"] == checkpoint)
    for name, path in source.parameters.items():
        _add_parameter(nodes, classes, name, path.split("."), last)
    nodes["$"] = _node(save, f"${source.kind}", {saved: [last, 0], **settings})
    for node_id, node in nodes.items():
        nodes[node_id] = _in_form(node, classes[node["class_type"]]["input"])
    # Each comes after what it needs; what the result is not made from is left out.
    order = Recipe(nodes, {}, Link("$")).ordered()
    numbered = renamed(nodes, {node_id: str(number) for number, node_id in enumerate(order, start=1)})
    return json.dumps(numbered, indent=2, ensure_ascii=False) + "\n"


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


def main() -> None:
    """Rewrites every recipe that differs from its example, and says which."""
    executable = find_chromium() or sys.exit(HOW)
    with tempfile.TemporaryDirectory() as folder, running_browser(executable) as browser:
        workspace = Path(folder)
        with Server(workspace, workspace / "output", extra_flags=("--cpu",)) as server:
            canvas = Canvas(browser, server.url)
            for name, source in SOURCES.items():
                path, text = FOLDER / f"{name}.json", recipe_text(canvas, source)
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    path.write_text(text, encoding="utf-8")
                    print(f"written: {path}")


if __name__ == "__main__":
    main()
