"""`plan`: estimates what stories would take and cost on RunPod."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from story_studio.story.graph import Plan
from story_studio.story.memory import plan_memory
from story_studio.story.problems import Problem, Problems

from ..rendering.memory import model_uses
from ..rendering.prepare import prepare
from ..runpod.estimate import (
    MEASURED,
    OWN,
    SEED,
    Figures,
    Quote,
    choose,
    figures_for,
    gpus,
    money,
    quotes,
    read_manifests,
)
from ..terminal import OK, duration
from .arguments import add_stories


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    add_stories(command)
    names = list(gpus())
    command.add_argument("--gpu", choices=names, default=names[0], help=f"each worker's GPU ({names[0]})")
    command.add_argument("--price", type=float, metavar="USD", help="of a worker's hour, if it changed")
    command.add_argument("--workers", type=int, default=4, metavar="W", help="show 1 to W workers (4)")
    command.add_argument(
        "--max-cost", type=float, metavar="USD", help="most that a story may cost; fails if it costs more"
    )
    command.add_argument(
        "--measured",
        type=Path,
        metavar="FOLDER",
        help="results of earlier renders on such a GPU: what they took replaces the first figures",
    )


def run(options: argparse.Namespace) -> int:
    """Prints what each story takes and costs; returns the exit status.

    Raises:
        Problems: what is wrong with the stories, or that all quotes for one are above --max-cost.
    """
    numbers = {"--price": options.price, "--max-cost": options.max_cost, "--workers": options.workers}
    wrong = {name: value for name, value in numbers.items() if value is not None and not value > 0}
    if wrong:
        raise Problems(Problem(name, f"{value} is not above 0.") for name, value in wrong.items())
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        plans = prepare(options.stories, options.profile, Path(downloads))
    price = options.price or gpus()[options.gpu]["price"]
    earlier = read_manifests(options.measured) if options.measured else []
    out = Console(highlight=False)
    problems: list[Problem] = []
    for plan in plans:
        story, seconds = plan.story, plan.seconds
        figures = figures_for(story.profile, options.gpu, earlier)
        offers = quotes(story, seconds, figures, price, options.workers)
        scenes = f"{len(seconds)} scene{'s' * (len(seconds) > 1)}"
        voice = f"{sum(seconds.values()):.1f} s of voice"
        about = f"{story.project_id}: {scenes}, {voice}, {story.profile}, {options.gpu} at ${price:g} an hour"
        lines = (about, *_sources(figures), *_memory(plan), *_table(offers, options.max_cost), "")
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)
        try:
            choose(offers, options.max_cost)
        except Problems as error:
            problems += [Problem(f"{story.project_id}: {where}", what) for where, what in error.problems]
    if problems:
        raise Problems(problems)
    return OK


def _sources(figures: Figures) -> Iterator[str]:
    names = {
        "start": "cold start",
        "load_stills": "loading the stills' models",
        "load_clips": "loading the clips' models",
        "still": "a still (832x480, 20 steps)",
        "clip": "a chunk of clip, up to 5 s (832x480, 20 steps, cfg above 1)",
        "film": "a second of film",
    }
    for source in (SEED, OWN, MEASURED):
        parts = [
            f"{names[name]} {figure.seconds:.3g} s"
            for name, figure in figures._asdict().items()
            if figure.source == source
        ]
        if parts:
            yield f"{source}: {', '.join(parts)}"
    if figures.clip.source == SEED:
        yield "the estimate for clips is low: published times of the model are 3.6 times as long."
    yield "warm: workers that run already and hold the clips' models; keeping them so is not in the cost."


def _memory(plan: Plan) -> Iterator[str]:
    """What a worker's memory has to hold, from the published sizes of the models."""
    needs = plan_memory(model_uses([plan], (), Path("models"), on_cpu=False), 0.0).needs
    if needs.all:
        yield (
            f"memory of a worker: {needs.all:.0f} GB hold all models; with {needs.phase:.0f} GB those of "
            f"stills are freed before those of clips are read, with {needs.part:.0f} GB text encoders, too."
        )


def _table(quotes: Sequence[Quote], max_cost: float | None) -> Iterator[Text | str]:
    yield (f"{'start':<5}{'workers':>9}{'time':>15}{'paid time':>15}{'cost':>10}")
    for quote in quotes:
        line = (
            f"{'cold' if quote.cold else 'warm':<5}{quote.workers:>9}{duration(quote.seconds):>15}"
            f"{duration(quote.worker_seconds):>15}{'$' + money(quote.cost):>10}"
        )
        above = max_cost is not None and quote.cost > max_cost
        yield Text.assemble((line, "strike"), "  above --max-cost") if above else line
