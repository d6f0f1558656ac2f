"""The nodes as ComfyUI describes them: saved workflows still load, and the English locale is current.

`.venv/bin/python -m tests.nodes.test_object_info` regenerates the snapshot and the English locale.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from driver.comfy.process import PACK, Server
from driver.rendering import keys
from tests.studio import CPU_FLAGS, Studio

SNAPSHOT = Path(__file__).with_name("object_info.json")
LOCALES = PACK / "locales"
REGENERATE = "regenerate it with `.venv/bin/python -m tests.nodes.test_object_info`"
_BOUNDS = ("min", "max", "step", "multiline", "control_after_generate", "forceInput", "socketless")
_ALONE = re.compile(r"(\[INFO\])?\s*[\d.]+ seconds: .*custom_nodes/story_studio")

Info = dict[str, Any]


def shape_of(info: Info) -> Info:
    """What saved workflows depend on, for each node of the pack, as JSON.

    Args:
        info: the response of /object_info.
    """
    return {name: _node(node) for name, node in info.items() if name.startswith("StoryStudio_")}


def _node(node: Info) -> Info:
    inputs = []
    for kind in ("required", "optional"):
        for name in node["input_order"].get(kind, []):
            type_name, options = node["input"][kind][name]
            entry: Info = {"name": name, "type": type_name}
            entry |= {key: options[key] for key in _BOUNDS if key in options}
            if type_name == "COMBO":
                # The model files on this machine are not part of the node, nor are the types of text encoders
                # that this ComfyUI knows.
                entry["options"] = [o for o in options["options"] if not o.endswith(".safetensors")]
                if name == "type":
                    del entry["options"]
            if kind == "optional":
                # A default matters only where a saved workflow may omit the input.
                entry |= {
                    "optional": True,
                    **({"default": options["default"]} if "default" in options else {}),
                }
            inputs.append(entry)
    outputs = [
        {"name": name, "type": kind, "is_list": is_list}
        for name, kind, is_list in zip(
            node["output_name"], node["output"], node["output_is_list"], strict=True
        )
    ]
    return {
        "category": node["category"],
        "output_node": node["output_node"],
        "inputs": inputs,
        "outputs": outputs,
    }


def breaks(old: Info, new: Info) -> list[str]:
    """Why workflows saved with the old nodes would not load or run with the new ones, a line each."""
    problems = [f"{node}: is gone or has another name" for node in old if node not in new]
    for name, before in old.items():
        if name in new:
            after = new[name]
            problems += [f"{name}: {why}" for why in (*_inputs(before, after), *_outputs(before, after))]
    return problems


def _inputs(old: Info, new: Info) -> list[str]:
    before, after = ({entry["name"]: entry for entry in node["inputs"]} for node in (old, new))
    problems = [f"input {name} is gone or has another name" for name in before if name not in after]
    problems += [
        f"the new input {name} is required: make it optional"
        for name, entry in after.items()
        if name not in before and not entry.get("optional")
    ]
    # widgets_values is a list without names, and a seed has a second widget.
    if not problems and list(after)[: len(before)] != list(before):
        problems.append(f"the order of inputs is {list(after)}: keep {list(before)}, and add at the end")
    for name, entry in before.items():
        if name in after:
            problems += [f"input {name} {why}" for why in _input(entry, after[name])]
    return problems


def _input(old: Info, new: Info) -> list[str]:
    problems = [
        f"changed its {key} from {old.get(key)} to {new.get(key)}"
        for key in ("type", "control_after_generate", "forceInput", "socketless")
        if old.get(key) != new.get(key)
    ]
    if old.get("optional") and not new.get("optional"):
        problems.append("is no longer optional")
    if new.get("optional") and old.get("optional") and old.get("default") != new.get("default"):
        problems.append(
            f"has another default, {new.get('default')}: workflows without it rely on {old.get('default')}"
        )
    if "min" in new and new["min"] > old.get("min", float("-inf")):
        problems.append(f"has a higher minimum, {new['min']}")
    if "max" in new and new["max"] < old.get("max", float("inf")):
        problems.append(f"has a lower maximum, {new['max']}")
    problems += [
        f"no longer has the choice {choice!r}"
        for choice in old.get("options", [])
        if choice not in new.get("options", [])
    ]
    return problems


def _outputs(old: Info, new: Info) -> list[str]:
    count = len(old["outputs"])
    problems = []
    if new["outputs"][:count] != old["outputs"]:
        problems.append(f"outputs are {new['outputs'][:count]}: keep {old['outputs']}, and add at the end")
    if old["output_node"] and not new["output_node"]:
        problems.append("is no longer an output node, so a workflow that ends with it does not run")
    return problems


def english(info: Info) -> Info:
    """The English locale in ComfyUI's format, from the schemas."""
    return {name: _texts(node) for name, node in info.items() if name.startswith("StoryStudio_")}


def _texts(node: Info) -> Info:
    inputs: Info = {}
    for kind in ("required", "optional"):
        for name in node["input_order"].get(kind, []):
            options = node["input"][kind][name][1]
            inputs[name] = {"name": options.get("display_name", name), "tooltip": options.get("tooltip", "")}
            if options.get("control_after_generate"):
                inputs["control_after_generate"] = {"name": "control after generate"}
    outputs = {
        # ComfyUI itself translates an output named after its type.
        str(number): ({} if name == kind else {"name": name}) | {"tooltip": tooltip or ""}
        for number, (name, kind, tooltip) in enumerate(
            zip(node["output_name"], node["output"], node["output_tooltips"], strict=True)
        )
    }
    return {
        "display_name": node["display_name"],
        "description": node["description"],
        "inputs": inputs,
        "outputs": outputs,
    }


def startup_messages(log: str) -> list[str]:
    """The lines about the pack in ComfyUI's log up to its start, except for the import time."""
    start = log.split("Starting server")[0]
    about = ("custom_nodes/story_studio", "StoryStudio", "story_studio.", "pyproject.toml")
    named = [line for line in start.splitlines() if any(word in line for word in about)]
    return [line for line in named if not _ALONE.fullmatch(line)]


@pytest.fixture
def info(studio: Studio) -> Info:
    return json.loads(httpx2.get(f"{studio.url}/object_info").text)


def test_saved_workflows_still_load(info: Info) -> None:
    assert not breaks(json.loads(SNAPSHOT.read_text()), shape_of(info))


def test_the_snapshot_is_current(info: Info) -> None:
    assert json.loads(SNAPSHOT.read_text()) == shape_of(info), REGENERATE


def test_the_english_locale_is_current(info: Info) -> None:
    assert json.loads((LOCALES / "en" / "nodeDefs.json").read_text()) == english(info), REGENERATE


def test_every_node_input_and_output_has_an_explanation(info: Info) -> None:
    for name, node in english(info).items():
        texts = {"display name": node["display_name"], "description": node["description"]}
        for kind in ("inputs", "outputs"):
            texts |= {f"{kind} {key}": entry.get("tooltip", "-") for key, entry in node[kind].items()}
        assert not [key for key, text in texts.items() if not text], name


def test_the_server_serves_translations_and_help(studio: Studio) -> None:
    served = json.loads(httpx2.get(f"{studio.url}/i18n").text)
    for path in sorted(LOCALES.glob("*/*.json")):
        part = served[path.parent.name][path.stem]
        assert json.loads(path.read_text()).items() <= part.items(), path
    docs = PACK / "web" / "docs"
    pages = [path for path in docs.rglob("*") if path.is_file()]
    assert pages
    for path in pages:
        answer = httpx2.get(f"{studio.url}/extensions/story_studio/docs/{path.relative_to(docs).as_posix()}")
        assert (answer.status_code, answer.content) == (200, path.read_bytes()), path


def test_the_pack_logs_nothing_at_the_start_but_its_import_time(studio: Studio) -> None:
    log = (studio.server.workspace / "server.log").read_text()
    assert "custom_nodes/story_studio" in log.split("Starting server")[0]
    assert not startup_messages(log)


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("   0.1 seconds: /a b/custom_nodes/story_studio", False),
        ("[INFO]    0.1 seconds: /a b/custom_nodes/story_studio", False),
        ("[WARNING]    0.1 seconds: /a b/custom_nodes/story_studio", True),
        ("   0.1 seconds (IMPORT FAILED): /a/custom_nodes/story_studio", True),
        ("/a/custom_nodes/story_studio/nodes/clip.py:3: DeprecationWarning: old", True),
        ("Error while calling comfy_entrypoint in custom_nodes/story_studio: no", True),
        ("Unable to parse pyproject.toml due to lack dependency", True),
        ("Skip /elsewhere/custom_nodes/other module for custom nodes", False),
    ],
)
def test_startup_messages_are_found(line: str, bad: bool) -> None:
    assert (
        startup_messages(f"Import times:\n{line}\nStarting server\n/custom_nodes/story_studio: later")
        == [line] * bad
    )


def change(shape: Info, path: str, value: Any) -> None:
    """Sets the value at a path such as `A/inputs/0/max`; None removes it."""
    *parents, last = path.split("/")
    target: Any = shape
    for step in parents:
        target = target[int(step) if isinstance(target, list) else step]
    if isinstance(target, list):
        target[int(last)] = value
    elif value is None:
        del target[last]
    else:
        target[last] = value


EXAMPLE: Info = {
    "A": {
        "category": "Story Studio",
        "output_node": True,
        "inputs": [
            {"name": "image", "type": "IMAGE"},
            {"name": "count", "type": "INT", "min": 0, "max": 9, "step": 1},
            {"name": "kind", "type": "COMBO", "options": ["a", "b"]},
            {"name": "seed", "type": "INT", "control_after_generate": True},
            {"name": "more", "type": "STRING", "optional": True, "default": "x"},
        ],
        "outputs": [{"name": "VIDEO", "type": "VIDEO", "is_list": False}],
    }
}
COUNT, KIND, MORE = EXAMPLE["A"]["inputs"][1], EXAMPLE["A"]["inputs"][2], EXAMPLE["A"]["inputs"][4]
NEW = {"name": "new", "type": "INT"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("A", None, "A: is gone"),
        ("A/output_node", False, "no longer an output node"),
        ("A/inputs", EXAMPLE["A"]["inputs"][1:], "input image is gone"),
        ("A/inputs/0/type", "MASK", "input image changed its type from IMAGE to MASK"),
        ("A/inputs/1/min", 1, "input count has a higher minimum, 1"),
        ("A/inputs/1/max", 8, "input count has a lower maximum, 8"),
        ("A/inputs/4/max", 8, "input more has a lower maximum, 8"),
        ("A/inputs/1/forceInput", True, "input count changed its forceInput"),
        ("A/inputs/2/options", ["a"], "input kind no longer has the choice 'b'"),
        ("A/inputs/3/control_after_generate", None, "input seed changed its control_after_generate"),
        ("A/inputs/1/control_after_generate", True, "input count changed its control_after_generate"),
        ("A/inputs/4/optional", None, "input more is no longer optional"),
        ("A/inputs/4/default", "y", "input more has another default, y"),
        ("A/inputs", [*EXAMPLE["A"]["inputs"], NEW], "the new input new is required"),
        ("A/inputs", [{**NEW, "optional": True}, *EXAMPLE["A"]["inputs"]], "the order of inputs is ['new',"),
        (
            "A/inputs",
            [EXAMPLE["A"]["inputs"][0], KIND, COUNT, *EXAMPLE["A"]["inputs"][3:]],
            "order of inputs",
        ),
        ("A/outputs", [], "outputs are []"),
        ("A/outputs/0/name", "clip", "outputs are [{'name': 'clip'"),
        ("A/outputs/0/type", "IMAGE", "'type': 'IMAGE'"),
        ("A/outputs/0/is_list", True, "'is_list': True"),
    ],
)
def test_a_breaking_change_is_reported(path: str, value: Any, message: str) -> None:
    new = copy.deepcopy(EXAMPLE)
    change(new, path, value)
    problems = breaks(EXAMPLE, new)
    assert len(problems) == 1 and message in problems[0], problems


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("A/category", "Elsewhere"),
        ("A/inputs", [*EXAMPLE["A"]["inputs"], {**NEW, "optional": True, "control_after_generate": True}]),
        ("A/inputs/1/min", -5),
        ("A/inputs/1/max", None),
        ("A/inputs/1/step", 3),
        ("A/inputs/2/options", ["c", "b", "a"]),
        ("A/outputs", [*EXAMPLE["A"]["outputs"], {"name": "IMAGE", "type": "IMAGE", "is_list": False}]),
        ("B", EXAMPLE["A"]),
    ],
)
def test_a_harmless_change_passes(path: str, value: Any) -> None:
    new = copy.deepcopy(EXAMPLE)
    change(new, path, value)
    assert new != EXAMPLE
    assert not breaks(EXAMPLE, new)


def test_all_breaking_changes_are_reported_together() -> None:
    new = copy.deepcopy(EXAMPLE)
    change(new, "A/inputs/0/name", "frame")
    change(new, "A/inputs/2/options", [])
    assert breaks(EXAMPLE, new) == [
        "A: input image is gone or has another name",
        "A: the new input frame is required: make it optional",
        "A: input kind no longer has the choice 'a'",
        "A: input kind no longer has the choice 'b'",
    ]


def regenerate() -> None:
    """Writes the snapshot and the English locale, unless the nodes break saved workflows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), Path(folder, "output"), extra_flags=CPU_FLAGS) as server,
    ):
        info = json.loads(httpx2.get(f"{server.url}/object_info").text)
    shape = shape_of(info)
    if SNAPSHOT.exists() and (problems := breaks(json.loads(SNAPSHOT.read_text()), shape)):
        sys.exit(
            "\n".join([*problems, f"To break saved workflows on purpose, delete {SNAPSHOT.name} first."])
        )
    for path, data in ((SNAPSHOT, shape), (LOCALES / "en" / "nodeDefs.json", english(info))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def test_the_driver_omits_the_same_defaults_from_keys() -> None:
    """For all nodes upstream of Still and Clip; the take of a Still or Clip is the key itself."""
    optional = {
        name: {
            entry["name"]: entry["default"]
            for entry in node["inputs"]
            if entry.get("optional") and "default" in entry
        }
        for name, node in json.loads(SNAPSHOT.read_text()).items()
    }
    assert [optional.pop(name) for name in ("StoryStudio_Still", "StoryStudio_Clip")] == [{"take": ""}] * 2
    assert {name: defaults for name, defaults in optional.items() if defaults} == keys._DEFAULTS


if __name__ == "__main__":
    regenerate()
