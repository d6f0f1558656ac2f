"""The commands as a user runs them, with a server of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from driver.paths import ROOT
from tests.studio import is_comfyui

WriteStory = Callable[..., Path]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "driver", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, timeout=300)


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_render_starts_a_server_and_leaves_none(write_story: WriteStory, tmp_path: Path) -> None:
    story = write_story([0.5, 0.4], "draft", film={"join": "crossfade"})
    done = run("render", story, "--output", tmp_path / "out", "--workspace", tmp_path / "workspace")
    assert done.returncode == 0, done.stderr
    film = tmp_path / "out" / "tale" / "film.mp4"
    assert done.stdout.strip() == str(film)
    assert film.stat().st_size > 1000
    assert "stills 2/2" in done.stderr
    assert "tale is complete" in done.stderr
    with open(tmp_path / "workspace" / "server.log") as log:
        assert "127.0.0.1" in log.read()
    commands = [str(process.info["cmdline"]) for process in psutil.process_iter(["cmdline"])]
    assert not any(str(tmp_path / "workspace") in text for text in commands)


def test_ctrl_c_stops_everything_and_says_how_to_resume(write_story: WriteStory, tmp_path: Path) -> None:
    story = write_story([60.0], "draft", video_settings={"resolution": "1280x720"})
    arguments = ("render", story, "--output", tmp_path / "out", "--workspace", tmp_path / "workspace")
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("tale/scene_1_img.png")) and time.monotonic() < deadline:
        time.sleep(0.1)
    children = descendants(process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in stderr
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)


def test_serve_listens_on_loopback_and_passes_the_flags_on(tmp_path: Path) -> None:
    arguments = ("serve", "--port", 0, "--workspace", tmp_path / "w", "--output", tmp_path / "o")
    process = subprocess.Popen(
        command(*arguments, "--", "--cpu", "--preview-method", "auto"),
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stderr
    line = next(line for line in process.stderr if "http://127.0.0.1:" in line)
    comfy = next(child for child in descendants(process) if is_comfyui(child.cmdline()))
    assert "--preview-method" in comfy.cmdline()
    listening = [c.laddr.ip for c in comfy.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}, line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_problems_of_several_stories_are_reported_together(write_story: WriteStory, tmp_path: Path) -> None:
    good = write_story([0.5], "draft").rename(tmp_path / "good.yaml")
    (tmp_path / "bad.yaml").write_text("scenes: [{id: one, prompt: x, audio: gone.mp3}]\nprofile: turbow\n")
    (tmp_path / "worse.yaml").write_text("scens: []\n")
    done = run("render", good, tmp_path / "bad.yaml", tmp_path / "worse.yaml", "--workspace", tmp_path / "w")
    assert done.returncode == 1
    assert "scenes[0].audio" in done.stderr and "gone.mp3 does not exist" in done.stderr
    assert "no profile 'turbow', did you mean 'turbo'?" in done.stderr
    assert "scens (line 1): unknown key, did you mean 'scenes'?" in done.stderr
    assert "nothing was rendered" in done.stderr
    assert not (tmp_path / "w").exists()


def test_a_profile_without_its_models_names_each_file(write_story: WriteStory, tmp_path: Path) -> None:
    story = write_story([0.5], "turbo")
    done = run("render", story, "--output", tmp_path / "out", "--workspace", tmp_path / "w")
    assert done.returncode == 1
    for file in ("z_image_turbo_bf16", "qwen_3_4b", "ae", "wan2.2_s2v_14B_fp8_scaled", "wan_2.1_vae"):
        assert f"{file}.safetensors" in done.stderr
    assert "models/diffusion_models" in done.stderr
    assert "https://" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("render", "--help"), ("serve", "--help")])
def test_help(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 0
    assert "usage: story-studio" in done.stdout
