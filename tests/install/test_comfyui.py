"""Which ComfyUI install.sh sets up: the pinned one, one of a git repository, a folder, or one for a call."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.tools import (
    checkout,
    comfyui_tree,
    git,
    path_without,
    refusal,
    run,
    small_disk,
    versions,
    write,
)

NEEDS = """\
# as ComfyUI writes it
comfyui-tiny==2.0
comfy-tiny>=1.0  # pinned nowhere
tiny_other
Tiny.Comfy>=2.0
"""
DONE = "Story Studio is set up with ComfyUI {}. Next: ./install.sh demo\n"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v0.3.74, v0.18.1 (an annotated tag), a commit without a name, v0.19.0, and master beyond it."""
    folder = tmp_path_factory.mktemp("git") / "repository"
    write(folder / "old", "")
    git(folder, "init", "--quiet", "--initial-branch", "master")
    for version in ("0.3.74", "0.18.1", "0.18.2", "0.19.0", "0.19.1"):
        comfyui_tree(folder, version, NEEDS)
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "--message", version)
        if version == "0.18.1":
            git(folder, "tag", "--annotate", "--message", version, "v0.18.1")
        elif version in ("0.3.74", "0.19.0"):
            git(folder, "tag", f"v{version}")
    git(folder, "tag", "none", git(folder, "commit-tree", "-m", "empty", git(folder, "mktree")))
    return folder


@pytest.fixture
def commit(repository: Path) -> str:
    return git(repository, "rev-parse", "v0.19.0~1")


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """The user's own ComfyUI, in which nothing may change."""
    folder = comfyui_tree(tmp_path / "their ComfyUI", "0.33.0", NEEDS)
    before = snapshot(folder)
    yield folder
    assert snapshot(folder) == before


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_text()) for path in files}


def version(folder: Path) -> str:
    match = re.search(r'"(.+)"', (folder / "ComfyUI/comfyui_version.py").read_text())
    assert match
    return match[1]


def assert_kept(tiny: Path, version: str) -> None:
    """Without an argument the choice is kept, and neither a network nor a package is needed."""
    stamp = tiny / ".venv/story-studio.stamp"
    before = stamp.stat().st_mtime_ns
    closed = {"PIP_NO_INDEX": "1", "COMFYUI_REPOSITORY": "/nowhere"}
    assert run(tiny / "install.sh", env=closed).stdout == DONE.format(version)
    assert stamp.stat().st_mtime_ns == before
    stdout = run(tiny / "install.sh", "--check").stdout
    assert stdout == f"The set-up is complete, with ComfyUI {version}.\n"


def test_a_version_of_the_repository_and_the_way_back(
    tiny: Path, repository: Path, offline: dict[str, str], tmp_path: Path
) -> None:
    script, env = tiny / "install.sh", offline | {"COMFYUI_REPOSITORY": str(repository)}
    run(script, "--comfyui", "0.3.75", env=offline)
    (untouched,) = tiny.glob(".venv/lib/python3*/site-packages/tiny_run-1.0.dist-info")
    before, kept = untouched.stat().st_mtime_ns, set(tiny.glob("ComfyUI.old-*"))
    write(tiny / "ComfyUI/models/mine.safetensors", "mine")

    done = run(script, "--comfyui", "0.18.1", env=env)
    assert done.returncode == 0, done
    assert done.stdout.startswith(f"Fetching ComfyUI v0.18.1 from {repository}\n")
    assert done.stdout.endswith(DONE.format("0.18.1"))
    tree = {str(p.relative_to(tiny / "ComfyUI")) for p in (tiny / "ComfyUI").rglob("*") if p.is_file()}
    names = ("main.py", "requirements.txt", "comfy/sd.py", "comfyui_version.py", "old", ".story-studio")
    assert (version(tiny), tree) == ("0.18.1", set(names))
    # The earlier ComfyUI is kept, and nothing else is left.
    (old,) = set(tiny.glob("ComfyUI.old-*")) - kept
    assert (old / "models/mine.safetensors").read_text() == "mine"
    assert not (tiny / "ComfyUI.new").exists() and not (tiny / ".venv/download").exists()
    # Its packages have the versions that it asks for, and every pin that they do not contradict holds.
    message = re.search(r"^ComfyUI 0\.18\.1 brings its own versions of: (.+)$", done.stdout, re.MULTILINE)
    assert message
    replaced = {name for name in message[1].split() if not name.startswith("comfyui-")}
    assert (replaced, "comfyui-tiny-part" in message[1]) == ({"tiny-comfy"}, True)
    expected = {"comfyui_tiny": "2.0", "comfyui_tiny_part": "2.0", "comfy_tiny": "1.0", "tiny_comfy": "2.0"}
    assert expected.items() <= versions(tiny).items()
    assert (versions(tiny)["tiny_other"], untouched.stat().st_mtime_ns) == ("1.0", before)

    assert_kept(tiny, "0.18.1")
    assert run(script, "demo").stdout.startswith("driver render ")
    # A version does not change, so nothing is fetched again.
    closed = {"PATH": path_without("git", tmp_path / "tools"), "COMFYUI_REPOSITORY": str(repository)}
    assert run(script, "--comfyui", "v0.18.1", env=closed).stdout == DONE.format("0.18.1")

    back = run(script, "--comfyui", "v0.3.75", env=offline)
    assert back.stdout.startswith("Fetching ComfyUI 0.3.75\n"), back
    assert back.stdout.endswith(DONE.format("0.3.75"))
    assert "brings its own" not in back.stdout
    assert version(tiny) == "0.3.75"
    pinned = {"comfyui_tiny": "1.0", "comfyui_tiny_part": "1.0", "tiny_comfy": "1.0", "tiny_other": "1.0"}
    assert pinned.items() <= versions(tiny).items()
    assert_kept(tiny, "0.3.75")


# With protocol version 0 a server refuses a commit that is not the tip of a branch or a tag.
STRICT = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "protocol.version",
    "GIT_CONFIG_VALUE_0": "0",
}


@pytest.mark.parametrize(("length", "settings"), [(40, {}), (40, STRICT), (8, {}), (8, STRICT)])
def test_a_commit(
    length: int,
    settings: dict[str, str],
    commit: str,
    tiny: Path,
    repository: Path,
    offline: dict[str, str],
) -> None:
    script, env = tiny / "install.sh", offline | settings | {"COMFYUI_REPOSITORY": str(repository)}
    run(script, "--comfyui", "v0.19.0", env=env)
    assert version(tiny) == "0.19.0"
    done = run(script, "--comfyui", commit[:length], env=env)
    assert done.stdout.endswith(DONE.format("0.18.2")), done
    assert version(tiny) == "0.18.2"
    assert (tiny / "ComfyUI/.story-studio").read_text().split()[:2] == ["git", commit]
    again = run(script, "--comfyui", commit[:12].upper(), env={"COMFYUI_REPOSITORY": str(repository)})
    assert again.stdout == DONE.format("0.18.2"), again


def test_a_branch_is_fetched_again_once_it_has_moved(
    tiny: Path, repository: Path, offline: dict[str, str], tmp_path: Path
) -> None:
    clone = tmp_path / "mine"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    # A password in an address is neither shown nor stored; a path has none, but may look as if it had.
    script, env = tiny / "install.sh", offline | {"COMFYUI_REPOSITORY": f"file://user:secret@{clone}"}
    git(clone, "checkout", "--quiet", "-b", "feature/more")
    done = run(script, "--comfyui", "feature/more", env=env)
    assert done.stdout.endswith(DONE.format("0.19.1")), done
    assert run(script, "--comfyui", "feature/more", env=env).stdout == DONE.format("0.19.1")
    comfyui_tree(clone, "0.20.0", NEEDS)
    git(clone, "commit", "--quiet", "--all", "--message", "more")
    assert_kept(tiny, "0.19.1")
    done = run(script, "--comfyui", "feature/more", env=env)
    assert done.stdout.endswith(DONE.format("0.20.0")), done
    assert "secret" not in done.stdout + (tiny / "ComfyUI/.story-studio").read_text()


def test_a_folder_is_used_as_it_is(tiny: Path, theirs: Path, offline: dict[str, str]) -> None:
    script = tiny / "install.sh"
    # A path is relative to the caller's folder, and a folder takes precedence over a version of that name.
    place = theirs.parent / "0.18.1"
    place.symlink_to(theirs)
    done = run(script, "--comfyui", "0.18.1", env=offline, cwd=theirs.parent)
    assert done.stdout.startswith(f"Using the ComfyUI in {place} (0.33.0)\n"), done
    assert done.stdout.endswith(DONE.format("0.33.0"))
    assert (tiny / "ComfyUI").resolve() == theirs
    assert versions(tiny)["comfyui_tiny"] == "2.0"
    assert_kept(tiny, "0.33.0")
    for same in (str(place), str(tiny / "ComfyUI")):
        assert run(script, "--comfyui", same).stdout == DONE.format("0.33.0")


def test_a_folder_that_changes(tiny: Path, offline: dict[str, str], tmp_path: Path) -> None:
    script, folder = tiny / "install.sh", comfyui_tree(tmp_path / "changing", "0.33.0", NEEDS)
    run(script, "--comfyui", str(folder), env=offline)
    assert_kept(tiny, "0.33.0")
    comfyui_tree(folder, "0.34.0", "tiny_comfy\n")
    assert "run ./install.sh" in refusal(run(script, "--check"))
    assert run(script, env=offline).stdout.endswith(DONE.format("0.34.0"))
    comfyui_tree(folder, "0.3.74")
    error = refusal(run(script))
    assert error.startswith(f"the ComfyUI in {folder} is 0.3.74, and the node pack needs 0.3.75 or later")
    shutil.rmtree(folder)
    error = refusal(run(script, "demo"))
    assert error.startswith(f"the ComfyUI that was chosen is gone, for there is no folder {folder}: choose")
    # Only the link is removed.
    kept = set(tiny.glob("ComfyUI.old-*"))
    assert run(script, "--comfyui", "0.3.75", env=offline).stdout.endswith(DONE.format("0.3.75"))
    assert set(tiny.glob("ComfyUI.old-*")) == kept
    assert not (tiny / "ComfyUI").is_symlink()


def test_one_call_with_another_comfyui(tiny: Path, theirs: Path, offline: dict[str, str]) -> None:
    script = tiny / "install.sh"
    run(script, "--comfyui", "0.3.75", env=offline)
    relative = offline | {"COMFYUI_DIR": theirs.name}
    aside = (tiny / "ComfyUI").rename(tiny / "ComfyUI.aside")
    try:
        done = run(script, env=relative, cwd=theirs.parent)
        assert done.stdout.endswith(DONE.format("0.33.0")), done
        assert versions(tiny)["comfyui_tiny"] == "2.0"
        closed = {"PIP_NO_INDEX": "1", "COMFYUI_DIR": theirs.name}
        assert run(script, env=closed, cwd=theirs.parent).stdout == DONE.format("0.33.0")
        assert run(script, "--check", env=closed, cwd=theirs.parent).returncode == 0
        assert run(script, "demo", env=closed, cwd=theirs.parent).returncode == 0
        film = tiny / "output/the-keepers-light/film.mp4"
        assert film.read_text() == f"with {theirs}"
        assert (
            run(script, "test", env=relative, cwd=theirs.parent).stdout.splitlines()[-1].startswith("pytest ")
        )
        assert not (tiny / "ComfyUI").exists()
    finally:
        aside.rename(tiny / "ComfyUI")
    # The permanent choice has not changed.
    assert "run ./install.sh" in refusal(run(script, "--check"))
    assert run(script, env=offline).stdout.endswith(DONE.format("0.3.75"))
    assert versions(tiny)["comfyui_tiny"] == "1.0"


@pytest.mark.parametrize("chosen", ["--comfyui", "COMFYUI_DIR"])
def test_a_folder_that_is_not_a_comfyui(chosen: str, copy: Path, tmp_path: Path) -> None:
    def refused(folder: Path) -> str:
        if chosen == "--comfyui":
            return refusal(run(copy / "install.sh", chosen, str(folder)))
        return refusal(run(copy / "install.sh", "test", env={chosen: str(folder)}))

    assert f"there is no folder {tmp_path}/nowhere: give the folder of a ComfyUI" in refused(
        tmp_path / "nowhere"
    )
    inner = comfyui_tree(tmp_path / "portable/ComfyUI", "0.33.0")
    again = f"./install.sh --comfyui '{inner}'" if chosen == "--comfyui" else f"COMFYUI_DIR='{inner}'"
    assert refused(inner.parent).endswith(f"is not a ComfyUI, but the one in it may be meant: {again}")
    (inner / "requirements.txt").unlink()
    assert f"the ComfyUI in {inner} has no requirements.txt" in refused(inner)
    assert f"the ComfyUI in {inner} is 0.3.74, and the" in refused(comfyui_tree(inner, "0.3.74"))
    (inner / "comfyui_version.py").unlink()
    assert f"the ComfyUI in {inner} does not say its version" in refused(inner)
    shutil.rmtree(inner / "comfy")
    assert f"{inner} is not a ComfyUI: give the folder with main.py and comfy/ in it." in refused(inner)
    assert not (copy / ".venv").exists()


def test_its_own_folder_cannot_be_chosen(copy: Path) -> None:
    comfyui_tree(copy / "ComfyUI", "0.33.0")
    error = refusal(run(copy / "install.sh", "--comfyui", "ComfyUI"))
    assert error.startswith(f"{copy}/ComfyUI is where install.sh keeps its own: move that ComfyUI elsewhere")


def test_two_choices_are_refused(copy: Path, theirs: Path) -> None:
    done = run(copy / "install.sh", "--comfyui", "0.18.1", env={"COMFYUI_DIR": str(theirs)})
    assert refusal(done).endswith("give one of them.")


def test_a_version_that_is_too_old_is_not_even_fetched(copy: Path) -> None:
    error = refusal(run(copy / "install.sh", "--comfyui", "v0.3.74", env={"COMFYUI_REPOSITORY": "/nowhere"}))
    assert error == "ComfyUI 0.3.74 is too old: the node pack needs 0.3.75 or later."


def test_no_git(copy: Path, tmp_path: Path) -> None:
    path = path_without("git", tmp_path / "tools")
    error = refusal(run(copy / "install.sh", "--comfyui", "0.18.1", env={"PATH": path}))
    assert error.startswith("git is needed to fetch ComfyUI 0.18.1: install it (Debian, Ubuntu: sudo apt-get")


@pytest.mark.parametrize("address", ["/nowhere", "http://127.0.0.1:9/ComfyUI.git"])
def test_a_repository_that_does_not_answer(address: str, copy: Path) -> None:
    git(copy, "--version")
    error = refusal(run(copy / "install.sh", "--comfyui", "0.18.1", env={"COMFYUI_REPOSITORY": address}))
    assert error.startswith(
        f"the git repository {address} does not answer: check the network and COMFYUI_REP"
    )
    assert "(git says: fatal: " in error
    assert not (copy / ".venv").exists()


def test_a_repository_that_is_silent(copy: Path) -> None:
    git(copy, "--version")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/ComfyUI.git"
        env = {"COMFYUI_REPOSITORY": address, "GIT_HTTP_LOW_SPEED_TIME": "1"}
        error = refusal(run(copy / "install.sh", "--comfyui", "0.18.1", env=env))
    assert error.startswith(f"the git repository {address} does not answer")


def test_a_ref_that_the_repository_does_not_have(copy: Path, repository: Path) -> None:
    env = {"COMFYUI_REPOSITORY": str(repository)}
    error = refusal(run(copy / "install.sh", "--comfyui", "cores/0.18.1", env=env))
    assert error.startswith(
        f"cores/0.18.1 is neither a folder here nor a tag, branch or commit in {repository}"
    )
    assert not (copy / ".venv").exists()


@pytest.fixture
def pinned(tiny: Path, offline: dict[str, str]) -> Iterator[Path]:
    """The set-up with the pinned ComfyUI, which a refusal must leave as it is."""
    run(tiny / "install.sh", "--comfyui", "0.3.75", env=offline)
    before = {path.name for path in tiny.iterdir()}
    yield tiny
    assert {path.name for path in tiny.iterdir()} == before
    assert_kept(tiny, "0.3.75")


def test_a_commit_that_the_repository_does_not_have(pinned: Path, repository: Path) -> None:
    for ref in ("deadbeef", "deadbeef" * 5):
        done = run(pinned / "install.sh", "--comfyui", ref, env={"COMFYUI_REPOSITORY": str(repository)})
        assert f"{ref} is neither a folder here nor a tag or branch in {repository}, nor" in refusal(done)


def test_a_commit_that_is_not_a_comfyui_or_is_too_old(pinned: Path, repository: Path) -> None:
    env = {"COMFYUI_REPOSITORY": str(repository)}
    error = refusal(run(pinned / "install.sh", "--comfyui", "none", env=env))
    assert error.startswith(f"none of {repository} is not a ComfyUI, for main.py or comfy/ is not in it")
    old = git(repository, "rev-parse", "v0.3.74")
    error = refusal(run(pinned / "install.sh", "--comfyui", old, env=env))
    assert error.startswith(f"the ComfyUI in {old} of {repository} is 0.3.74, and the node pack needs 0.3.75")


def test_a_repository_that_lacks_files(pinned: Path, tmp_path: Path) -> None:
    broken = comfyui_tree(tmp_path / "broken", "0.18.1")
    git(broken, "init", "--quiet")
    git(broken, "add", ".")
    git(broken, "commit", "--quiet", "--message", "0.18.1")
    git(broken, "tag", "v0.18.1")
    lost = git(broken, "rev-parse", "HEAD:comfyui_version.py")
    (broken / ".git/objects" / lost[:2] / lost[2:]).unlink()
    done = run(pinned / "install.sh", "--comfyui", "0.18.1", env={"COMFYUI_REPOSITORY": str(broken)})
    error = refusal(done)
    assert error.startswith(
        f"cannot fetch the whole of ComfyUI v0.18.1 from {broken}: run this again, or name"
    )
    assert "(git says: " in error


def test_another_pytorch(pinned: Path, tmp_path: Path) -> None:
    folder = comfyui_tree(tmp_path / "newer", "0.99.0", "torch>=2.99\n")
    for done in (
        run(pinned / "install.sh", "--comfyui", str(folder)),
        run(pinned / "install.sh", env={"COMFYUI_DIR": str(folder)}),
    ):
        error = refusal(done)
        assert error.startswith("ComfyUI 0.99.0 asks for torch>=2.99, and Story Studio is pinned to torch 2.")


def test_packages_that_conflict_with_the_pins(tiny: Path, tmp_path: Path, offline: dict[str, str]) -> None:
    folder = comfyui_tree(tmp_path / "picky", "0.99.0", "tiny_picky\n")
    error = refusal(run(tiny / "install.sh", env=offline | {"COMFYUI_DIR": str(folder)}))
    expected = "the packages that ComfyUI 0.99.0 asks for do not go with the pinned tiny-other==1.0: choose"
    assert error.startswith(expected)


def test_a_full_disk(copy: Path, tmp_path: Path) -> None:
    large = comfyui_tree(tmp_path / "large", "0.18.1")
    (large / "large.bin").write_bytes(os.urandom(50_000_000))
    git(large, "init", "--quiet")
    git(large, "config", "core.compression", "0")
    git(large, "add", ".")
    git(large, "commit", "--quiet", "--message", "0.18.1")
    git(large, "tag", "v0.18.1")
    with small_disk(64) as disk:
        script = checkout(disk / "a check out") / "install.sh"
        script.write_text(re.sub(r"(?m)^NEED_GB=\d+", "NEED_GB=0", script.read_text()))
        done = run(script, "--comfyui", "0.18.1", env={"COMFYUI_REPOSITORY": str(large)})
        assert refusal(done).startswith(f"the disk is full: free some space where {script.parent} is")
        assert not (script.parent / "ComfyUI").exists()
