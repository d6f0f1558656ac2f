"""What a story takes and costs on RunPod, estimated before anything is rendered.

The first figures are the seed's, the estimates that this project started from: an A100
80GB at $1.89 an hour, 10 s for a still of 832x480 at 20 steps, 120 s for a video at 480p and 20 steps, 3 to
5 minutes for a swap of models, 15 minutes for a video on a cold worker, 30 for ten scenes. By arithmetic:

- A warm worker still holds the clips' models of the story before, so each story loads the stills' models and
  then the clips'. Ten scenes take 1800 s if each of the two takes (1800 - 10 * 10 - 10 * 120) / 2 = 250 s.
- A cold worker has then started after 900 - 250 - 120 = 530 s.

Another GPU (gpus.json) makes stills and clips as many times faster as published or as its peak rate says; a
start and the loading of models, which depend on disks, take as long as the seed's.

The seed does not say how long its video's voice is. Here it is one chunk, the least that the model makes: up
to 4.8 s of voice. Published times of the model make that 1.1 * 786 / 2 = 432 s on an A100, 3.6 times the
seed's, so its figure is rather too low, and all the more so for longer voices.

Measured, on two cores without a GPU, are a draft's still and chunk and a second of film. Other sizes and
settings follow by arithmetic: time grows with the runs of the model (the steps, twice as many at a cfg above
1) and with the pixels. A story's own still and talking recipes are estimated as the profile's.

Clips of other kinds: those made without models (a camera move, an own clip) take what was measured on two
cores without a GPU. A segment of an image-to-video recipe is estimated as a chunk of so many runs, each
1 / 1.1 of one of S2V by the published times above, and its models are loaded as those of talking clips are;
neither was measured. Voices are spoken before the render, in less than their own length.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from pathlib import Path
from typing import NamedTuple

from story_studio.story.problems import Problem, Problems, nearest
from story_studio.story.recipes import Profile
from story_studio.story.results import MANIFEST
from story_studio.story.schema import Story

from ..comfy.models import known_models
from ..rendering.manifest import Manifest, read_manifest
from .gpus import gpus
from .work import DRAFT_CLIP, Work, clip_work, still_work, work_of

SEED, OWN, MEASURED = "original estimates", "our estimates", "measured"
DERIVED = "derived from the original estimates, never measured"
_SOURCES = {"seed": SEED, "derived": DERIVED, "measured": MEASURED}
_DRAFT_STILL, _FILM = 0.4, 0.27
_HOUR, _DAY = 3600.0, 24 * 3600.0
_SLOWER = 5
"""How many times longer than estimated a job may take: 3.6 by published times, and scenes are retried."""


RetakesExpected = Callable[[int], float]
"""How often a clip is made again because it failed its check, by how often it may be."""


def never(_: int) -> float:
    """Every clip passes its check."""
    return 0.0


class Quote(NamedTuple):
    """What a story takes with so many workers.

    Attributes:
        workers: how many share the scenes.
        cold: whether they start for it; warm ones run already and hold the clips' models.
        seconds: from submission to the finished film.
        worker_seconds: what is paid, the time of all workers together.
        cost: USD.
    """

    workers: int
    cold: bool
    seconds: float
    worker_seconds: float
    cost: float


class Figure(NamedTuple):
    """Seconds that something takes, and where that is from: SEED, DERIVED, OWN or MEASURED."""

    seconds: float
    source: str


class Figures(NamedTuple):
    """What the parts of a render take on one worker.

    Attributes:
        start: until a cold worker begins to load models.
        load_stills, load_clips: loading the models of each phase, in place of the other's.
        still: a still of 832x480 at 20 runs of its model.
        clip: a chunk, up to 5 s of a clip, of 832x480 at 20 steps and a cfg above 1.
        film: a second of the film.
    """

    start: Figure
    load_stills: Figure
    load_clips: Figure
    still: Figure
    clip: Figure
    film: Figure


class KindWork(NamedTuple):
    """What the scenes of one kind take: how many there are, their length, and seconds of one worker that has
    loaded the models."""

    kind: str
    scenes: int
    seconds: float
    worker_seconds: float


class Limit(NamedTuple):
    """Seconds for RunPod's `executionTimeout`, while a worker has the job, and `ttl`, from its submission."""

    execution: float
    ttl: float


def quotes(
    story: Story,
    seconds: Mapping[str, float],
    figures: Figures,
    price: float,
    max_workers: int,
    profile: Profile | None = None,
    retakes: RetakesExpected = never,
) -> list[Quote]:
    """What a story takes and costs, cold and warm, for 1 to `max_workers` workers (at most one a scene).

    Each worker loads the models and makes the stills and clips of its share; one of them then makes the film.

    Args:
        story: the story, with the profile that it is rendered with.
        seconds: length of each scene, by the scene's id.
        figures: of the story's profile.
        price: USD an hour of one worker.
        max_workers: at least 1.
        profile: with the story's own recipes; without it, as the story's profile is.
        retakes: how often a clip is made again.
    """
    work = work_of(story, seconds, profile, retakes)
    film = figures.film.seconds * sum(seconds.values()) if story.film else 0.0
    found = []
    for cold in (True, False):
        for workers in range(1, min(max_workers, len(seconds)) + 1):
            shares = [[work[scene] for scene in share] for share in split_into_shards(seconds, workers)]
            busy = [_share(figures, share, cold) for share in shares]
            paid = sum(busy) + film
            found.append(Quote(workers, cold, max(busy) + film, paid, paid * price / _HOUR))
    return found


def split_into_shards(seconds: Mapping[str, float], workers: int) -> list[list[str]]:
    """Shares scenes out: the longest first, each to the worker with the least to do.

    The longest share is at most 4/3 of the shortest possible.

    Args:
        seconds: length of each scene's voice, by the scene's id.
        workers: at least 1.

    Returns:
        The ids of each worker's scenes in the order of `seconds`, without empty shares.
    """
    shares: list[list[str]] = [[] for _ in range(workers)]
    loads = [0.0] * workers
    for scene in sorted(seconds, key=lambda scene: -seconds[scene]):
        least = loads.index(min(loads))
        shares[least].append(scene)
        loads[least] += seconds[scene]
    place = {scene: number for number, scene in enumerate(seconds)}
    return [sorted(share, key=lambda scene: place[scene]) for share in shares if share]


def choose(quotes: Sequence[Quote], max_cost: float | None) -> Quote:
    """The fastest of these quotes that costs at most `max_cost` USD, the cheapest of them if several are.

    Raises:
        Problems: all cost more.
    """
    within = [quote for quote in quotes if max_cost is None or quote.cost <= max_cost]
    if not within:
        least = min(quotes, key=lambda quote: quote.cost)
        usd, state = money(least.cost, ROUND_UP), "cold" if least.cold else "warm"
        how = f"{state}, with {least.workers} worker{'s' * (least.workers > 1)}"
        raise Problems(
            [Problem("--max-cost", f"the least that it costs is ${usd}, {how}: allow that or more.")]
        )
    return min(within, key=lambda quote: (quote.seconds, quote.cost))


def limit(quote: Quote) -> Limit:
    """How long RunPod may let each job of a quote run and wait.

    An hour and five times the estimate, for slow disks and scenes that are retried; a day more for the
    queue. RunPod allows seven days.
    """
    execution = min(_HOUR + _SLOWER * quote.seconds, 6 * _DAY)
    return Limit(execution, execution + _DAY)


def figures_for(profile: str, gpu: str, manifests: Iterable[Manifest]) -> Figures:
    """What the parts of a render take on a GPU: as earlier renders tell, or else the first figures.

    Args:
        profile: name of the profile. Only manifests of the same one count.
        gpu: a name from gpus().
        manifests: of earlier renders on such a GPU, as manifest.write() makes them.

    Raises:
        Problems: there is no such GPU.
    """
    if gpu not in gpus():
        raise Problems([Problem("--gpu", f"no figures for {gpu!r}, {nearest(gpu, gpus())}")])
    about = gpus()[gpu]
    made, loads = _SOURCES[about.source], MEASURED if about.source == "measured" else SEED
    first = Figures(
        start=Figure(about.start, SEED),
        load_stills=Figure(about.load_stills, loads),
        load_clips=Figure(about.load_clips, loads),
        still=Figure(about.still, made),
        clip=Figure(about.clip, made),
        film=Figure(_FILM, OWN),
    )
    if not any(profile in model.needed_by for model in known_models()):
        draft = {"load_stills": 0.0, "load_clips": 0.0, "still": _DRAFT_STILL, "clip": DRAFT_CLIP}
        first = first._replace(**{name: Figure(value, OWN) for name, value in draft.items()})
    return first._replace(**_measured(manifest for manifest in manifests if manifest.profile == profile))


def read_manifests(output: Path) -> list[Manifest]:
    """The manifests of all projects in a folder of results; Problems if there are none."""
    manifests = manifests_in(output)
    if not manifests:
        what = f"no manifest in {output}: choose a folder of earlier results."
        raise Problems([Problem("--measured", what)])
    return manifests


def manifests_in(output: Path) -> list[Manifest]:
    """The manifests of all projects in a folder of results."""
    folders = sorted(path.parent for path in output.glob(f"*/{MANIFEST}"))
    return [manifest for folder in folders if (manifest := read_manifest(folder))]


def _measured(manifests: Iterable[Manifest]) -> dict[str, Figure]:
    """The figures that complete renders give.

    A phase counts where loading can be separated from it: stills if no models were loaded, clips also if the
    wait between the phases is known.
    """
    renders: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        if manifest.status == "complete":
            # Stories that were rendered together share their seconds.
            together = json.dumps([manifest.seconds, manifest.model_loads])
            renders.setdefault(together, []).append(manifest)
    spent: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for together in renders.values():
        made = [_made(manifest) for manifest in together]
        work = {name: sum(each[name] for each in made) for name in ("still", "clip", "film")}
        seconds, loaded = together[0].seconds, any(together[0].model_loads.values())
        between = seconds.get("between")
        if not loaded:
            spent["still"].append((seconds["stills"], work["still"]))
        if not loaded or between is not None:
            spent["clip"].append((max(0.0, seconds["clips"] - (between or 0.0)), work["clip"]))
        if loaded and between is not None and work["clip"]:
            spent["load_clips"].append((between, 1.0))
        spent["film"].append((seconds["films"], work["film"]))
    return {
        name: Figure(sum(time for time, work in parts if work) / done, MEASURED)
        for name, parts in spent.items()
        if (done := sum(work for _, work in parts))
    }


def _made(manifest: Manifest) -> dict[str, float]:
    """What a render made and did not reuse, in units of the figures."""
    work, of_other_models = {"still": 0.0, "clip": 0.0, "film": 0.0}, False
    for scene in manifest.scenes:
        if scene.still and not scene.still.reused and scene.settings.still:
            work["still"] += still_work(scene.settings.still)
        # Those of other kinds take hardly any time, unless a model makes them: then the phase tells nothing.
        if scene.clip and not scene.clip.reused and scene.kind in ("", "talking"):
            made = sum(not take.reused for take in scene.takes) or 1
            work["clip"] += made * clip_work(scene.settings.clip or {}, round(16 * scene.clip.seconds))
        elif scene.kind in ("narrated", "silent") and "steps" in (scene.settings.clip or {}):
            of_other_models = True
    if manifest.film and not manifest.film.reused:
        work["film"] += manifest.film.seconds
    return work | ({"clip": 0.0} if of_other_models else {})


def by_kind(story: Story, seconds: Mapping[str, float], figures: Figures, profile: Profile) -> list[KindWork]:
    """What the scenes of each kind take, without loading models and the film; arguments as of `quotes`."""
    work, kinds = work_of(story, seconds, profile), dict[str, list[str]]()
    for scene in story.scenes:
        kinds.setdefault(scene.kind_of, []).append(scene.id)
    return [
        KindWork(
            kind,
            len(scenes),
            sum(seconds[scene] for scene in scenes),
            sum(_made_in(figures, work[scene]) for scene in scenes),
        )
        for kind, scenes in kinds.items()
    ]


def _share(figures: Figures, work: Sequence[Work], cold: bool) -> float:
    """Seconds of one worker for scenes."""
    total = Work(*map(sum, zip(*work, strict=True)))
    seconds = _made_in(figures, total)
    if cold:
        seconds += figures.start.seconds
    if total.stills:
        seconds += figures.load_stills.seconds
    # A warm worker holds the models of talking clips, unless those of others take their place.
    if total.talking and (total.stills or total.moving or cold):
        seconds += figures.load_clips.seconds
    if total.moving:
        seconds += figures.load_clips.seconds
    return seconds


def _made_in(figures: Figures, work: Work) -> float:
    """Seconds for stills and clips, once the models are loaded."""
    return (
        figures.still.seconds * work.stills + figures.clip.seconds * (work.talking + work.moving) + work.quick
    )


def money(usd: float, rounding: str = ROUND_HALF_UP) -> str:
    """USD with cents; a half cent counts, although a float may fall short of it."""
    return str(Decimal(str(round(usd, 9))).quantize(Decimal("0.01"), rounding))
