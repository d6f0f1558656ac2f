"""`models pull` with the real Hub client, against a mirror that has tiny files under the real addresses."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from driver.comfy.models import ModelFile, known_models, locate
from driver.paths import ROOT
from tests.fetch.hub_mirror import HubMirror, serving

TOKEN = "hf_never_to_be_seen"
NEEDED = [model for model in known_models() if "turbo" in model.needed_by]
LARGE = NEEDED[0]
"""Larger than the 10 MiB that the client receives at a time, so that it can be interrupted half-way."""
COMMAND = (
    "import sys; from pathlib import Path; from driver.fetch.pull import pull; "
    "sys.exit(pull(sys.argv[1], Path(sys.argv[2])))"
)


def path_of(model: ModelFile) -> str:
    return urlsplit(str(model.url)).path.replace("/resolve/main/", "/")


def weights(size: int, seed: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


FILES = {
    path_of(model): weights(24 * 2**20 if model is LARGE else 1000 + number, number)
    for number, model in enumerate(NEEDED)
}


@pytest.fixture
def mirror() -> Iterator[HubMirror]:
    with serving(FILES) as mirror:
        yield mirror


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def environment(models: Path, endpoint: str, token: str = TOKEN) -> dict[str, str]:
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HF_") and not name.lower().endswith("_proxy")
    }
    return own | {"HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": str(models.parent / "huggingface")}


def pull(
    models: Path, endpoint: str, profile: str = "turbo", token: str = TOKEN
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, profile, str(models)],
        cwd=ROOT,
        env=environment(models, endpoint, token),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert TOKEN not in done.stdout + done.stderr
    assert "signature" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def start(models: Path, endpoint: str, stderr: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "turbo", str(models)],
        cwd=ROOT,
        env=environment(models, endpoint),
        stderr=stderr,
    )


def place(models: Path, *files: ModelFile) -> None:
    for model in files:
        path = models / str(model.folder) / model.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[path_of(model)])


def assert_whole(models: Path) -> None:
    for model in NEEDED:
        path = locate(models, model)
        assert path and path.read_bytes() == FILES[path_of(model)]
    assert not list(models.rglob("*.part"))


def parts(models: Path) -> int:
    return sum(path.stat().st_size for path in models.rglob("*.part"))


def test_a_profile_is_fetched_once(mirror: HubMirror, models: Path) -> None:
    done = pull(models, mirror.url)
    assert done.returncode == 0
    assert done.stderr.startswith(f"{len(NEEDED)} model files to download, 25.2 MB.\n")
    assert f"{LARGE.file}: 25.2 MB, verified\n" in done.stderr
    assert done.stderr.endswith(f"turbo: all {len(NEEDED)} model files are in {models}.\n")
    assert_whole(models)
    assert sorted(one.path for one in mirror.fetched()) == sorted(FILES)
    # The login is sent to the Hub only, and not to the storage that it redirects to.
    assert {one.login for one in mirror.asked if one.server == "hub"} == {f"Bearer {TOKEN}"}
    assert {one.login for one in mirror.fetched()} == {""}

    mirror.asked.clear()
    again = pull(models, mirror.url)
    assert (again.returncode, again.stderr.count("\n"), mirror.asked) == (0, 1, [])


def test_files_go_where_comfyui_looks(mirror: HubMirror, models: Path) -> None:
    (models / "models").mkdir(parents=True)
    place(models / "models", *NEEDED[1:])
    assert pull(models, mirror.url).returncode == 0
    assert [one.path for one in mirror.fetched()] == [path_of(LARGE)]
    assert (models / "models" / str(LARGE.folder) / LARGE.file).is_file()
    assert pull(models, "http://127.0.0.1:9", "draft").stderr == "draft: needs no model files.\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_download_that_was_stopped_is_resumed(how: signal.Signals, mirror: HubMirror, models: Path) -> None:
    place(models, *NEEDED[1:])
    mirror.holds[path_of(LARGE)] = 15 * 2**20
    process = start(models, mirror.url)
    deadline = time.monotonic() + 30
    while parts(models) < 10 * 2**20 and time.monotonic() < deadline:
        time.sleep(0.05)
    second = pull(models, mirror.url)
    assert second.returncode == 1
    assert second.stderr == f"Another pull is writing to {models}: wait for it, or stop it.\n"
    process.send_signal(how)
    process.wait(15)
    arrived = parts(models)
    assert arrived >= 10 * 2**20
    assert not locate(models, LARGE)
    assert not (models / str(LARGE.folder) / LARGE.file).exists()

    mirror.holds.clear()
    mirror.asked.clear()
    done = pull(models, mirror.url)
    assert done.returncode == 0
    assert "1 model file to download, 25.2 MB, of which " in done.stderr
    assert [one.range for one in mirror.fetched()] == [f"bytes={arrived}-"]
    assert_whole(models)


def test_a_broken_connection_is_resumed(mirror: HubMirror, models: Path) -> None:
    place(models, *NEEDED[1:])
    mirror.resets[path_of(LARGE)] = 15 * 2**20
    assert pull(models, mirror.url).returncode == 0
    assert [one.range for one in mirror.fetched()] == ["", f"bytes={10 * 2**20}-"]
    assert_whole(models)


def test_a_damaged_file_does_not_get_its_name(mirror: HubMirror, models: Path) -> None:
    mirror.damaged = {path_of(LARGE), path_of(NEEDED[1])}
    done = pull(models, mirror.url)
    assert done.returncode == 1
    for model in (LARGE, NEEDED[1]):
        assert f"{model.file}: {mirror.url}/" in done.stderr
        assert not (models / str(model.folder) / model.file).exists()
    assert done.stderr.count("arrived damaged") == 2
    assert f"2 of {len(NEEDED)} files were not downloaded" in done.stderr
    assert parts(models) == 0

    mirror.damaged.clear()
    mirror.asked.clear()
    assert pull(models, mirror.url).returncode == 0
    assert sorted(one.path for one in mirror.fetched()) == sorted([path_of(LARGE), path_of(NEEDED[1])])
    assert_whole(models)


def test_without_a_sha256_the_size_counts(mirror: HubMirror, models: Path) -> None:
    mirror.hashes = False
    mirror.sizes[path_of(NEEDED[1])] = len(FILES[path_of(NEEDED[1])]) + 5
    done = pull(models, mirror.url)
    assert done.returncode == 1
    assert f"{NEEDED[1].file}: {mirror.url}/" in done.stderr and " was cut off after " in done.stderr
    assert [model for model in NEEDED if not locate(models, model)] == [NEEDED[1]]
    assert not (models / str(NEEDED[1].folder) / NEEDED[1].file).exists()


def test_a_short_file_and_parts_of_another_version_are_replaced(mirror: HubMirror, models: Path) -> None:
    place(models, *NEEDED)
    short = models / str(NEEDED[2].folder) / NEEDED[2].file
    short.write_bytes(FILES[path_of(NEEDED[2])][:-1])
    short.with_name(f"{short.name}.000000000000.part").write_bytes(b"another version")
    assert pull(models, mirror.url).returncode == 0
    assert [(one.path, one.range) for one in mirror.fetched()] == [(path_of(NEEDED[2]), "")]
    assert_whole(models)


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_every_refusal_is_reported_before_any_download(token: str, mirror: HubMirror, models: Path) -> None:
    gone, closed, gated, busy = NEEDED[:4]
    mirror.status = {path_of(gone): 404, path_of(closed): 401, path_of(gated): 403, path_of(busy): 503}
    done = pull(models, mirror.url, token=token)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [one.file for one in (gone, closed, gated, busy)]
    repository = mirror.url + path_of(gone).partition("/split_files/")[0]
    assert f"answers 404: look for it at {repository}, or set HF_ENDPOINT" in lines[0]
    assert "answers 401: ask for access at " in lines[1] and "set HF_TOKEN" in lines[1]
    assert "answers 403: ask for access at " in lines[2] and "set HF_TOKEN" in lines[2]
    assert "answers 503: try again later." in lines[3]
    assert lines[4:] == ["Nothing was downloaded."]
    assert not mirror.fetched()


def test_a_full_disk_is_reported_before_any_download(mirror: HubMirror, models: Path) -> None:
    mirror.sizes[path_of(LARGE)] = 10**18
    mirror.status[path_of(NEEDED[1])] = 404
    done = pull(models, mirror.url)
    assert done.returncode == 1
    assert NEEDED[1].file in done.stderr.splitlines()[0]
    free = shutil.disk_usage(models).free / 1e9
    said = done.stderr.splitlines()[1]
    match = re.match(re.escape(f"{models} has ") + r"(\S+) GB free, and 1e\+09 GB will be downloaded", said)
    # Others write to this disk too.
    assert match and float(match[1]) == pytest.approx(free, rel=0.2)
    assert not mirror.fetched()
    assert parts(models) == 0


def test_a_server_that_is_not_a_hub(mirror: HubMirror, models: Path) -> None:
    mirror.bare = True
    done = pull(models, mirror.url)
    assert done.returncode == 1
    assert done.stderr.count("does not answer as the Hub does: check HF_ENDPOINT") == len(NEEDED)


def test_an_unreachable_hub_is_reported_once_and_without_its_login(models: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = pull(models, f"http://me:{TOKEN}@127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr == (
        f"http://127.0.0.1:{port} does not answer: check the network (HTTPS_PROXY, HF_HUB_OFFLINE), or set "
        "HF_ENDPOINT to a mirror.\n"
    )


def test_a_folder_that_cannot_be_written_to(mirror: HubMirror, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = pull(tmp_path / "file" / "models", mirror.url)
    assert done.returncode == 1
    assert "cannot be written to (Not a directory): choose another folder with --models." in done.stderr


def test_a_terminal_sees_a_bar(mirror: HubMirror, models: Path) -> None:
    terminal, inner = pty.openpty()
    process = start(models, mirror.url, inner)
    os.close(inner)
    shown = b""
    try:
        while block := os.read(terminal, 2**16):
            shown += block
    except OSError:
        pass  # the terminal of a process that has ended
    os.close(terminal)
    assert process.wait(30) == 0
    assert "━" in shown.decode(errors="replace")
    assert b"25.2/25.2 MB" in shown
    assert TOKEN.encode() not in shown
