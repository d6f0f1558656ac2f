"""`models pull`: a profile's model files."""

from __future__ import annotations

import argparse

from story_studio.story.recipes import profile_names

from ..fetch.pull import pull
from .arguments import add_server, models_folder


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `models`."""
    actions = command.add_subparsers(required=True, metavar="ACTION")
    fetch = actions.add_parser("pull", help="fetch a profile's model files; resumes interrupted downloads")
    fetch.add_argument("--profile", required=True, choices=profile_names(), help="whose files")
    add_server(fetch)


def run(options: argparse.Namespace) -> int:
    """Fetches the files; returns the exit status."""
    return pull(options.profile, models_folder(options))
