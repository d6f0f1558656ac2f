"""`takes`: the results that are kept, and which of them no project uses."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from .. import terminal
from ..rendering.kept import kept
from ..terminal import OK
from .arguments import add_output


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `takes`."""
    add_output(command)
    command.add_argument(
        "--prune",
        action="store_true",
        help="remove what no project's last render uses, and what crashes left half written",
    )


def run(options: argparse.Namespace) -> int:
    """Lists the files, and removes the unused ones if asked to; returns the exit status."""
    files = kept(options.output)
    for file in files:
        used = f"used by {', '.join(file.used_by)}" if file.used_by else "not used"
        size = f"{_bytes(file.path) / 1e6:.1f} MB"
        parts = (file.kind, file.key, file.path.name.partition(".")[0], size, used, file.about)
        sys.stdout.write("  ".join(filter(None, parts)) + "\n")
    unused = [file.path for file in files if not file.used_by]
    megabytes = sum(map(_bytes, unused)) / 1e6
    if options.prune:
        for path in unused:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    verb = "removed" if options.prune else "not used by any project's last render: --prune removes them"
    terminal.say(f"{len(files)} files; {len(unused)} ({megabytes:.1f} MB) {verb}.")
    return OK


def _bytes(path: Path) -> int:
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
