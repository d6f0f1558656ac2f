"""`schema`: prints the JSON Schema of the story file."""

from __future__ import annotations

import argparse
import sys

from story_studio.story.json_schema import schema_text

from ..terminal import OK


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `schema`: none."""


def run(options: argparse.Namespace) -> int:
    """Prints the schema; returns the exit status."""
    sys.stdout.write(schema_text())
    return OK
