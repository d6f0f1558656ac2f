"""`submit`: renders a story on a RunPod endpoint and brings the results here."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from .. import terminal
from ..rendering.prepare import prepare
from ..runpod.client import Endpoint, EndpointError, stoppable
from ..runpod.renderer import EndpointRenderer
from ..terminal import FAILED
from .arguments import add_output, add_stories, check_writable, default_models
from .report import render_and_report
from .speaking import speaker


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `submit`."""
    command.description = (
        "Renders a story on a RunPod endpoint, with the key in RUNPOD_API_KEY, and fetches the results. "
        "Files of this machine are sent in the job while they fit into its 10 MB, and else through the "
        "bucket of the BUCKET_ variables, which must be the endpoint's own."
    )
    add_stories(command, 1)
    command.add_argument("--endpoint", required=True, metavar="ID", help="the endpoint, as on its page")
    add_output(command)
    command.add_argument(
        "--workers",
        type=_workers,
        metavar="W",
        help="how many workers share the scenes. They need a bucket in common, and JOBS_AT_ONCE=1 on the "
        "endpoint, or one of them takes all shards. auto, if left out: the fewest seconds within --max-cost "
        "with the BUCKET_ variables set here, and one without",
    )
    command.add_argument("--max-cost", type=float, metavar="USD", help="most that the plan may cost")
    command.add_argument("--gpu", metavar="GPU", help="the workers' GPU, as `plan` names it")


def run(options: argparse.Namespace) -> int:
    """Renders the story; returns the exit status: 0 done, 1 failed, 3 partly done.

    Raises:
        Problems: what is wrong with the story, the settings or the cost; nothing was rendered.
    """
    try:
        with stoppable(), tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
            endpoint = Endpoint(options.endpoint)
            check_writable(options.output)
            speak = speaker(options.output, default_models())
            plans = prepare(options.stories, options.profile, Path(downloads), speak)
            # A wrong key or id is reported before anything is sent.
            with terminal.waiting("Asking the endpoint"):
                endpoint.health()
            renderer = EndpointRenderer(
                endpoint, options.workers, options.max_cost, options.gpu, terminal.say
            )
            return render_and_report(renderer, plans, options.output)
    except EndpointError as error:
        terminal.say(str(error), "red")
        return FAILED


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    with contextlib.suppress(ValueError):
        if 1 <= int(text) <= 100:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 to 100")
