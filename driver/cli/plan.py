"""`plan`: estimates what stories would take and cost on RunPod."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from story_studio.story.graph import Files, Plan
from story_studio.story.memory import Needs, plan_memory
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import load_profile, profile_names
from story_studio.story.schema import Story, parse

from ..rendering.manifest import Manifest
from ..rendering.memory import model_uses
from ..rendering.prepare import RenderPlan, prepare
from ..runpod.estimate import (
    DERIVED,
    MEASURED,
    OWN,
    SEED,
    Figures,
    KindWork,
    Quote,
    RetakesExpected,
    by_kind,
    choose,
    figures_for,
    manifests_in,
    money,
    quotes,
    read_manifests,
)
from ..runpod.gpus import LIST_DATE, gpus, vram_need
from ..runpod.retakes import Share, expected, expected_with, lowered, share_of_failing, within_cap
from ..runpod.scenarios import saving, scenarios
from ..terminal import OK, duration
from .arguments import DEFAULT_OUTPUT, add_stories, default_models
from .speaking import speaker


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    command.description = (
        "What stories would take and cost on RunPod. Without a story: what each GPU costs and can render, "
        "and what one video, ten scenes and ten videos would cost on the chosen one."
    )
    add_stories(command, "*")
    names = list(gpus())
    command.add_argument("--gpu", choices=names, default=names[0], help=f"each worker's GPU ({names[0]})")
    command.add_argument(
        "--price",
        type=float,
        metavar="USD",
        help="of a worker's hour, if it is another (plan alone lists them)",
    )
    command.add_argument("--workers", type=int, metavar="W", help="show 1 to W workers (4)")
    command.add_argument(
        "--max-cost", type=float, metavar="USD", help="most that a story may cost; fails if it costs more"
    )
    command.add_argument(
        "--measured",
        type=Path,
        metavar="FOLDER",
        help="results of earlier renders on such a GPU: what they took replaces the first figures",
    )
    command.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        help="folder of earlier results, whose share of failing clips is taken where --measured names none "
        f"({DEFAULT_OUTPUT})",
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
    earlier = read_manifests(options.measured) if options.measured else []
    out = Console(highlight=False)
    if not options.stories:
        for line in _without_story(options, earlier):
            out.print(line, markup=False, soft_wrap=not out.is_terminal)
        return OK
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        plans = prepare(
            options.stories,
            options.profile,
            Path(downloads),
            speaker(Path(downloads), default_models(), estimate=True),
        )
    problems: list[Problem] = []
    share = share_of_failing(manifests_in(_folder(options)))
    for plan in plans:
        offers = _Offers.of(plan, options, earlier, share)
        for line in _lines(plan, offers, options):
            out.print(line, markup=False, soft_wrap=not out.is_terminal)
        try:
            choose(offers.most, options.max_cost)
        except Problems as error:
            problems += [Problem(f"{plan.story.project_id}: {where}", what) for where, what in error.problems]
    if problems:
        raise Problems(problems)
    return OK


def _folder(options: argparse.Namespace) -> Path:
    """The results of earlier renders by which clips fail."""
    return options.measured or options.output


class _Offers(NamedTuple):
    """What a story takes and costs.

    Attributes:
        figures: of its profile.
        price: USD an hour of a worker.
        share: of the clips that fail.
        story: with as many retakes as the cap allows.
        quotes: what is expected.
        most: the same quotes if every clip is made again as often as it may be.
    """

    figures: Figures
    price: float
    share: Share
    story: Story
    quotes: list[Quote]
    most: list[Quote]

    @classmethod
    def of(
        cls, plan: RenderPlan, options: argparse.Namespace, earlier: Sequence[Manifest], share: Share
    ) -> _Offers:
        figures = figures_for(plan.story.profile, options.gpu, earlier)
        price = options.price or gpus()[options.gpu].price

        def quoted(story: Story, retakes: RetakesExpected = float) -> list[Quote]:
            return quotes(story, plan.seconds, figures, price, options.workers or 4, plan.profile, retakes)

        story = within_cap(plan.story, options.max_cost, quoted)
        likely = quoted(story, expected_with(share.value))
        return cls(figures, price, share, story, likely, quoted(story))


def _lines(plan: RenderPlan, offers: _Offers, options: argparse.Namespace) -> Iterator[str | Text]:
    """All that is said about a story."""
    story, seconds, figures, price = plan.story, plan.seconds, offers.figures, offers.price
    scenes = f"{len(seconds)} scene{'s' * (len(seconds) > 1)}"
    is_talking = all(scene.kind_of == "talking" for scene in story.scenes)
    voice = f"{sum(seconds.values()):.1f} s of {'voice' if is_talking else 'film'}"
    yield f"{story.project_id}: {scenes}, {voice}, {story.profile}, {options.gpu} at ${price:g} an hour"
    yield from (*_price(options), *_sources(figures, options.gpu), *_vram(story.profile, options.gpu))
    yield from (*_memory(plan), *_checks(plan, offers, _folder(options)))
    kinds = [] if is_talking else by_kind(story, seconds, figures, plan.profile)
    yield from (*_kinds(kinds, price), *_table(offers, options.max_cost), "")


def _without_story(options: argparse.Namespace, earlier: Sequence[Manifest]) -> Iterator[str]:
    """The GPUs, and the seed's cost table for one of them.

    Raises:
        Problems: options that need a story, or an unknown profile.
    """
    needing = [name for name in ("--max-cost", "--workers") if getattr(options, name[2:].replace("-", "_"))]
    if needing:
        raise Problems(
            Problem(name, "needs a story to plan: name its file, or leave it out.") for name in needing
        )
    price = options.price or gpus()[options.gpu].price
    profile = options.profile or "standard"
    load_profile(profile)
    figures = figures_for(profile, options.gpu, earlier)
    yield from _gpu_table()
    yield ""
    steps = f"{profile}'s own steps" if options.profile else "20 steps each"
    yield f"{profile}, 832x480, {steps}, up to 5 s of voice a video, {options.gpu} at ${price:g} an hour"
    yield from _price(options)
    yield from _sources(figures, options.gpu)
    found = scenarios(figures, price, options.profile)
    yield f"{'':<26}{'paid time':>15}{'cost':>10}"
    for name, quote in found:
        yield f"{name:<26}{duration(quote.worker_seconds):>15}{'$' + money(quote.cost):>10}"
    yield f"The batch, on a warm worker, saves {saving(found):.0%} of what ten cold videos cost."


def _gpu_table() -> Iterator[str]:
    names = [name for name in profile_names() if vram_need(name)]
    yield f"{'GPU':<15}{'pool':<12}{'list price':>12}{''.join(f'{name:>12}' for name in names)}"
    for gpu, about in gpus().items():
        fits = ["whole" if vram_need(name) <= about.vram_gb else "in parts" for name in names]
        price = f"${about.list_price:.2f}/h"
        yield f"{gpu:<15}{about.pool:<12}{price:>12}{''.join(f'{fit:>12}' for fit in fits)}"
    needs = [_needs(_example(name)) for name in names]
    for title, field in (("RAM that holds all models", "all"), ("RAM, at least", "part")):
        sizes = (f"{getattr(need, field):.0f} GB" for need in needs)
        yield f"{title:<39}{''.join(f'{size:>12}' for size in sizes)}"
    yield f"list price: of a flex worker, in RunPod's documentation of {LIST_DATE}; --price sets another."
    yield (
        "whole: the largest model and its work, estimated at 6 GB, fit into the GPU's memory; in parts: "
        "ComfyUI keeps some of the weights in the machine's memory, which is slower."
    )


def _price(options: argparse.Namespace) -> Iterator[str]:
    gpu = gpus()[options.gpu]
    if options.price:
        return
    if gpu.price == gpu.list_price:
        yield f"price: RunPod's list price of {LIST_DATE}."
    else:
        listed = f"RunPod's list price of {LIST_DATE} is ${gpu.list_price:.2f}"
        yield f"price: as in the original estimates; {listed}."


def _vram(profile: str, gpu: str) -> Iterator[str]:
    need = vram_need(profile)
    if need > gpus()[gpu].vram_gb:
        yield (
            f"{gpu} cannot hold the largest model of {profile} and its work, about {need:.0f} GB: parts "
            "of it stay in the machine's memory, so clips take longer than estimated."
        )


def _sources(figures: Figures, gpu: str) -> Iterator[str]:
    names = {
        "start": "cold start",
        "load_stills": "loading the stills' models",
        "load_clips": "loading the clips' models",
        "still": "a still (832x480, 20 steps)",
        "clip": "a chunk of clip, up to 5 s (832x480, 20 steps, cfg above 1)",
        "film": "a second of film",
    }
    for source in (SEED, DERIVED, OWN, MEASURED):
        parts = [
            f"{names[name]} {figure.seconds:.3g} s"
            for name, figure in figures._asdict().items()
            if figure.source == source
        ]
        if parts:
            yield f"{source}: {', '.join(parts)}"
    if DERIVED in (figures.still.source, figures.clip.source):
        yield f"derived: {gpus()[gpu].about}."
    if figures.clip.source in (SEED, DERIVED):
        yield "the estimate for clips is low: published times of the model are 3.6 times as long."
    yield (
        "warm: workers that are already running and hold the clips' models; the cost of keeping them warm is "
        "not included."
    )


def _example(profile: str) -> Plan:
    """A scene of a still and a clip."""
    scene = {"id": "scene", "prompt": "a scene", "audio": "voice.wav"}
    story = parse({"project_id": "story", "profile": profile, "scenes": [scene]})
    return Plan(story, load_profile(profile), {"scene": Files("voice.wav", None)})


def _needs(plan: Plan) -> Needs:
    return plan_memory(model_uses([plan], (), Path("models"), on_cpu=False), 0.0).needs


def _memory(plan: Plan) -> Iterator[str]:
    """What a worker's memory has to hold, from the published sizes of the models."""
    needs = _needs(plan)
    if needs.all:
        yield (
            f"memory of a worker: {needs.all:.0f} GB hold all models; with {needs.phase:.0f} GB those of "
            f"stills are freed before those of clips are read, with {needs.part:.0f} GB text encoders, too."
        )


def _checks(plan: RenderPlan, offers: _Offers, folder: Path) -> Iterator[str]:
    """What checks and retakes add."""
    about = expected(offers.story, plan.seconds, offers.share.value, plan.profile)
    if about.checked:
        clips = f"{about.checked} clip{'s' * (about.checked > 1)}"
        yield (
            f"checks: {clips}, {duration(about.seconds)} of a worker's processor, not in the rows below "
            "(our estimates)."
        )
    if about.most:
        share = f"{offers.share.value:.0%} of clips fail their check"
        measured = f"measured, of {offers.share.clips} in {folder}"
        source = measured if offers.share.clips else "assumed, never measured"
        yield (
            f"retakes: {about.retakes:.1f} expected in all, because {share} ({source}); at most {about.most}."
        )
    if text := lowered(plan.story, offers.story):
        yield f"retakes: {text}"


def _kinds(kinds: Sequence[KindWork], price: float) -> Iterator[str]:
    """What each kind of scene takes and costs."""
    if kinds:
        yield f"{'kind':<10}{'scenes':>7}{'length':>10}{'paid time':>15}{'cost':>10}"
    for work in kinds:
        cost = "$" + money(work.worker_seconds * price / 3600)
        name = "own clip" if work.kind == "clip" else work.kind
        yield (
            f"{name:<10}{work.scenes:>7}{f'{work.seconds:.1f} s':>10}"
            f"{duration(work.worker_seconds):>15}{cost:>10}"
        )
    if kinds:
        yield "stills and clips of each kind; starting, loading models and the film are in the rows below:"


def _table(offers: _Offers, max_cost: float | None) -> Iterator[Text | str]:
    has_retakes = offers.most != offers.quotes
    most = f"{'at most':>10}" if has_retakes else ""
    yield f"{'start':<5}{'workers':>9}{'time':>15}{'paid time':>15}{'cost':>10}{most}"
    for quote, worst in zip(offers.quotes, offers.most, strict=True):
        line = (
            f"{'cold' if quote.cold else 'warm':<5}{quote.workers:>9}{duration(quote.seconds):>15}"
            f"{duration(quote.worker_seconds):>15}{'$' + money(quote.cost):>10}"
        )
        line += f"{'$' + money(worst.cost):>10}" if has_retakes else ""
        above = max_cost is not None and worst.cost > max_cost
        yield Text.assemble((line, "strike"), "  above --max-cost") if above else line
