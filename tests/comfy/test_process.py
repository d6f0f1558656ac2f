"""The ComfyUI process: how it starts, what it receives, and that nothing of it is left behind."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from driver.cli.doctor import report
from driver.comfy import confinement, landlock
from driver.comfy.client import Comfy
from driver.comfy.flags import ServerError
from driver.comfy.models import known_models, locate
from driver.comfy.process import Server
from driver.paths import COMFYUI
from story_studio.core.contracts import version
from tests.comfy.model_copies import COPIES, write_copies
from tests.comfy.workspaces import gone, make_workspace, processes_of

ROOT = Path(__file__).parents[2]
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "BUCKET_ENDPOINT_URL",
    "RUNPOD_POD_ID",
    "HF_TOKEN",
    "MY_SECRETS",
    "STORY_STUDIO_SERVER_HEADERS",
    "X_API_KEY_2",
)
WRONG = ("--preview-method", "nonsense")
"""A flag that only ComfyUI itself refuses."""
PAINTED = r"""
print("\x1b[1m\x1b[33m[WARNING]\x1b[0m painted \x1b[36mblue\x1b[0m", flush=True)
print("half\rwhole\x1b[0m\r", flush=True)
NODE_CLASS_MAPPINGS = {}
"""
SPY = """
import os
import pwd
from pathlib import Path
def attempt(what, act):
    try:
        act()
        print("SPY may", what, flush=True)
    except OSError:
        print("SPY may not", what, flush=True)
base, driver = {base!r}, {driver}
for folder in ("input", "user", "custom_nodes"):
    spied = Path(base, "workspace", folder, "spy.txt")
    attempt(f"write workspace/{{folder}}", lambda: spied.write_text("spied"))
for folder in ("out", "more", "elsewhere", "writable"):
    attempt(f"write {{folder}}", lambda: Path(base, folder, "spy.txt").write_text("spied"))
for file in ("more/models/vae/a.safetensors", "more/story_studio/store/film.mp4", "elsewhere/private.png",
             "image/vae/b.safetensors"):
    attempt(f"read {{file}}", lambda: Path(base, file).read_bytes())
attempt("link", lambda: os.link(f"{{base}}/out/spy.txt", f"{{base}}/workspace/input/linked.txt"))
attempt("link out", lambda: os.link(f"{{base}}/elsewhere/private.png", f"{{base}}/out/private.png"))
attempt("read the driver's environment", lambda: Path(f"/proc/{{driver}}/environ").read_bytes())
attempt("use temp", lambda: Path(os.environ["TMPDIR"], "spy.txt").write_text("spied"))
attempt("use home", lambda: Path.home().joinpath("spy.txt").write_text("spied"))
NODE_CLASS_MAPPINGS = {{}}
"""
DRIVER = """
import sys, time
from pathlib import Path
from driver.comfy.process import Server
server = Server(Path(sys.argv[1]), Path(sys.argv[1]) / "output")
server.start()
while "pytorch version" not in server.log_tail():
    time.sleep(0.05)
print(server.url, flush=True)
time.sleep(600)
"""


def write_packs(packs: Path, own: Path) -> None:
    """Packs of an image: one in a folder, one in a file, and what is none; one was removed since."""
    (packs / "folder_pack").mkdir(parents=True)
    (packs / "no_pack").mkdir()
    for file in (packs / "folder_pack" / "__init__.py", packs / "file_pack.py"):
        file.write_text("print('loaded', __file__, flush=True)\nNODE_CLASS_MAPPINGS = {}\n")
    (own / "removed_pack").symlink_to(packs / "removed_pack")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("process")
    workspace = make_workspace(base / "workspace")
    (workspace / "custom_nodes" / "painted.py").write_text(PAINTED)
    (base / "more/models/unet").mkdir(parents=True)
    (base / "more/models/unet/mine.safetensors").touch()
    snapshot = base / "more/huggingface-cache/hub/models--org--name/snapshots/0f1e"
    (snapshot / "split_files/vae").mkdir(parents=True)
    # As in a Hugging Face cache, where a file is a link to its content.
    (snapshot / "split_files/vae/cached.safetensors").symlink_to(base / "more/models/unet/mine.safetensors")
    write_copies(base)
    write_packs(base / "packs", workspace / "custom_nodes")
    with pytest.MonkeyPatch.context() as environment:
        environment.setattr("driver.comfy.model_roots.IN_IMAGE", base / "image")
        environment.setattr("driver.comfy.process.NODE_PACKS", base / "packs")
        for name in SECRETS:
            environment.setenv(name, "hunter2")
        environment.setenv("HF_ENDPOINT", "https://example.org")
        with Server(workspace, base / "out", models=base / "more") as server:
            yield server
        assert gone(workspace, 0)


def test_answers_at_its_address(server):
    assert server.alive()
    stats = Comfy(server.url).stats()["system"]
    assert stats["argv"][stats["argv"].index("--output-directory") + 1] == str(server.output)
    assert {"--disable-api-nodes", "--offline"} & set(stats["argv"])


def test_listens_on_loopback_only(server):
    addresses = {
        connection.laddr.ip
        for process in processes_of(server.workspace)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_passes_no_secrets_on(server):
    processes = processes_of(server.workspace)
    assert len(processes) == 2
    for process in processes:
        environment = process.environ()
        assert environment["HF_ENDPOINT"] == "https://example.org"
        assert not set(SECRETS) & set(environment)
        assert "hunter2" not in environment.values()


def test_finds_models_in_another_folder(server):
    known = {Path(name).name for name in COPIES if name.startswith("diffusion_models/")}
    assert set(Comfy(server.url).models("diffusion_models")) == {"mine.safetensors", *known}
    assert "cached.safetensors" in Comfy(server.url).models("vae")


@pytest.mark.parametrize("name", COPIES)
def test_comfyui_the_driver_and_the_doctor_choose_the_same_copy(server, name, monkeypatch):
    base = server.models.parent
    monkeypatch.setattr("driver.comfy.model_roots.IN_IMAGE", base / "image")
    folder, _, file = name.partition("/")
    whole = [copy for copy in COPIES[name] if not copy.endswith("!")]
    chosen = base / (whole or COPIES[name])[0].rstrip("!") / file
    # ComfyUI answers with what is written in the file that it would load.
    answer = requests.get(f"{server.url}/view_metadata/{folder}", {"filename": file}, timeout=10)
    assert answer.json() == {"path": str(chosen)}
    (model,) = (model for model in known_models() if model.file == file)
    assert locate(server.models, model) == (chosen if whole else None)
    (check,) = (check for check in report(server.models, base, base) if check.found.startswith(f"{name},"))
    if whole:
        assert (check.state, check.found.partition(" GB, ")[2]) == ("ok", f"in {chosen.parent}")
    else:
        assert (check.state, "broken off" in check.found) == ("warn", True)
        assert check.todo.endswith(f"\nto {chosen}")


def test_loads_the_node_packs_of_an_image(server):
    folder = server.workspace / "custom_nodes"
    log = (server.workspace / "server.log").read_text()
    assert f"\nloaded {folder / 'folder_pack' / '__init__.py'}\n" in log
    assert f"\nloaded {folder / 'file_pack.py'}\n" in log
    assert "IMPORT FAILED" not in log
    assert {path.name for path in folder.iterdir() if path.is_symlink()} == {"folder_pack", "file_pack.py"}


def test_keeps_its_log(server):
    assert "To see the GUI" in server.log_tail(50)
    assert len(server.log_tail(3).splitlines()) == 3
    assert f"ComfyUI version: {version(COMFYUI)}" in (server.workspace / "server.log").read_text()


def test_logs_what_a_screen_would_show_without_colours(server):
    log = (server.workspace / "server.log").read_text()
    assert "\n[WARNING] painted blue\nwhole\n" in log
    assert "\x1b" not in log


def test_a_confined_comfyui_is_kept_from_what_it_does_not_need(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path / "workspace")
    for folder in ("more/models/vae", "more/story_studio/store", "elsewhere", "image/vae", "writable"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (
        "more/models/vae/a.safetensors",
        "more/story_studio/store/film.mp4",
        "elsewhere/private.png",
        "image/vae/b.safetensors",
    ):
        (tmp_path / file).touch()
    spy = SPY.format(base=str(tmp_path), driver=os.getpid())
    (workspace / "custom_nodes" / "spy.py").write_text(spy)
    monkeypatch.setenv(confinement.WRITABLE, str(tmp_path / "writable"))
    monkeypatch.setenv("SOMETHING", "hunter2")
    monkeypatch.setattr("driver.comfy.process.IN_IMAGE", tmp_path / "image")
    with Server(workspace, tmp_path / "out", models=tmp_path / "more", confined=True) as server:
        (comfyui,) = [one for one in processes_of(workspace) if str(COMFYUI / "main.py") in one.cmdline()[:4]]
        assert "SOMETHING" not in comfyui.environ() and "PATH" in comfyui.environ()
        log = server.log_tail(200)
    may = {line.removeprefix("SPY may ") for line in log.splitlines() if line.startswith("SPY may ")}
    free = {"write workspace/input", "write workspace/user", "write out", "write writable", "use temp"}
    free |= {"use home", "link", "read more/models/vae/a.safetensors", "read image/vae/b.safetensors"}
    assert free <= may
    if not landlock.version():
        pytest.skip("this kernel has no Landlock: files are not confined")
    assert may - free == {
        "not write more",
        "not write workspace/custom_nodes",
        "not write elsewhere",
        "not read more/story_studio/store/film.mp4",
        "not read elsewhere/private.png",
        "not link out",
        "not read the driver's environment",
    }


def test_reports_why_it_died_while_starting(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    with (
        pytest.raises(ServerError, match="exited while starting(.|\n)*invalid choice: 'nonsense'"),
        Server(workspace, tmp_path, extra_flags=WRONG),
    ):
        pass
    assert gone(workspace, 0)


def test_refuses_an_unknown_flag_before_it_starts(tmp_path):
    workspace = tmp_path / "workspace"
    said = f"ComfyUI {version(COMFYUI)} has no flag --cup: the nearest is --cpu."
    with pytest.raises(ServerError, match=said), Server(workspace, tmp_path, extra_flags=["--cup"]):
        pass
    assert not workspace.exists()


def test_gives_up_at_its_deadline(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    # It would answer long after the deadline, so only giving up ends the test in time.
    slow = workspace / "custom_nodes" / "slow.py"
    slow.write_text("import time\ntime.sleep(300)\nNODE_CLASS_MAPPINGS = {}\n")
    with pytest.raises(ServerError, match="within 1 s"), Server(workspace, tmp_path, ready_seconds=1):
        pass
    assert gone(workspace, 0)


def test_outlives_the_thread_that_started_it(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    server = Server(workspace, tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(1.5)
    assert server.alive()
    server.stop()
    assert not server.alive()
    assert gone(workspace, 0)


def test_keeps_the_log_of_the_previous_start(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    for method in ("first", "second"):
        with (
            pytest.raises(ServerError),
            Server(workspace, tmp_path, extra_flags=["--preview-method", method]),
        ):
            pass
    assert "'second'" in (workspace / "server.log").read_text()
    assert "'first'" in (workspace / "server.log.1").read_text()
    assert not list((workspace / "temp").iterdir())


def test_refuses_a_port_that_is_in_use(server):
    with pytest.raises(ServerError, match="in use"):
        Server(server.workspace, server.output, port=server.port)


def test_refuses_a_missing_models_folder(tmp_path):
    with (
        pytest.raises(ServerError, match="does not exist"),
        Server(make_workspace(tmp_path / "workspace"), tmp_path, models=tmp_path / "nowhere"),
    ):
        pass


def test_links_the_node_pack_and_repairs_the_link(tmp_path):
    link = tmp_path / "workspace/custom_nodes/story_studio"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "moved-away")
    with pytest.raises(ServerError), Server(tmp_path / "workspace", tmp_path, extra_flags=WRONG):
        pass
    assert link.resolve() == ROOT / "custom_nodes/story_studio"


def test_dies_with_a_driver_that_is_killed(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(workspace)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert driver.stdout and driver.stdout.readline().startswith("http://127.0.0.1:")
        # The driver, the supervisor and ComfyUI.
        assert len(processes_of(workspace)) == 3
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    assert gone(workspace, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a child with its parent on Linux only")
def test_comfyui_dies_with_a_supervisor_that_is_killed(tmp_path):
    workspace = make_workspace(tmp_path / "workspace")
    server = Server(workspace, tmp_path)
    server.start()
    while "pytorch version" not in server.log_tail():
        time.sleep(0.05)
    supervisor, *_ = [one for one in processes_of(workspace) if one.ppid() == os.getpid()]
    supervisor.kill()
    assert gone(workspace, 3)
    assert not server.alive() and server.ending() == "killed by SIGKILL"
    server.stop()


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root starts processes as another user"
)
def test_a_confined_comfyui_runs_as_a_user_that_reaches_its_files(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(confinement, "USER", "nobody")
    for folder in ("workspace/custom_nodes", "workspace/models", "out"):
        (tmp_path / folder).mkdir(parents=True)
    tmp_path.chmod(0o700)
    confined = confinement.confine(
        tmp_path / "workspace", tmp_path / "out", tmp_path / "workspace/models", []
    )
    assert confined.user is None
    assert "ComfyUI does not run as nobody, who may not enter " in caplog.text
    assert (tmp_path / "out").stat().st_uid == 0
    nobody = pwd.getpwnam("nobody")
    assert confinement._user([Path("/bin/sh")]) == (nobody.pw_uid, nobody.pw_gid)
    monkeypatch.setattr(confinement, "USER", "there is no such user")
    assert confinement._user([Path("/bin/sh")]) is None
