"""`serve`: the headless ComfyUI server alone."""

from __future__ import annotations

import argparse
import threading
import time

from story_studio.story.recipes import profile_names

from .. import terminal
from ..comfy.models import warm
from ..comfy.process import Server
from .arguments import add_output, add_server, models_folder


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `serve`."""
    add_output(command)
    add_server(command)
    command.add_argument("--port", type=int, default=8188, help="port on 127.0.0.1 (8188)")
    command.add_argument(
        "--warm",
        metavar="PROFILE",
        choices=profile_names(),
        help="read the profile's model files into the machine's file cache while the server is idle",
    )


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C. Raises ServerError if ComfyUI does not start, or ends by itself."""
    with Server(
        options.workspace,
        options.output,
        models=models_folder(options),
        extra_flags=options.flags,
        port=options.port,
    ) as server:
        terminal.say(f"ComfyUI with Story Studio: {server.url}  (Ctrl-C stops it)")
        if options.warm:
            threading.Thread(target=_warm, args=(options,), daemon=True).start()
        while server.alive():
            time.sleep(0.5)
        raise server.ended()


def _warm(options: argparse.Namespace) -> None:
    began = time.monotonic()
    count, size = warm(models_folder(options), options.warm)
    seconds = terminal.duration(time.monotonic() - began)
    terminal.say(f"{count} model files of {options.warm} ({size:.1f} GB) read in {seconds}.")
