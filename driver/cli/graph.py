"""`graph`: prints the graph of stories as an API workflow."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from story_studio.story.graph import build

from .. import terminal
from ..comfy.client import Comfy
from ..comfy.connection import headers_from_environment
from ..rendering.prepare import prepare
from ..terminal import OK
from .arguments import add_stories, default_models
from .speaking import speaker


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `graph`."""
    add_stories(command)
    place = command.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--server", metavar="URL", help="a running ComfyUI to give the recordings and images to"
    )
    place.add_argument(
        "--inputs", metavar="FOLDER", type=Path, help="ComfyUI's input folder, to put them into"
    )


def run(options: argparse.Namespace) -> int:
    """Prints the graph; returns the exit status. Raises Problems: what is wrong with the stories."""
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        comfy = Comfy(options.server, headers=headers_from_environment()) if options.server else None
        speak = speaker(Path(downloads), default_models(), (lambda: comfy) if comfy else None)
        plans = prepare(options.stories, options.profile, Path(downloads), speak)
        for plan in plans:
            if comfy:
                plan.upload(comfy)
            else:
                plan.copy_inputs(options.inputs)
    for warning in (text for plan in plans for text in plan.warnings):
        terminal.say(f"Warning: {warning}", "yellow")
    sys.stdout.write(json.dumps(build(plans).nodes, indent=2, ensure_ascii=False) + "\n")
    return OK
