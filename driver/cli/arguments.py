"""Arguments that several commands have, and what they check."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import profile_names

from ..paths import ROOT

DEFAULT_OUTPUT = Path("output")


def add_stories(command: argparse.ArgumentParser, count: int | str = "+") -> None:
    """The story files, and a profile instead of their own."""
    command.add_argument("stories", nargs=count, type=Path, metavar="STORY", help="a YAML or JSON story file")
    command.add_argument("--profile", help=f"{', '.join(profile_names())}; instead of the story's own")


def add_output(command: argparse.ArgumentParser) -> None:
    """The folder of the results."""
    command.add_argument(
        "--output", type=Path, default=DEFAULT_OUTPUT, help=f"folder of the results ({DEFAULT_OUTPUT})"
    )


def add_server(command: argparse.ArgumentParser) -> None:
    """The folders of a ComfyUI that the command starts."""
    command.add_argument(
        "--workspace", type=Path, default=ROOT / "workspace", help="folder of the server's own files"
    )
    command.add_argument(
        "--models",
        type=Path,
        help="folder of model files, laid out as ComfyUI's (MODEL_CACHE_DIR, or workspace/models)",
    )


def models_folder(options: argparse.Namespace) -> Path:
    """Where the model files are: if no folder is named, where a worker would have them, if that exists."""
    return options.models or default_models(options.workspace)


def default_models(workspace: Path = ROOT / "workspace") -> Path:
    """Where the model files are if no folder is named; the driver's own `workspace` has them in a folder."""
    volume = os.environ.get("MODEL_CACHE_DIR")
    return Path(volume) if volume and Path(volume).is_dir() else workspace / "models"


def check_writable(output: Path) -> None:
    """Makes the folder of the results. Raises Problems if nothing can be written to it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        what = f"{output} cannot be written to ({error.strerror}): choose another folder with --output."
        raise Problems([Problem("output", what)]) from None
