"""What a ComfyUI that runs strangers' workflows may see, read and write."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from story_studio.story.results import STORE

from ..paths import COMFYUI
from . import landlock

WRITABLE = "STORY_STUDIO_WRITABLE"
"""More folders that a confined ComfyUI may write to, separated by colons, for node packs that need them."""
USER = "comfyui"
"""The user that a confined ComfyUI runs as, where this process is root and there is such a user."""
_VARIABLES = re.compile(
    r"(PATH|LD_LIBRARY_PATH|LANG|LC_\w*|TZ|(CUDA|NVIDIA|PYTORCH|TORCH|TRITON|PYTHON|OMP|MKL|COMFY|HF)\w*"
    r"|STORY_STUDIO_\w*|SSL_CERT\w*|\w*_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY)",
    re.IGNORECASE,
)
_SYSTEM = [f"/{name}" for name in ("bin", "etc", "lib", "lib64", "opt", "sbin", "sys", "usr")]
_RESOLVER = "/run/systemd/resolve"
_DEVICES = "/dev"

logger = logging.getLogger(__name__)


class Confinement(NamedTuple):
    """What ComfyUI may read (and execute), write, and the ids of its user and group; None for our own.

    Files are restricted where the kernel has Landlock.
    """

    read: list[str]
    write: list[str]
    user: tuple[int, int] | None


def confine(workspace: Path, output: Path, models: Path, programs: list[Path]) -> Confinement:
    """The confinement of a ComfyUI. Its folders are given to its user.

    Args:
        workspace: its base directory, of which it may write to input, temp and user.
        output: its output folder.
        models: the folder of its models, which may be a whole volume.
        programs: other files and folders that it runs.
    """
    own = [*(workspace / name for name in ("input", "temp", "user")), output]
    more = [Path(folder) for folder in os.environ.get(WRITABLE, "").split(os.pathsep) if folder]
    packs = [path.resolve() for path in (workspace / "custom_nodes").iterdir()]
    # Beside the models, a volume may hold the finished files of all jobs.
    beside = [path for path in models.iterdir() if path.name != STORE]
    python = [sys.executable, sys.prefix, sys.base_prefix]
    # Without other processes, whose environment root may read.
    proc = [path for path in Path("/proc").glob("*") if not path.name.isdecimal()]
    read = [*_SYSTEM, _RESOLVER, *proc, *python, COMFYUI.resolve(), *programs, *packs, workspace, *beside]
    user = _user([Path(sys.executable), Path(sys.executable).resolve(), COMFYUI, *programs, *packs, *own])
    if user:
        for folder in own:
            _give(folder, user)
        # What we add there later belongs to the user's group, which may then write to it.
        os.umask(0o002)
    walls = ["its environment"]
    walls += [f"its files (Landlock {landlock.version()})"] if landlock.version() else []
    walls += [f"its user ({USER})"] if user else []
    logger.info("ComfyUI is confined in %s.", ", ".join(walls))
    return Confinement([*map(str, read)], [_DEVICES, *map(str, [*own, *more])], user)


def environment(variables: Mapping[str, str], workspace: Path, temp: Path) -> dict[str, str]:
    """The variables that a confined ComfyUI gets of these; its caches and other files stay in its folders."""
    needed = {name: value for name, value in variables.items() if _VARIABLES.fullmatch(name)}
    return {**needed, "HOME": str(workspace / "user"), "TMPDIR": str(temp)}


def _user(needed: list[Path]) -> tuple[int, int] | None:
    """The ids of ComfyUI's own user, if there is one, and it reaches what ComfyUI needs."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd  # Windows has none.

    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        return None
    ids = entry.pw_uid, entry.pw_gid
    folders = dict.fromkeys(folder for path in needed for folder in path.absolute().parents)
    if closed := [folder for folder in folders if not _may_enter(folder, ids)]:
        logger.warning("ComfyUI does not run as %s, who may not enter %s.", USER, closed[0])
        return None
    return ids


def _may_enter(folder: Path, user: tuple[int, int]) -> bool:
    about = folder.stat()
    mine = 0o100 if about.st_uid == user[0] else 0o010 if about.st_gid == user[1] else 0o001
    return bool(about.st_mode & mine)


def _give(folder: Path, user: tuple[int, int]) -> None:
    """Gives a folder with all in it to a user, and what is added later to the user's group."""
    for path in (folder, *folder.rglob("*")):
        if path.lstat().st_uid != user[0]:
            os.chown(path, *user, follow_symlinks=False)
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o2775)
