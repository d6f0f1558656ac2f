"""The command line: which commands there are, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from story_studio.story.problems import Problems

from .. import terminal
from ..comfy.connection import ComfyError
from ..comfy.flags import ServerError
from ..files import is_disk_full
from ..terminal import FAILED, INTERRUPTED

_COMMANDS = {
    "new": "make a story from a script, or from a folder of recordings",
    "render": "render stories into films",
    "check": "measure clips, and say what is wrong with them",
    "export": "put a rendered story into a folder for an editor or a client",
    "schema": "print the JSON Schema of the story file",
    "graph": "print the graph of stories, for ComfyUI's /prompt",
    "plan": "estimate what stories would take and cost on RunPod",
    "submit": "render a story on a RunPod endpoint",
    "endpoint": "serve RunPod's API on this machine",
    "serve": "run the headless ComfyUI server alone",
    "takes": "list the stills, clips, voices and films that are kept",
    "voices": "list the voices that speak texts, or hear one",
    "models": "the model files",
    "recipes": "list, check and try recipes: the workflows that stills, clips and voices are made with",
    "doctor": "say what is installed and what is missing",
}
"""Each is a module of this package with `add_arguments` and `run`, imported when it is chosen."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0 done, 1 failed, 2 wrong usage, 3 partly done."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    options = _parser(words[:end]).parse_args(words[:end], argparse.Namespace(flags=words[end + 1 :]))
    try:
        return options.run(options)
    except Problems as error:
        for problem in error.problems:
            terminal.say(str(problem), "red")
        count = len(error.problems)
        terminal.say(f"{count} problem{'s' * (count > 1)}; nothing was {options.outcome}.", "bold red")
    except OSError as error:
        hint = ": the disk is full; free some space and run the same command again. What is finished is kept."
        terminal.say(f"{error}{hint if is_disk_full(error) else ''}", "red")
    except (ServerError, ComfyError) as error:
        terminal.say(str(error), "red")
    except KeyboardInterrupt:
        terminal.say("\nStopped. What is finished is kept: the same command resumes.")
        return INTERRUPTED
    return FAILED


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="story-studio",
        description="Turns stories, scenes with a prompt and a voice each, into films.",
        epilog="What stands after -- goes to the ComfyUI server that render, serve and endpoint start: "
        "serve -- --lowvram. Flags that the driver would choose give way to them; "
        "--no-disable-comfy-compiler leaves out --disable-comfy-compiler, and likewise for each switch that "
        "it chooses.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    chosen = next((word for word in words if not word.startswith("-")), "")
    for name, about in _COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if name == chosen:
            module = import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run, outcome=getattr(module, "OUTCOME", "rendered"))
    return parser
