"""`voices`: the voices that speak texts without a recording, and what one sounds like."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from story_studio.story.problems import Problem, Problems

from .. import terminal
from ..paths import ROOT
from ..terminal import OK
from ..voices import engines
from ..voices.catalog import INSTALL, choose
from ..voices.speak import speech_of, write_speech
from .arguments import models_folder

OUTCOME = "spoken"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `voices`."""
    command.add_argument("--say", metavar="TEXT", help="a text to speak, to hear a voice")
    command.add_argument("--voice", default="", help="its name (the first of the language)")
    command.add_argument("--language", metavar="TAG", help="of the text: en, de, pt-BR (the voice's)")
    command.add_argument("--speed", type=float, default=1.0, help="0.5 to 2; 2 is twice as fast (1)")
    command.add_argument("--output", type=Path, default=Path("voice.wav"), help="the WAV file (voice.wav)")
    command.add_argument("--models", type=Path, help="folder of model files; piper/ in it has Piper voices")
    command.set_defaults(workspace=ROOT / "workspace")


def run(options: argparse.Namespace) -> int:
    """Lists the voices, or speaks a text with one; returns the exit status.

    Raises:
        Problems: there is no such voice, or it cannot say the text.
    """
    here = engines.voices(models_folder(options) / "piper")
    if options.say is None:
        for voice in here:
            columns = f"{voice.name:<24}{voice.language:<8}{voice.about:<20}{voice.licence}"
            sys.stdout.write(f"{columns}\n")
        if not here:
            terminal.say(f"No voice is installed: {INSTALL}.", "yellow")
        return OK
    if not 0.5 <= options.speed <= 2:
        raise Problems([Problem("--speed", f"{options.speed:g} is not between 0.5 and 2.")])
    if options.output.suffix.lower() != ".wav":
        raise Problems([Problem("--output", f"{options.output} is written as WAV: name a file in .wav.")])
    try:
        speech = speech_of(options.say, choose(options.voice, options.language, here), options.speed)
        seconds = write_speech(speech, options.output)
    except ValueError as error:
        raise Problems([Problem("--say", str(error))]) from None
    terminal.say(f"{options.output}: {seconds:.1f} s by {speech.voice.name}.")
    return OK
