"""An incompatible ComfyUI is reported in one line, and drafts still render."""

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

LINE = (
    "Talking Video fails, because WanModel_S2V.frame_packer in ComfyUI's comfy/ldm/wan/model.py is missing. "
)
ADVICE = "Update Story Studio, or use a ComfyUI that it was tested on: 0.3.75, "


@pytest.fixture
def unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ComfyUI in which parts of the network have other names."""
    tree = tmp_path / "ComfyUI"
    shutil.copytree(COMFYUI, tree, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    network = tree / "comfy/ldm/wan/model.py"
    network.write_text(re.sub(r"\bframe_packer\b", "motion_packer", network.read_text("utf-8")), "utf-8")
    # ComfyUI itself can do without this file.
    (tree / "comfy_extras/nodes_model_advanced.py").unlink()
    loaders = tree / "comfy/audio_encoders/wav2vec2.py"
    loaders.write_text(re.sub(r"\bWav2Vec2Model\b", "Wav2Vec3Model", loaders.read_text("utf-8")), "utf-8")
    users = tree / "comfy/audio_encoders/audio_encoders.py"
    users.write_text(re.sub(r"\bWav2Vec2Model\b", "Wav2Vec3Model", users.read_text("utf-8")), "utf-8")
    for module in (process, doctor):
        monkeypatch.setattr(module, "COMFYUI", tree)
    return tree


def test_an_incompatible_comfyui_is_reported_in_one_line(
    unfit: Path, models: Path, tmp_path: Path, write_story: Callable[..., Path]
) -> None:
    workspace, records = tmp_path / "workspace", tmp_path / "records"
    # Only the pack's folder, as ComfyUI's registry installs it.
    shutil.copytree(process.PACK, workspace / "custom_nodes" / "story_studio")
    with Server(workspace, workspace / "output", models=models, extra_flags=CPU_FLAGS) as server:
        log = (workspace / "server.log").read_text("utf-8").splitlines()
        assert (
            sum(
                "not compatible with this ComfyUI" in line and LINE in line and ADVICE in line for line in log
            )
            == 1
        )
        assert not [line for line in log if "story_studio" in line and "IMPORT FAILED" in line]

        comfy = Comfy(server.url)
        graph = read_titled("s2v_clip")
        Image.new("RGB", (64, 64)).save(tmp_path / "image.png")
        graph["image"]["inputs"]["image"] = comfy.upload(tmp_path / "image.png", "image.png")
        graph["audio"]["inputs"]["audio"] = comfy.upload(write_voice(tmp_path / "v.wav", 0.2), "v.wav")
        failed = [event for event in comfy.run(graph) if isinstance(event, Failed)]
        assert [LINE in event.message for event in failed] == [True]

        studio = Studio(server, records)
        assert studio.render(write_story([0.3], profile="draft"), tmp_path / "films") == 0


def test_the_doctor_reports_an_incompatible_comfyui(unfit: Path, tmp_path: Path) -> None:
    (check,) = [one for one in doctor.report(tmp_path, tmp_path, tmp_path) if one.name == "ComfyUI"]
    assert check.state == "warn" and "not compatible" in check.found
    assert LINE in check.todo.replace("\n", " ")
    (unfit / "nodes.py").unlink()
    (check,) = [one for one in doctor.report(tmp_path, tmp_path, tmp_path) if one.name == "ComfyUI"]
    assert check.state == "fail" and "No node works, because ComfyUI's nodes.py is missing." in check.todo
