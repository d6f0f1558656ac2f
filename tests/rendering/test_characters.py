"""Characters on the real server: their sheets, reference images and LoRAs reach the stills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from driver.terminal import FAILED, OK
from story_studio.story.recipes import FOLDER, is_link
from story_studio.story.results import Kind
from tests.studio import Studio
from tests.tiny_models import make_character_lora, make_reference_models
from tests.voices import write_voice

MARA = "a lighthouse keeper of seventy, silver braid"


def write_story(folder: Path, scenes: list[str], mara: dict[str, Any], **settings: Any) -> Path:
    story = {
        "project_id": "tale",
        "profile": "turbo",
        "characters": {"mara": {"description": MARA, **mara}, "tom": {"description": "a sailor"}},
        "scenes": [
            {"id": f"s{n}", "prompt": prompt, "kind": "narrated", "audio": "voice.wav"}
            for n, prompt in enumerate(scenes)
        ],
        "image_settings": {"steps": 1, **settings},
        "video_settings": {"resolution": "64x64"},
        "film": False,
    }
    write_voice(folder / "voice.wav", 0.3)
    path = folder / "tale.yaml"
    path.write_text(yaml.safe_dump(story))
    return path


def write_recipe(folder: Path) -> str:
    """A still recipe that starts from the reference image, of stock nodes that Z-Image runs."""
    nodes = json.loads((FOLDER / "z_image_turbo_still.json").read_text())
    ids = {node["_meta"]["title"]: node_id for node_id, node in nodes.items()}
    nodes["reference"] = {
        "class_type": "LoadImage",
        "inputs": {"image": "example.png"},
        "_meta": {"title": "$reference"},
    }
    size = {"width": [ids["$width"], 0], "height": [ids["$height"], 0]}
    scale = {"image": ["reference", 0], **size, "upscale_method": "area", "crop": "center"}
    nodes["scale"] = {"class_type": "ImageScale", "inputs": scale}
    latent = {"pixels": ["scale", 0], "vae": [ids["Z-Image: VAE"], 0]}
    nodes["encode"] = {"class_type": "VAEEncode", "inputs": latent}
    nodes[ids["Draw"]]["inputs"] |= {"latent_image": ["encode", 0], "denoise": 0.5}
    (folder / "reference_still.json").write_text(json.dumps(nodes))
    return "reference_still.json"


def stills(folder: Path) -> dict[str, Any]:
    return {path.stem: np.array(Image.open(path)) for path in sorted((folder / "tale").glob("*.png"))}


def stills_above(still: Path) -> set[str]:
    """The names of the stills that a still was made from, by the graph that is in its file."""
    nodes = json.loads(Image.open(still).info["prompt"])
    (end,) = [n for n, node in nodes.items() if node["inputs"].get("name") == f"tale_{still.stem[:-4]}"]
    waiting, seen = [end], set[str]()
    while waiting:
        seen.add(node := waiting.pop())
        links = nodes[node]["inputs"].items()
        waiting += [value[0] for name, value in links if is_link(value) and name != "after"]
    return {nodes[n]["inputs"]["name"] for n in seen - {end} if nodes[n]["class_type"] == Kind.STILL.node}


def test_a_sheet_is_made_once_approved_and_goes_into_the_stills_that_show_the_character(
    studio: Studio, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "output"
    recipe, scenes = write_recipe(tmp_path), ["{mara} reads", "the empty room", "{mara} sleeps"]

    def render(mara: dict[str, Any], *more: str, **settings: Any) -> tuple[int, str]:
        studio.samples()
        status = studio.render(
            write_story(tmp_path, scenes, mara, reference_workflow=recipe, **settings), output, *more
        )
        assert status == OK
        return len(studio.samples()), capsys.readouterr().out

    count, out = render({}, "--sheets")
    manifest = json.loads((output / "tale" / "manifest.json").read_text())
    keys = {entry["id"]: entry["sheet"]["key"] for entry in manifest["characters"]}
    assert count == 2 and f"characters.mara.reference_take: {keys['mara']}" in out
    assert sorted(stills(output)) == ["mara_sheet", "tom_sheet"]

    assert render({"reference_take": keys["mara"]})[0] == 3
    first = stills(output)
    manifest = json.loads((output / "tale" / "manifest.json").read_text())
    assert [entry["sheet"]["key"] for entry in manifest["characters"]] == [keys["mara"]]
    above = [stills_above(output / "tale" / f"s{n}_img.png") for n in range(3)]
    assert above == [{"tale_mara_sheet"}, set(), {"tale_mara_sheet"}]

    _, out = render({"seed": 7}, "--dry-run")
    assert "mara character sheet: made, the character, the recipe or its models changed" in out
    assert "s0 still: made, the sheet of mara changed" in out and "s1 still: reused" in out
    assert render({"seed": 7})[0] == 3
    other = stills(output)
    changed = {name for name in first if not np.array_equal(first[name], other[name])}
    assert changed == {"mara_sheet", "s0_img", "s2_img"}

    make_character_lora(models, "mara")
    take = {"reference_take": keys["mara"]}
    assert render({**take, "loras": ["mara.safetensors"]})[0] == 2
    with_lora = stills(output)
    changed = {name for name in first if not np.array_equal(first[name], with_lora[name])}
    assert changed == {"s0_img", "s2_img"}

    shown = []
    for color in ("red", "blue"):
        Image.new("RGB", (64, 64), color).save(tmp_path / "mara.png")
        assert render({"reference": "mara.png"})[0] == 2
        shown.append(stills(output))
    changed = {name for name in shown[0] if not np.array_equal(shown[0][name], shown[1][name])}
    assert changed == {"s0_img", "s2_img"}

    path = write_story(tmp_path, scenes, {**take, "loras": [{"file": "lost.safetensors"}]})
    assert studio.render(path, output) == FAILED
    assert "lost.safetensors belongs in models/loras" in capsys.readouterr().err


def test_the_shipped_recipe_for_references(studio: Studio, models: Path, tmp_path: Path) -> None:
    make_reference_models(models)
    path = write_story(tmp_path, ["{mara} eats"], {}, reference_workflow="qwen_image_edit_still.json")
    studio.loads()
    assert studio.render(path, tmp_path / "output") == OK
    loaded = [load["file"] for load in studio.loads()]
    assert loaded.count("qwen_image_edit_2509_fp8_e4m3fn.safetensors") == 1
    above = stills_above(tmp_path / "output" / "tale" / "s0_img.png")
    assert above == {"tale_mara_sheet"}
