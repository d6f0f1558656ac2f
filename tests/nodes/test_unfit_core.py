"""A ComfyUI that is not as the pack knows it: one line says so, and drafts go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from driver.cli import doctor
from driver.comfy import process
from driver.comfy.client import Comfy
from driver.comfy.events import Failed
from driver.comfy.process import Server
from driver.paths import COMFYUI
from tests.recipes import read_titled
from tests.studio import CPU_FLAGS, Studio
from tests.voices import write_voice

LINE = "Talking Video fails, because WanModel_S2V.frame_packer in ComfyUI's comfy/ldm/wan/model.py is gone. "
ADVICE = "Update Story Studio, or use a ComfyUI that it was run on: 0.3.75, "


@pytest.fixture
def unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ComfyUI that has given another name to a part of the network."""
    tree = tmp_path / "ComfyUI"
    shutil.copytree(COMFYUI, tree, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    network = tree / "comfy/ldm/wan/model.py"
    network.write_text(re.sub(r"\bframe_packer\b", "motion_packer", network.read_text("utf-8")), "utf-8")
    # As far as ComfyUI itself can do without it.
    (tree / "comfy_extras/nodes_model_advanced.py").unlink()
    loaders = tree / "comfy/audio_encoders/wav2vec2.py"
    loaders.write_text(re.sub(r"\bWav2Vec2Model\b", "Wav2Vec3Model", loaders.read_text("utf-8")), "utf-8")
    users = tree / "comfy/audio_encoders/audio_encoders.py"
    users.write_text(re.sub(r"\bWav2Vec2Model\b", "Wav2Vec3Model", users.read_text("utf-8")), "utf-8")
    for module in (process, doctor):
        monkeypatch.setattr(module, "COMFYUI", tree)
    return tree


def test_an_unfit_comfyui_is_told_in_one_line(
    unfit: Path, models: Path, tmp_path: Path, write_story: Callable[..., Path]
) -> None:
    workspace, records = tmp_path / "workspace", tmp_path / "records"
    # The pack's folder alone, as ComfyUI's registry installs it.
    shutil.copytree(process.PACK, workspace / "custom_nodes" / "story_studio")
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        log = (workspace / "server.log").read_text("utf-8").splitlines()
        assert (
            sum("does not fit this ComfyUI" in line and LINE in line and ADVICE in line for line in log) == 1
        )
        assert not [line for line in log if "story_studio" in line and "IMPORT FAILED" in line]

        comfy = Comfy(server.url)
        graph = read_titled("s2v_clip")
        Image.new("RGB", (64, 64)).save(tmp_path / "face.png")
        graph["image"]["inputs"]["image"] = comfy.upload(tmp_path / "face.png", "face.png")
        graph["audio"]["inputs"]["audio"] = comfy.upload(write_voice(tmp_path / "v.wav", 0.2), "v.wav")
        failed = [event for event in comfy.run(graph) if isinstance(event, Failed)]
        assert [LINE in event.message for event in failed] == [True]

        studio = Studio(server, records)
        assert studio.render(write_story([0.3], profile="draft"), tmp_path / "films") == 0


def test_the_doctor_says_what_does_not_fit(unfit: Path, tmp_path: Path) -> None:
    (check,) = [one for one in doctor.report(tmp_path, tmp_path) if one.name == "ComfyUI"]
    assert check.state == "warn" and "does not fit" in check.found
    assert LINE in check.todo.replace("\n", " ")
    (unfit / "nodes.py").unlink()
    (check,) = [one for one in doctor.report(tmp_path, tmp_path) if one.name == "ComfyUI"]
    assert check.state == "fail" and "No node works, because ComfyUI's nodes.py is gone." in check.todo
