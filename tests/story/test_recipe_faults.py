"""What is said of wrong recipes: everything at once, a sentence a fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from story_studio.story.problems import Problems
from story_studio.story.recipe_faults import inspect_recipe
from story_studio.story.recipe_kinds import KINDS, kind_of
from story_studio.story.recipes import FOLDER, read_recipe

PAGE = (FOLDER / "README.md").read_text("utf-8")


def node(cls: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": cls, "inputs": inputs, **({"_meta": {"title": title}} if title else {})}


def still(**changes: dict[str, Any] | None) -> str:
    """A small still recipe with changes; None removes a node."""
    nodes = {
        "1": node("PrimitiveStringMultiline", "$prompt", value="a boat"),
        "2": node("PrimitiveInt", "$width", value=512),
        "3": node("PrimitiveInt", "$height", value=512),
        "4": node("PrimitiveInt", "$seed", value=0),
        "5": node("MyPainter", text=["1", 0], width=["2", 0], height=["3", 0], seed=["4", 0]),
        "6": node("SaveImage", "$still", images=["5", 0], filename_prefix="still"),
    }
    merged = nodes | {name.lstrip("n"): content for name, content in changes.items()}
    return json.dumps({name: content for name, content in merged.items() if content is not None})


EXPORT = "export it from ComfyUI with Workflow > Export (API)."
WRONG: dict[str, tuple[str, str, list[str]]] = {
    "text": ("a boat", "still", [f"cannot be read as a workflow, it is not JSON at line 1: {EXPORT}"]),
    "as the canvas saves it": (
        json.dumps({"nodes": [], "links": [], "version": 0.4}),
        "still",
        [
            "is a workflow as the canvas saves it, not an API workflow: open it in ComfyUI and " + EXPORT,
        ],
    ),
    "a node without a class": (
        still(n5={"inputs": {}}),
        "still",
        [f"node 5 has no class_type, so this is not an API workflow: {EXPORT}"],
    ),
    "a link to nowhere": (
        still(n2=None),
        "still",
        [
            "input width of node 5 (MyPainter) is linked to node 2, which does not exist: export the "
            "workflow again."
        ],
    ),
    "a loop": (
        still(n5=node("MyPainter", text=["1", 0], mask=["7", 0]), n7=node("Blur", image=["5", 0])),
        "still",
        ["has links that form a loop, 7 -> 5 -> 7: remove one of them."],
    ),
    "two prompts": (
        still(n7=node("PrimitiveString", "$prompt", value="a car")),
        "still",
        ["has two nodes titled $prompt, 1 and 7: keep one of them."],
    ),
    "no end": (
        still(n6=node("SaveImage", "Save", images=["5", 0])),
        "still",
        [
            "needs one node titled $still with one linked input, the rendered still: title the node that "
            "saves it $still."
        ],
    ),
    "an end with two links": (
        still(n6=node("SaveImage", "$still", images=["5", 0], filename_prefix=["1", 0])),
        "still",
        [
            "needs one node titled $still with one linked input, the rendered still: node 6 ($still) has 2, "
            "images and filename_prefix; leave one."
        ],
    ),
    "a still for a clip": (
        still(),
        "clip",
        [
            "needs one node titled $clip with one linked input, the rendered clip: this is a still recipe, "
            "name it in image_settings.workflow."
        ],
    ),
    "a misspelt parameter": (
        still(n1=node("PrimitiveStringMultiline", "$promt", value="a boat")),
        "still",
        ["node 1 ($promt) is no parameter of a still recipe: did you mean $prompt?"],
    ),
    "nothing that differs": (
        still(n1=None, n5=node("MyPainter", width=["2", 0], height=["3", 0], seed=["4", 0])),
        "still",
        [
            "has no parameter $prompt, $subject or $heading, and without it the stills of all scenes are the "
            "same: title the node that holds it so."
        ],
    ),
    "a parameter without an input": (
        still(n4=node("RandomSeed", "$seed")),
        "still",
        [
            "node 4 ($seed) has no input that takes the value: title a node with one, such as a primitive, "
            "$seed."
        ],
    ),
    "a talking clip that gets no voice": (
        json.dumps(
            {"1": node("LoadImage", "$image", image="a.png"), "2": node("Save", "$clip", video=["1", 0])}
        ),
        "talking",
        [
            "has no parameter $audio, and a clip of a talking scene takes its voice: title the node that "
            "holds it so, or name the recipe in video_settings.narrated_workflow."
        ],
    ),
    "a voice without text": (
        json.dumps({"1": node("Speak", words=""), "2": node("SaveAudio", "$audio", audio=["1", 0])}),
        "voice",
        [
            "has no parameter $text, and without it the voice says the same in all scenes: title the node "
            "that holds it so."
        ],
    ),
}


@pytest.mark.parametrize(("text", "kind", "sentences"), WRONG.values(), ids=WRONG)
def test_a_wrong_recipe_is_explained(text: str, kind: str, sentences: list[str]) -> None:
    assert inspect_recipe(text, kind).faults == sentences


@pytest.mark.parametrize("sentence", [sentence for _, _, said in WRONG.values() for sentence in said])
def test_the_page_quotes_what_is_said(sentence: str) -> None:
    assert sentence in PAGE


def test_everything_is_said_at_once() -> None:
    text = still(
        n1=node("PrimitiveStringMultiline", "$promt", value="a boat"),
        n2=None,
        n6=node("SaveImage", "$still", images=["5", 0], filename_prefix=["1", 0]),
        n8={"inputs": {}},
    )
    with pytest.raises(Problems) as error:
        read_recipe(text, "still", "own.json")
    assert [where for where, _ in error.value.problems] == ["own.json"] * 4
    starts = ["node 8 has", "input width of", "needs one node titled $still", "node 1 ($promt) is no"]
    said = [what for _, what in error.value.problems]
    assert all(what.startswith(start) for what, start in zip(said, starts, strict=True)), said


def test_what_works_but_may_not_be_meant_is_a_hint() -> None:
    nodes = json.loads(still(n7=node("PrimitiveFloat", "$strength", value=1.0)))
    del nodes["3"], nodes["5"]["inputs"]["height"], nodes["5"]["inputs"]["width"]
    found = inspect_recipe(json.dumps(nodes), "still")
    assert not found.faults and found.hints == [
        "node 2 ($width) is not upstream of $still, so it has no effect: link it.",
        "node 7 ($strength) is no parameter that stories set: it keeps its value.",
        "has no parameter $height: the story's format and resolution has no effect.",
    ]


@pytest.mark.parametrize("value", ["abc", -5, 1, None, True, 81, 81.0, ["2", 0]])
def test_a_length_that_no_clip_can_have_is_a_fault(value: Any) -> None:
    nodes = json.loads((FOLDER / "wan22_i2v_clip.json").read_text("utf-8"))
    (length,) = (found for found in nodes.values() if found["_meta"]["title"] == "$length")
    length["inputs"] = {} if value is None else {"value": value}
    faults = inspect_recipe(json.dumps(nodes), "clip").faults
    is_right = value == 81 or isinstance(value, list)
    assert len(faults) == (0 if is_right else 1) and all("($length) " in fault for fault in faults), faults


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*_*.json")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_right_and_tell_their_kind(path: Path) -> None:
    text = path.read_text("utf-8")
    kind = kind_of(json.loads(text))
    assert kind and kind == path.stem.rpartition("_")[2]
    found = inspect_recipe(text, kind)
    assert found.result and not found.faults
    # A parameter that stories do not set, or that has no effect, would be a mistake of ours.
    assert not [hint for hint in found.hints if hint.startswith("node")]


def test_a_voice_ends_in_its_audio() -> None:
    nodes = {
        "1": node("PrimitiveStringMultiline", "$text", value="Hello."),
        "2": node("PrimitiveString", "$voice", value="a"),
        "3": node("Speak", text=["1", 0], voice=["2", 0]),
        "4": node("SaveAudio", "$audio", audio=["3", 0]),
    }
    recipe = read_recipe(json.dumps(nodes), "voice", "own.json")
    assert kind_of(nodes) == "voice" and recipe.result == ("3", 0)
    assert recipe.parameters == {"text": "1", "voice": "2"}


def test_every_parameter_that_is_required_or_recommended_is_one() -> None:
    for kind in KINDS.values():
        named = {name for group in kind.required for name in group} | set(kind.recommended)
        assert named <= set(kind.parameters)
