"""The contracts: this ComfyUI keeps all of them, and a broken one is reported by name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from driver.paths import COMFYUI, ROOT
from story_studio.core import contracts

CORE = Path(contracts.__file__).parent
USES = [
    (file, use) for contract in contracts.CONTRACTS for file, uses in contract.uses.items() for use in uses
]
PARAMETERS = [
    (file, name, parameter)
    for file, (name, _, listed) in ((file, use.rstrip(")").partition("(")) for file, use in USES)
    for parameter in filter(None, listed.split(", "))
]


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A copy of the files that the contracts name."""
    for file in {"comfyui_version.py", *(file for file, _ in USES)}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(COMFYUI / file, tmp_path / file)
    return tmp_path


def rename(path: Path, name: str) -> None:
    """Renames a name everywhere in a file, as its authors would."""
    path.write_text(re.sub(rf"\b{name}\b", f"renamed_{name.strip('_')}", path.read_text("utf-8")), "utf-8")


def sentences(comfyui: Path) -> str:
    return "\n".join(sentence for _, sentence in contracts.broken(comfyui))


def test_this_comfyui_keeps_all_contracts() -> None:
    assert sentences(COMFYUI) == ""


@pytest.mark.parametrize(("file", "use"), USES)
def test_a_missing_name_is_reported(comfyui: Path, file: str, use: str) -> None:
    name = use.partition("(")[0]
    rename(comfyui / file, name.rpartition(".")[2])
    assert f"{name} in ComfyUI's {file} is missing" in sentences(comfyui)


@pytest.mark.parametrize(("file", "name", "parameter"), PARAMETERS)
def test_a_missing_parameter_is_reported(comfyui: Path, file: str, name: str, parameter: str) -> None:
    rename(comfyui / file, parameter)
    assert re.search(
        rf"{re.escape(f'{name} in ComfyUI')}'s {file} no longer takes .*\b{parameter}\b",
        sentences(comfyui),
    )


def test_a_missing_file_is_reported_once_per_contract(comfyui: Path) -> None:
    (comfyui / "comfy/audio_encoders/wav2vec2.py").unlink()
    ((contract, sentence),) = contracts.broken(comfyui)
    assert contract.module == "wav2vec2"
    assert sentence == "Talking Video fails, because ComfyUI's comfy/audio_encoders/wav2vec2.py is missing."
    line = contracts.describe(comfyui, [sentence])
    assert line.startswith(
        f"Story Studio is not compatible with this ComfyUI ({contracts.version(comfyui)}). {sentence}"
    )
    assert "0.3.75" in line and "\n" not in line


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (
            "comfy/ldm/wan/vae.py",
            "class WanVAE(nn.Module):",
            "from .moved import WanVAE\n\n\nclass Other(nn.Module):",
        ),
        (
            "comfy/ldm/wan/vae.py",
            "class WanVAE(nn.Module):",
            "from .moved import *\n\n\nclass Other(nn.Module):",
        ),
        (
            "comfy/model_patcher.py",
            "class ModelPatcher:",
            "class ModelPatcher(Moved):\n    pass\n\n\nclass Other:",
        ),
        ("comfy/sample.py", "def prepare_noise(", "if True:\n  def prepare_noise("),
        ("comfy/sd.py", "class VAE:", 'class VAE:\n    """Text\nat the margin."""'),
        ("comfy/sd.py", "def load_diffusion_model(unet_path", "def load_diffusion_model(path"),
        ("comfy/sample.py", "callback=None, disable_pbar=False, seed=None", "**kwargs"),
        ("comfy_api/latest/_input/video_types.py", "class VideoInput(ABC):", "class VideoInput(Moved):"),
    ],
)
def test_a_name_defined_in_another_way_is_no_false_alarm(
    comfyui: Path, file: str, old: str, new: str
) -> None:
    source = (comfyui / file).read_text("utf-8")
    assert old in source
    (comfyui / file).write_text(source.replace(old, new), "utf-8")
    assert sentences(comfyui) == ""


def test_any_encoding_is_read(comfyui: Path) -> None:
    for file in ("nodes.py", "comfyui_version.py"):
        path = comfyui / file
        path.write_bytes("# -*- coding: latin-1 -*-\n# ä\n".encode("latin-1") + path.read_bytes())
    assert sentences(comfyui) == ""
    (comfyui / "comfyui_version.py").write_text("__version__ = '9.9.9'\n")
    assert contracts.version(comfyui) == "9.9.9"


def test_a_comfyui_without_sources_is_not_reported(comfyui: Path) -> None:
    (comfyui / "nodes.py").rename(comfyui / "nodes.pyc")
    assert sentences(comfyui) == ""


def test_a_folder_without_comfyui_breaks_all_contracts(tmp_path: Path) -> None:
    assert len(contracts.broken(tmp_path)) == len(contracts.CONTRACTS)
    assert contracts.version(tmp_path) == "of unknown version"


def test_each_module_beside_the_list_has_a_contract() -> None:
    modules = {path.stem for path in CORE.glob("*.py")} - {"__init__", "contracts", "definitions", "fit"}
    assert modules == {contract.module for contract in contracts.CONTRACTS}


def test_only_core_uses_internals_of_comfyui() -> None:
    """Outside `core` the pack imports only ComfyUI's public API, `comfy_api.latest`."""
    roots = {path.stem for path in COMFYUI.iterdir() if path.suffix == ".py" or path.is_dir()} - {"comfy_api"}
    imports = [
        f"{path.relative_to(CORE.parent)}: {line.strip()}"
        for path in sorted(CORE.parent.rglob("*.py"))
        if path.parent != CORE
        for line in path.read_text("utf-8").splitlines()
        if (match := re.match(r" *(?:from|import) ([\w.]+)", line))
        and (
            match[1].split(".")[0] in roots or match[1].startswith("comfy_api.") and ".latest" not in match[1]
        )
    ]
    assert imports == []


def test_the_installer_names_the_same_versions() -> None:
    script = (ROOT / "install.sh").read_text("utf-8")
    assert f"\nCOMFYUIS_RUN='{' '.join(contracts.RUN_ON)}'\n" in script
