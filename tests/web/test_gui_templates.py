"""The recipes are ComfyUI's own exports of the examples; missing models are listed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.comfy.models import known_models
from driver.comfy.process import PACK
from story_studio.story.recipes import FOLDER, load_profile, profile_names
from tests.web.canvas import Canvas, newer_only
from workflows.canvas import read_workflow
from workflows.generate import EXAMPLES, SOURCES, recipe_text


def test_every_recipe_has_its_example_and_its_profile() -> None:
    profiles = json.loads((FOLDER / "profiles.json").read_text())
    used = {profiles[name][kind] for name in profile_names() for kind in ("still", "clip")}
    assert used == set(SOURCES)
    loaded = [load_profile(name) for name in profile_names()]
    parameters = {
        name: set(getattr(profile, SOURCES[name].kind).parameters)
        for entry, profile in zip(profiles.values(), loaded, strict=True)
        for name in (entry["still"], entry["clip"])
    }
    assert parameters == {name: set(source.parameters) for name, source in SOURCES.items()}


@newer_only
def test_recipes_are_exported_from_the_examples(artist: Canvas) -> None:
    for name, source in SOURCES.items():
        shipped = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        assert recipe_text(artist, source) == shipped, "run .venv/bin/python -m workflows.generate"


S2V = {
    "wan2.2_s2v_14B_fp8_scaled.safetensors",
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "wan_2.1_vae.safetensors",
    "wav2vec2_large_english_fp16.safetensors",
}
Z_IMAGE = {"z_image_turbo_bf16.safetensors", "qwen_3_4b.safetensors", "ae.safetensors"}


MISSING = {
    "Talking video": (S2V | Z_IMAGE, S2V),
    "One scene": (S2V | Z_IMAGE, S2V | Z_IMAGE),
    "One image": (S2V | {"z_image_bf16.safetensors"}, {"z_image_bf16.safetensors"}),
    "Story": ({"ae.safetensors", *S2V}, {"ae.safetensors", *S2V}),
}
"""For each example, the files that are missing, and those of them that it needs."""


@pytest.mark.parametrize(
    ("interface", "example"),
    [("canvas", "One scene"), *(("newer_canvas", example) for example in MISSING)],
)
def test_missing_models_are_listed(
    request: pytest.FixtureRequest,
    missing_models: Callable[[set[str]], None],
    interface: str,
    example: str,
) -> None:
    missing, listed = MISSING[example]
    missing_models(missing)
    canvas: Canvas = request.getfixturevalue(interface)
    canvas.open_template(example)
    shown = canvas.missing_models()
    canvas.screenshot("listed")
    folders = {model.file: model.folder for model in known_models()}
    assert shown == sorted((folders[file], file) for file in listed)


@pytest.mark.parametrize(
    "path",
    [*EXAMPLES.glob("*.json"), *PACK.glob("subgraphs/*.json")],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_model_has_its_download_address(path: Path) -> None:
    """A loader has the folder and address of each file that it names, as driver/comfy/models.json has."""
    known = {model.file: (model.folder, model.url) for model in known_models()}
    graph = read_workflow(path)
    subgraphs = graph.get("definitions", {}).get("subgraphs", [])
    for node in [*graph["nodes"], *(node for subgraph in subgraphs for node in subgraph["nodes"])]:
        listed = {
            model["name"]: (model["directory"], model["url"])
            for model in node["properties"].get("models", [])
        }
        named = {value for value in node.get("widgets_values", []) if value in known}
        assert named <= set(listed), f"{node['type']} does not say where to download {named}"
        assert listed == {name: known[name] for name in listed}
