"""`recipes`: what it lists, what it says of recipes that do not fit the server, and trials on a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from driver.cli import main
from story_studio.story.recipes import FOLDER, load_recipe, profile_names
from tests.studio import Studio


def z_image(**changes: dict[str, Any]) -> dict[str, Any]:
    """The recipe for Z-Image Turbo with changed inputs, by the class of the node."""
    nodes = json.loads((FOLDER / "z_image_turbo_still.json").read_text("utf-8"))
    for node in nodes.values():
        node["inputs"] |= changes.get(node["class_type"], {})
    return nodes


def id_of(cls: str) -> str:
    return next(node_id for node_id, node in z_image().items() if node["class_type"] == cls)


def check(capsys: pytest.CaptureFixture[str], path: Path, *more: str) -> list[str]:
    """The faults that the command prints."""
    status = main(["recipes", "check", str(path), *more])
    lines = capsys.readouterr().out.splitlines()
    faults = [line.strip().removeprefix("fault: ") for line in lines if line.startswith("    fault: ")]
    assert status == bool(faults)
    return faults


def test_the_shipped_recipes_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["recipes", "list", "--json", "--models", str(tmp_path)]) == 0
    listed = {entry["recipe"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(listed) == {path.name for path in FOLDER.glob("*_*.json")}
    assert {name for entry in listed.values() for name in entry["profiles"]} == set(profile_names())
    i2v = listed["wan22_i2v_clip.json"]
    assert i2v["kind"] == "clip" and {"image", "length", "fps"} <= set(i2v["parameters"])
    for entry in listed.values():
        # A missing file of a shipped recipe is reported with its address.
        assert all(model["url"] and model["gb"] and not model["present"] for model in entry["models"])
    assert main(["recipes"]) == 0
    assert "wan22_i2v_clip.json: clip, used by" in capsys.readouterr().out


def test_without_a_server_it_says_what_is_not_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "own_still.json"
    path.write_text(json.dumps(z_image(KSampler={"sampler_name": "eular"})))
    assert main(["recipes", "check", str(path), "--no-server"]) == 0
    printed = capsys.readouterr()
    assert "own_still.json: still, no faults" in printed.out
    assert "Not checked without a server: " in printed.err


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    binary, right = tmp_path / "a_still.json", tmp_path / "b_still.json"
    binary.write_bytes(b"\xff\xfe\x00")
    right.write_text(json.dumps(z_image()))
    assert main(["recipes", "check", str(binary), str(right), "--no-server"]) == 1
    printed = capsys.readouterr().out
    assert (
        f"{binary}: cannot be read as a workflow" in printed and "b_still.json: still, no faults" in printed
    )


def test_nodes_are_checked_against_the_server(
    studio: Studio, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sampler, vae, encoder = id_of("KSampler"), id_of("VAELoader"), id_of("VAEDecode")
    nodes = z_image(
        KSampler={"sampler_name": "eular", "denoise": 2.0, "latent_image": [vae, 0], "modle": [vae, 0]},
        VAELoader={"vae_name": "mine.safetensors"},
        VAEDecode={"samples": [sampler, 1]},
    )
    del nodes[sampler]["inputs"]["scheduler"]
    nodes["99"] = {"class_type": "VAEDecod", "inputs": {}}
    path = tmp_path / "own_still.json"
    path.write_text(json.dumps(nodes))
    titles = {node_id: node["_meta"]["title"] for node_id, node in nodes.items() if "_meta" in node}
    where = {node_id: f"node {node_id} ({title})" for node_id, title in titles.items()}
    for node_id, cls in ((sampler, "KSampler"), (vae, "VAELoader"), (encoder, "VAEDecode")):
        if cls not in where[node_id]:
            where[node_id] = f"{where[node_id][:-1]}, {cls})"
    expected = [
        f"{where[sampler]} lacks its input scheduler: link it or give it a value.",
        f"{where[sampler]} has no sampler_name 'eular': did you mean 'euler'?",
        f"denoise of {where[sampler]} is 2.0, and has to be from 0.0 to 1.0.",
        f"input latent_image of {where[sampler]} takes LATENT, and {where[vae]} gives VAE: link another "
        "output.",
        f"{where[sampler]} has no input modle: did you mean 'model'?",
        f"input samples of {where[encoder]} is linked to output 1 of {where[sampler]}, which has 1.",
        "node 99 (VAEDecod) is unknown here: did you mean 'VAEDecode'? If not, install the node pack that "
        "has it, or update ComfyUI.",
        "a model file is missing: mine.safetensors belongs in models/vae",
    ]
    found = check(capsys, path, "--server", studio.url)
    assert sorted(found) == sorted(expected)


def test_a_recipe_for_gguf_files_names_the_pack_that_it_needs(
    studio: Studio, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nodes = z_image()
    for node in nodes.values():
        if node["class_type"] == "UNETLoader":
            node |= {"class_type": "UnetLoaderGGUF", "inputs": {"unet_name": "z_image_turbo-Q4_K_M.gguf"}}
    path = tmp_path / "own_still.json"
    path.write_text(json.dumps(nodes))
    (fault,) = check(capsys, path, "--server", studio.url)
    said = "is unknown here: the node pack ComfyUI-GGUF (https://github.com/city96/ComfyUI-GGUF) has it."
    assert fault.endswith(said) and said in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["infinitetalk_clip", "infinitetalk_two_speakers_clip"])
def test_infinitetalk_fits_a_comfyui_that_has_it(
    studio: Studio, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    faults = check(capsys, Path(f"{name}.json"), "--server", studio.url)
    lacking = [fault for fault in faults if fault.startswith("a model file is missing")]
    if "WanInfiniteTalkToVideo" in studio.comfy.object_info():
        assert faults == lacking and len(lacking) == 5
        assert all("https://huggingface.co/" in fault for fault in lacking)
    else:
        assert any("is unknown here: ComfyUI 0.11.0 has it." in fault for fault in faults)


def test_wan_i2v_makes_a_clip(studio: Studio, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    studio.comfy.free()
    studio.samples()
    studio.loads()
    arguments = ["recipes", "try", "wan22_i2v_clip.json", "--server", studio.url, "--output", str(tmp_path)]
    assert main(arguments) == 0
    path = tmp_path / "recipes" / "wan22_i2v_clip.mp4"
    assert str(path) in capsys.readouterr().out
    with av.open(str(path)) as video:
        (stream,) = video.streams.video
        assert (stream.width, stream.height, stream.average_rate) == (128, 128, 16)
        assert sum(1 for _ in video.decode(stream)) == 5
    # One step with each of its models, on latents of two frames.
    samples = studio.samples()
    assert [(run["steps"], run["shape"]) for run in samples] == [(1, [1, 16, 2, 16, 16])] * 2
    loaded = [load["file"] for load in studio.loads()]
    assert sum("i2v" in file for file in loaded) == 2 and len(loaded) == len(set(loaded)) == 4


@pytest.mark.parametrize("steps", [4, 8, 10, 20, 30, 40])
def test_wan_i2v_changes_models_at_the_official_boundary(steps: int) -> None:
    """The high noise model has the steps that begin at a sigma of 0.9 or more (wan_i2v_A14B.py)."""
    recipe = load_recipe(FOLDER / "wan22_i2v_clip.json", "clip")
    inputs = {node["class_type"]: node["inputs"] for node in recipe.nodes.values()}
    shift, denoise = inputs["ModelSamplingSD3"]["shift"], inputs["SplitSigmasDenoise"]["denoise"]
    times = [1 - step / steps for step in range(steps)]
    official = sum(shift * time / (1 + (shift - 1) * time) >= 0.9 for time in times)
    # As SplitSigmasDenoise counts the steps of the second part.
    assert official == steps - round(steps * denoise)


def test_a_story_says_which_comfyui_a_recipe_needs(
    studio: Studio, write_story: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "WanInfiniteTalkToVideo" in studio.comfy.object_info():
        pytest.skip("This ComfyUI has the node.")
    story = write_story([0.5], "draft", video_settings={"workflow": "infinitetalk_clip.json"})
    assert studio.render(story, tmp_path / "output") == 1
    assert "has no node WanInfiniteTalkToVideo: ComfyUI 0.11.0 has it." in capsys.readouterr().err
