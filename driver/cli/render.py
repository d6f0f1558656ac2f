"""`render`: stories into films, on a ComfyUI of this machine or a running one."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from story_studio.story.problems import Problem, Problems
from story_studio.story.results import STORE
from story_studio.story.still_graph import sheets_of

from .. import terminal
from ..comfy.client import Comfy
from ..comfy.connection import Unreachable, headers_from_environment
from ..comfy.instance import ComfyInstance
from ..comfy.machine import inspect_machine
from ..comfy.process import Server
from ..rendering import dry_run
from ..rendering.manifest import SHEET_STEP
from ..rendering.memory import memory_plan
from ..rendering.prepare import RenderPlan, prepare
from ..rendering.progress import PHASES
from ..rendering.render import ComfyRenderer
from ..terminal import OK
from .arguments import add_output, add_server, add_stories, check_writable, models_folder
from .report import render_and_report, render_sheets_and_report
from .speaking import speaker


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `render`."""
    add_stories(command)
    command.add_argument("--server", metavar="URL", help="a running ComfyUI, also on another machine")
    once = command.add_mutually_exclusive_group()
    once.add_argument(
        "--dry-run", action="store_true", help="say what would be made, what reused, and why; make nothing"
    )
    once.add_argument(
        "--fresh", action="store_true", help="forget the stories' stills and clips first, and make all again"
    )
    command.add_argument(
        "--sheets",
        action="store_true",
        help="render only the character sheets, to look at and approve before the scenes are made from them",
    )
    add_output(command)
    add_server(command)


def run(options: argparse.Namespace) -> int:
    """Renders the stories; returns the exit status.

    Raises:
        Problems: what is wrong with the stories; nothing was rendered.
    """
    if options.fresh and options.server:
        what = "works with a server of the command's own: one that runs already keeps results in memory too."
        raise Problems([Problem("--fresh", what)])
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads, ExitStack() as stack:

        @cache
        def start() -> ComfyInstance:
            # Earlier for a voice recipe, whose voices the plans need.
            return stack.enter_context(_instance(options))

        if options.dry_run:
            speak = speaker(Path(downloads), models_folder(options), kept=options.output, estimate=True)
        else:
            check_writable(options.output)
            speak = speaker(options.output, models_folder(options), lambda: start().comfy)
        plans = prepare(options.stories, options.profile, Path(downloads), speak)
        if options.sheets and not any(sheets_of(plan, every=True) for plan in plans):
            what = "no character has one: write `characters` with a `description`, and without a `reference`."
            raise Problems([Problem("--sheets", what)])
        if options.dry_run or options.fresh:
            elsewhere = bool(options.server) and not (options.output / STORE).is_dir()
            forecasts = dry_run.forecast(plans, options.output, elsewhere, options.sheets)
            if options.dry_run:
                _warn(plans)
                return _show(plans, forecasts, options)
            count = dry_run.forget(forecasts, options.output)
            terminal.say(f"Forgotten: {count} stills and clips.")
        instance = start()
        _warn(plans)
        if options.sheets:
            return render_sheets_and_report(ComfyRenderer(instance), plans, options.output)
        return render_and_report(ComfyRenderer(instance), plans, options.output)


def _warn(plans: Sequence[RenderPlan]) -> None:
    for warning in (text for plan in plans for text in plan.warnings):
        terminal.say(f"Warning: {warning}", "yellow")


def _show(
    plans: Sequence[RenderPlan], forecasts: Sequence[dry_run.Forecast], options: argparse.Namespace
) -> int:
    for plan, forecast in zip(plans, forecasts, strict=True):
        for step in forecast.steps:
            what = f"{step.scene} {step.kind}".strip()
            sys.stdout.write(f"{what}: {'reused' if step.reused else f'made, {step.why}'}\n")
        sheets = sum(not step.reused for step in forecast.steps if step.kind == SHEET_STEP)
        made = [sum(not step.reused for step in forecast.steps if step.kind == kind) for kind in PHASES]
        counts = f"{made[0]} stills, {made[1]} clips and {made[2]} film"
        counts = f"{sheets} character sheets, {counts}" if sheets else counts
        sys.stdout.write(f"{plan.story.project_id}: {counts} would be made.{_checks(forecast)}\n")
    if not options.server:
        finished = {
            (number, step.kind, step.scene)
            for number, forecast in enumerate(forecasts)
            for step in forecast.steps
            if step.reused
        }
        machine, models = inspect_machine(), models_folder(options)
        plan = memory_plan(plans, finished, machine, models, options.workspace, options.flags)
        sys.stdout.write(f"Memory: {plan}.\n")
    return OK


def _checks(forecast: dry_run.Forecast) -> str:
    """A sentence about what will be checked, and how often clips may be made again; empty for nothing."""
    if not forecast.checked:
        return ""
    clips, most = f"{forecast.checked} clip{'s' * (forecast.checked > 1)}", forecast.most_retakes
    retakes = f"; of those that fail, at most {most} retake{'s' * (most > 1)} would be made" if most else ""
    return f" {clips} would be checked{retakes}."


@contextmanager
def _instance(options: argparse.Namespace) -> Iterator[ComfyInstance]:
    def say(text: str) -> None:
        terminal.say(text, "yellow")

    if options.server:
        comfy = Comfy(options.server, headers=headers_from_environment(), say=say)
        yield ComfyInstance(comfy, say=say)
        return
    with ExitStack() as stack:
        with terminal.waiting("Starting ComfyUI"):
            server = stack.enter_context(
                Server(
                    options.workspace,
                    options.output,
                    models=models_folder(options),
                    extra_flags=options.flags,
                )
            )
        try:
            yield ComfyInstance(Comfy(server.url, server.alive), server, say)
        except Unreachable:
            if server.alive():
                raise
            raise server.ended() from None
