"""What ComfyUI tells of the nodes: saved workflows go on loading, and English texts are those of the schemas.

`.venv/bin/python -m tests.nodes.test_object_info` renews the snapshot and the English locale.
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
RENEW = "renew it with `.venv/bin/python -m tests.nodes.test_object_info`"
_BOUNDS = ("min", "max", "step", "multiline", "control_after_generate", "forceInput", "socketless")
_ALONE = re.compile(r"(\[INFO\])?\s*[\d.]+ seconds: .*custom_nodes/story_studio")

Info = dict[str, Any]


def shape_of(info: Info) -> Info:
    """What saved workflows rely on, of each node of the pack, as JSON.

    Args:
        info: the answer of /object_info.
    """
    return {name: _node(one) for name, one in info.items() if name.startswith("StoryStudio_")}


def _node(one: Info) -> Info:
    inputs = []
    for kind in ("required", "optional"):
        for name in one["input_order"].get(kind, []):
            type_name, more = one["input"][kind][name]
            entry: Info = {"name": name, "type": type_name}
            entry |= {key: more[key] for key in _BOUNDS if key in more}
            if type_name == "COMBO":
                # Which model files there are is no matter of the node.
                entry["options"] = [o for o in more["options"] if not o.endswith(".safetensors")]
            if kind == "optional":
                # Only what may be left out is filled in by whoever reads the workflow.
                entry |= {"optional": True, **({"default": more["default"]} if "default" in more else {})}
            inputs.append(entry)
    outputs = [
        {"name": name, "type": kind, "is_list": is_list}
        for name, kind, is_list in zip(one["output_name"], one["output"], one["output_is_list"], strict=True)
    ]
    return {
        "category": one["category"],
        "output_node": one["output_node"],
        "inputs": inputs,
        "outputs": outputs,
    }


def breaks(old: Info, new: Info) -> list[str]:
    """Why workflows that were saved with the old nodes would not load or run with the new, a line each."""
    found = [f"{node}: is gone or has another name" for node in old if node not in new]
    for node, was in old.items():
        if node in new:
            found += [f"{node}: {why}" for why in (*_inputs(was, new[node]), *_outputs(was, new[node]))]
    return found


def _inputs(was: Info, now: Info) -> list[str]:
    before, after = ({one["name"]: one for one in node["inputs"]} for node in (was, now))
    found = [f"input {name} is gone or has another name" for name in before if name not in after]
    found += [
        f"the new input {name} is required: make it optional"
        for name, one in after.items()
        if name not in before and not one.get("optional")
    ]
    # widgets_values is a list without names, and a seed has a second widget.
    if not found and list(after)[: len(before)] != list(before):
        found.append(f"the order of inputs is {list(after)}: keep {list(before)}, and add at the end")
    for name, one in before.items():
        if name in after:
            found += [f"input {name} {why}" for why in _input(one, after[name])]
    return found


def _input(was: Info, now: Info) -> list[str]:
    found = [
        f"changed its {key} from {was.get(key)} to {now.get(key)}"
        for key in ("type", "control_after_generate", "forceInput", "socketless")
        if was.get(key) != now.get(key)
    ]
    if was.get("optional") and not now.get("optional"):
        found.append("is no longer optional")
    if now.get("optional") and was.get("optional") and was.get("default") != now.get("default"):
        found.append(
            f"has another default, {now.get('default')}: who left it out relied on {was.get('default')}"
        )
    if "min" in now and now["min"] > was.get("min", float("-inf")):
        found.append(f"has a higher minimum, {now['min']}")
    if "max" in now and now["max"] < was.get("max", float("inf")):
        found.append(f"has a lower maximum, {now['max']}")
    found += [
        f"has lost its choice {one!r}" for one in was.get("options", []) if one not in now.get("options", [])
    ]
    return found


def _outputs(was: Info, now: Info) -> list[str]:
    count = len(was["outputs"])
    found = []
    if now["outputs"][:count] != was["outputs"]:
        found.append(f"outputs are {now['outputs'][:count]}: keep {was['outputs']}, and add at the end")
    if was["output_node"] and not now["output_node"]:
        found.append("is no output node any more, so a workflow that ends with it does not run")
    return found


def english(info: Info) -> Info:
    """The English locale in ComfyUI's form: what the schemas say."""
    return {name: _texts(one) for name, one in info.items() if name.startswith("StoryStudio_")}


def _texts(one: Info) -> Info:
    inputs: Info = {}
    for kind in ("required", "optional"):
        for name in one["input_order"].get(kind, []):
            more = one["input"][kind][name][1]
            inputs[name] = {"name": more.get("display_name", name), "tooltip": more.get("tooltip", "")}
            if more.get("control_after_generate"):
                inputs["control_after_generate"] = {"name": "control after generate"}
    outputs = {
        # ComfyUI itself translates an output that is named as its type is.
        str(number): ({} if name == kind else {"name": name}) | {"tooltip": tooltip or ""}
        for number, (name, kind, tooltip) in enumerate(
            zip(one["output_name"], one["output"], one["output_tooltips"], strict=True)
        )
    }
    return {
        "display_name": one["display_name"],
        "description": one["description"],
        "inputs": inputs,
        "outputs": outputs,
    }


def troubles(log: str) -> list[str]:
    """What ComfyUI's log says of the pack until it is ready, but for how long the import took."""
    start = log.split("Starting server")[0]
    about = ("custom_nodes/story_studio", "StoryStudio", "story_studio.", "pyproject.toml")
    named = [line for line in start.splitlines() if any(word in line for word in about)]
    return [line for line in named if not _ALONE.fullmatch(line)]


@pytest.fixture
def info(studio: Studio) -> Info:
    return json.loads(httpx2.get(f"{studio.url}/object_info").text)


def test_saved_workflows_go_on_loading(info: Info) -> None:
    assert not breaks(json.loads(SNAPSHOT.read_text()), shape_of(info))


def test_the_snapshot_is_of_these_nodes(info: Info) -> None:
    assert json.loads(SNAPSHOT.read_text()) == shape_of(info), RENEW


def test_the_english_locale_says_what_the_schemas_say(info: Info) -> None:
    assert json.loads((LOCALES / "en" / "nodeDefs.json").read_text()) == english(info), RENEW


def test_every_node_input_and_output_explains_itself(info: Info) -> None:
    for name, node in english(info).items():
        texts = {"display name": node["display_name"], "description": node["description"]}
        for kind in ("inputs", "outputs"):
            texts |= {f"{kind} {key}": one.get("tooltip", "-") for key, one in node[kind].items()}
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


def test_the_start_says_nothing_of_the_pack_but_its_time(studio: Studio) -> None:
    log = (studio.server.workspace / "server.log").read_text()
    assert "custom_nodes/story_studio" in log.split("Starting server")[0]
    assert not troubles(log)


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
def test_troubles_are_seen(line: str, bad: bool) -> None:
    assert (
        troubles(f"Import times:\n{line}\nStarting server\n/custom_nodes/story_studio: later") == [line] * bad
    )


def change(shape: Info, path: str, value: Any) -> None:
    """Sets what stands at a path such as `A/inputs/0/max`; None takes it away."""
    *way, last = path.split("/")
    place: Any = shape
    for step in way:
        place = place[int(step) if isinstance(place, list) else step]
    if isinstance(place, list):
        place[int(last)] = value
    elif value is None:
        del place[last]
    else:
        place[last] = value


MADE_UP: Info = {
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
COUNT, KIND, MORE = MADE_UP["A"]["inputs"][1], MADE_UP["A"]["inputs"][2], MADE_UP["A"]["inputs"][4]
NEW = {"name": "new", "type": "INT"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("A", None, "A: is gone"),
        ("A/output_node", False, "no output node"),
        ("A/inputs", MADE_UP["A"]["inputs"][1:], "input image is gone"),
        ("A/inputs/0/type", "MASK", "input image changed its type from IMAGE to MASK"),
        ("A/inputs/1/min", 1, "input count has a higher minimum, 1"),
        ("A/inputs/1/max", 8, "input count has a lower maximum, 8"),
        ("A/inputs/4/max", 8, "input more has a lower maximum, 8"),
        ("A/inputs/1/forceInput", True, "input count changed its forceInput"),
        ("A/inputs/2/options", ["a"], "input kind has lost its choice 'b'"),
        ("A/inputs/3/control_after_generate", None, "input seed changed its control_after_generate"),
        ("A/inputs/1/control_after_generate", True, "input count changed its control_after_generate"),
        ("A/inputs/4/optional", None, "input more is no longer optional"),
        ("A/inputs/4/default", "y", "input more has another default, y"),
        ("A/inputs", [*MADE_UP["A"]["inputs"], NEW], "the new input new is required"),
        ("A/inputs", [{**NEW, "optional": True}, *MADE_UP["A"]["inputs"]], "the order of inputs is ['new',"),
        (
            "A/inputs",
            [MADE_UP["A"]["inputs"][0], KIND, COUNT, *MADE_UP["A"]["inputs"][3:]],
            "order of inputs",
        ),
        ("A/outputs", [], "outputs are []"),
        ("A/outputs/0/name", "clip", "outputs are [{'name': 'clip'"),
        ("A/outputs/0/type", "IMAGE", "'type': 'IMAGE'"),
        ("A/outputs/0/is_list", True, "'is_list': True"),
    ],
)
def test_a_breaking_change_is_seen(path: str, value: Any, said: str) -> None:
    new = copy.deepcopy(MADE_UP)
    change(new, path, value)
    found = breaks(MADE_UP, new)
    assert len(found) == 1 and said in found[0], found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("A/category", "Elsewhere"),
        ("A/inputs", [*MADE_UP["A"]["inputs"], {**NEW, "optional": True, "control_after_generate": True}]),
        ("A/inputs/1/min", -5),
        ("A/inputs/1/max", None),
        ("A/inputs/1/step", 3),
        ("A/inputs/2/options", ["c", "b", "a"]),
        ("A/outputs", [*MADE_UP["A"]["outputs"], {"name": "IMAGE", "type": "IMAGE", "is_list": False}]),
        ("B", MADE_UP["A"]),
    ],
)
def test_a_harmless_change_passes(path: str, value: Any) -> None:
    new = copy.deepcopy(MADE_UP)
    change(new, path, value)
    assert new != MADE_UP
    assert not breaks(MADE_UP, new)


def test_several_breaks_are_told_at_once() -> None:
    new = copy.deepcopy(MADE_UP)
    change(new, "A/inputs/0/name", "picture")
    change(new, "A/inputs/2/options", [])
    assert breaks(MADE_UP, new) == [
        "A: input image is gone or has another name",
        "A: the new input picture is required: make it optional",
        "A: input kind has lost its choice 'a'",
        "A: input kind has lost its choice 'b'",
    ]


def renew() -> None:
    """Writes the snapshot and the English locale, unless the nodes would break saved workflows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), Path(folder, "output"), extra_flags=CPU_FLAGS) as server,
    ):
        info = json.loads(httpx2.get(f"{server.url}/object_info").text)
    shape = shape_of(info)
    if SNAPSHOT.exists() and (found := breaks(json.loads(SNAPSHOT.read_text()), shape)):
        sys.exit("\n".join([*found, f"To break saved workflows on purpose, delete {SNAPSHOT.name} first."]))
    for path, data in ((SNAPSHOT, shape), (LOCALES / "en" / "nodeDefs.json", english(info))):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def test_the_driver_leaves_the_defaults_out_of_keys_too() -> None:
    """Of the nodes that stills and clips are made from; a Still's and Clip's own take is the key itself."""
    optional = {
        name: {
            one["name"]: one["default"] for one in node["inputs"] if one.get("optional") and "default" in one
        }
        for name, node in json.loads(SNAPSHOT.read_text()).items()
    }
    assert [optional.pop(name) for name in ("StoryStudio_Still", "StoryStudio_Clip")] == [{"take": ""}] * 2
    assert {name: found for name, found in optional.items() if found} == keys._DEFAULTS


if __name__ == "__main__":
    renew()
