"""`export`: a rendered story in a folder or ZIP that opens elsewhere."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .. import terminal
from ..export.export import FORMATS, export
from ..terminal import OK
from .arguments import add_output

OUTCOME = "exported"
"""What did not happen where there are problems."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `export`."""
    command.add_argument("story", type=Path, metavar="STORY", help="a story file that was rendered")
    command.add_argument(
        "--to",
        required=True,
        choices=list(FORMATS),
        help="; ".join(f"{name}: {why}" for name, why in FORMATS.items()),
    )
    command.add_argument("--zip", action="store_true", help="write one file instead of a folder")
    command.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="where to put it (export/ in the folder of the story's results)",
    )
    command.add_argument("--force", action="store_true", help="replace what an earlier export has left there")
    add_output(command)


def run(options: argparse.Namespace) -> int:
    """Exports the story; returns the exit status. Raises Problems: why it cannot be exported."""
    with (
        tempfile.TemporaryDirectory(prefix="story-studio-") as downloads,
        terminal.working(f"Exporting to {options.to}") as show,
    ):
        exported = export(
            options.story,
            options.to,
            output=options.output,
            into=options.into,
            as_zip=options.zip,
            force=options.force,
            downloads=Path(downloads),
            on_step=show,
        )
    for warning in exported.warnings:
        terminal.say(f"Warning: {warning}", "yellow")
    sys.stdout.write(f"{exported.path}\n")
    return OK
