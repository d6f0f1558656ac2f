"""The worker's image, built by buildah, which needs no engine: what an edit builds again, whether it runs.

As root, with Debian's `buildah` and, for a stand-in base without a registry, `mmdebstrap`:

    mmdebstrap --variant=minbase --include=ca-certificates bookworm base.tar
    IMAGE_BASE=base.tar IMAGE_STORE=FOLDER .venv/bin/python -m tests.benchmarks image

IMAGE_BASE is such a root filesystem, or the name of an image in the store; IMAGE_STORE, on a disk with 40 GB
free, keeps the layers for the next run, until they are deleted; IMAGE_MOUNTS are files that a build sees and
does not keep, as "HERE:THERE:ro", such as pip's configuration.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from driver.paths import ROOT
from tests.benchmarks.table import Cell, Progress, Report, Section
from tests.fetch.hub_mirror import serving
from tests.fetch.test_pull import FILES

_IMAGE = "localhost/story-studio"
CHILD = f"""FROM {_IMAGE}
COPY my_pack custom_nodes/my_pack
RUN pip install --no-cache-dir -c .venv/constraints.txt -r custom_nodes/my_pack/requirements.txt
"""
_PACK = "print('my pack is loaded', flush=True)\nNODE_CLASS_MAPPINGS = {}\n"
_JOB = {"id": "one", "input": {"task": "image", "prompt": "A lighthouse", "profile": "draft"}}
_TRIAL = r"""
python -m driver.worker.health && exit 11
python runpod_handler.py --test_input 'JOB' >/tmp/log 2>&1 & worker=$!
while sleep 1 && kill -0 $worker 2>/dev/null; do
    [ -f /tmp/work/workspace/health.json ] || continue
    began=$(date +%s%N)
    python -m driver.worker.health >/tmp/health || break
    echo $((($(date +%s%N) - began) / 1000000)) >>/tmp/took
done
wait $worker || exit 12
grep -q 'completed successfully' /tmp/log || exit 13
python -m driver.worker.health && exit 14
story-studio doctor >/tmp/doctor || exit 15
packs=$(grep -c 'my pack is loaded' /tmp/work/workspace/server.log)
models=$(grep -c '^ok *model file .* in /opt/story-studio/models/' /tmp/doctor)
checks=$(wc -l </tmp/took) median=$(sort -n /tmp/took | sed -n "$(((checks + 1) / 2))p")
echo "{\"healthy checks\": $checks, \"their median, ms\": $median,"
echo "\"other packs\": $packs, \"model files\": $models}"
"""


class Layer(NamedTuple):
    """A layer of an image."""

    digest: str
    mb: float
    made_by: str


class Built(NamedTuple):
    """What a build took, and the image's layers."""

    seconds: float
    layers: list[Layer]


def run(quick: bool) -> Report:
    """Builds it, again after edits, with models, and with one more node pack; then runs a job in the last."""
    progress = Progress()
    if not {"IMAGE_BASE", "IMAGE_STORE"} <= set(os.environ):
        raise SystemExit(f"IMAGE_BASE and IMAGE_STORE must be set: {__file__} says to what.")
    store = Path(os.environ["IMAGE_STORE"]).absolute()
    built: dict[str, Built] = {}
    with tempfile.TemporaryDirectory() as folder, serving(FILES) as mirror:
        context, models = _context(Path(folder) / "context"), ("MODELS=turbo", f"HF_ENDPOINT={mirror.url}")
        arguments = [f"BASE={_base(store, os.environ['IMAGE_BASE'])}"]
        for name in ("first", "edited") if quick else ("first", "edited", "models", "models, edited"):
            progress(name)
            if "edited" in name:
                _edit(context)
            arguments += models if name == "models" else ()
            built[name] = _build(store, context, arguments)
        progress("another node pack")
        built["another node pack"] = _build(store, _child(Path(folder) / "child"), [])
        progress("a job")
        trial = _try(store)
        fetched = len(mirror.fetched())
    known: set[str] = set()
    rows: list[dict[str, Cell]] = []
    for name, (seconds, layers) in built.items():
        new = [layer for layer in layers if layer.digest not in known]
        known |= {layer.digest for layer in layers}
        row: dict[str, Cell] = {"build": name, "seconds": round(seconds), "layers": len(layers)}
        rows.append(row | {"new": len(new), "MB": round(sum(layer.mb for layer in new), 1)})
    layers_of_first: list[dict[str, Cell]] = [
        {"MB": round(layer.mb, 1), "made by": layer.made_by} for layer in built["first"].layers
    ]
    sections = [Section("builds", rows), Section("layers", layers_of_first), Section("a job", [trial])]
    notes = [
        "new: layers that no earlier build of this table has; the MB are theirs, not compressed.",
        "edited: a line more in the driver, the node pack and install.sh; another description and version.",
        f"{fetched} model files were fetched, {len(FILES)} are a profile's: tiny ones, from a mirror here.",
        "Not shown: CUDA, RunPod, and that a Docker engine calls the health check.",
    ]
    return Report("The worker's image", sections, notes)


def _buildah(store: Path, *arguments: str) -> str:
    """Its standard output; RuntimeError with the end of what it said if it failed."""
    places = ["--root", str(store / "layers"), "--runroot", str(store / "run"), "--storage-driver", "overlay"]
    done = subprocess.run(["nice", "buildah", *places, *arguments], capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"buildah {arguments[0]}: exit status {done.returncode}\n{said}")
    return done.stdout.strip()


def _context(target: Path) -> Path:
    """What git knows of this checkout."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in names.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def _edit(context: Path) -> None:
    for name in ("driver/cli/plan.py", "custom_nodes/story_studio/__init__.py", "install.sh"):
        with (context / name).open("a") as file:
            file.write("# edited\n")
    project = context / "pyproject.toml"
    text = re.sub('(?m)^description = "', 'description = "Edited. ', project.read_text())
    project.write_text(re.sub('(?m)^version = "', 'version = "9.', text))


def _child(folder: Path) -> Path:
    (folder / "my_pack").mkdir(parents=True)
    (folder / "Dockerfile").write_text(CHILD)
    (folder / "my_pack" / "__init__.py").write_text(_PACK)
    (folder / "my_pack" / "requirements.txt").write_text("wcwidth\n")
    return folder


def _base(store: Path, base: str) -> str:
    """The image's name; one is made of a root filesystem."""
    if not Path(base).is_file():
        return base
    name = f"localhost/base:{Path(base).stem}"
    if name not in _buildah(store, "images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        container = _buildah(store, "from", "scratch")
        _buildah(store, "add", container, str(Path(base).absolute()), "/")
        _buildah(store, "commit", "--rm", container, name)
    return name


def _build(store: Path, context: Path, arguments: Iterable[str]) -> Built:
    command = [
        "build",
        "--isolation",
        "chroot",
        "--layers",
        "--format",
        "docker",
        "--pull-never",
        "-t",
        _IMAGE,
    ]
    command += [f"--volume={mount}" for mount in os.environ.get("IMAGE_MOUNTS", "").split()]
    began = time.monotonic()
    _buildah(store, *command, *(f"--build-arg={argument}" for argument in arguments), str(context))
    seconds = time.monotonic() - began
    image = json.loads(_buildah(store, "inspect", "--type", "image", _IMAGE))["OCIv1"]
    steps = [step for step in image["history"] if not step.get("empty_layer")]
    known = json.loads((store / "layers/overlay-layers/layers.json").read_text())
    sizes = {layer.get("diff-digest"): layer.get("diff-size", 0) / 1e6 for layer in known}
    return Built(
        seconds,
        [
            Layer(digest, sizes.get(digest, 0.0), _command(step))
            for digest, step in zip(image["rootfs"]["diff_ids"], steps, strict=True)
        ],
    )


def _command(step: dict[str, str]) -> str:
    """The beginning of what made a layer."""
    words = re.sub(r"^(\|\d+ .*?)?/bin/sh -c (#\(nop\) )?", "", step.get("created_by", ""))
    return " ".join(re.sub(r":\w{20,}", "", words).split())[:60]


def _try(store: Path) -> dict[str, Cell]:
    """Runs the worker with a job in a container of the image, its WORK_DIR elsewhere."""
    container = _buildah(store, "from", "--pull-never", _IMAGE)
    try:
        own = ["--env", "WORK_DIR=/tmp/work", "--env", "STORY_STUDIO_CPU=1"]
        script = _TRIAL.replace("JOB", json.dumps(_JOB))
        said = _buildah(store, "run", "--isolation", "chroot", *own, container, "--", "bash", "-c", script)
        return json.loads(said[said.rindex("{") :])
    finally:
        _buildah(store, "rm", container)
