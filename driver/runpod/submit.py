"""`submit`: renders a story on a RunPod endpoint and brings the results here."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from story_studio.story.problems import Problem, Problems

from .. import terminal
from ..media_types import media_type
from ..rendering.progress import PHASES, OnProgress, Status

if TYPE_CHECKING:
    from story_studio.story.graph import Phase
    from story_studio.story.schema import Story

    from ..rendering.inputs import Inputs, Picture, Recording
    from .client import Endpoint, JobState
    from .estimate import Limit, Quote


def add_command(commands: argparse._SubParsersAction) -> None:
    """Adds `submit` to the subparsers of a command line."""
    command = commands.add_parser(
        "submit",
        help="render a story on a RunPod endpoint",
        description="Renders a story on a RunPod endpoint, with the key in RUNPOD_API_KEY, and fetches the "
        "results. Files of this machine are sent in the job while they fit into its 10 MB, and else through "
        "the bucket of the BUCKET_ variables, which must be the endpoint's own.",
    )
    command.add_argument("stories", nargs=1, type=Path, metavar="STORY", help="a YAML or JSON story file")
    command.add_argument("--endpoint", required=True, metavar="ID", help="the endpoint, as on its page")
    command.add_argument("--output", type=Path, default=Path("output"), help="folder of the results (output)")
    command.add_argument("--profile", help="instead of the story's own")
    command.add_argument(
        "--workers",
        type=_workers,
        metavar="W",
        help="how many workers share the scenes. They need a bucket in common, and JOBS_AT_ONCE=1 on the "
        "endpoint, or one of them takes all shares. auto, if left out: the fewest seconds within --max-cost "
        "with the BUCKET_ variables set here, and one without",
    )
    command.add_argument("--max-cost", type=float, metavar="USD", help="most that the plan may cost")
    command.add_argument("--gpu", metavar="GPU", help="the workers' GPU, as `plan` names it")
    command.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Renders the story; the result is the exit status: 0 done, 1 failed, 3 partly done.

    Raises:
        Problems: what is wrong with the story, the settings or the cost; nothing was rendered.
    """
    from ..cli.main import FAILED
    from ..storage.store import StorageError
    from .client import EndpointError, stoppable

    try:
        with stoppable():
            return _submit(options)
    except (EndpointError, StorageError) as error:
        _say(str(error), "red")
        return FAILED


def _submit(options: argparse.Namespace) -> int:
    from ..cli.main import check_writable, prepare
    from .client import Endpoint
    from .estimate import limit, split_into_shards

    endpoint = Endpoint(options.endpoint)
    with tempfile.TemporaryDirectory(prefix="story-studio-") as downloads:
        ((_, story),), (found,) = prepare(options, Path(downloads))
        check_writable(options.output)
        # A wrong key or id is told before anything is sent.
        endpoint.health()
        seconds = {scene: one.recording.seconds for scene, one in found.items()}
        quote, alone = _choose(story, seconds, options, endpoint)
        count = f"{quote.workers} worker{'s' * (quote.workers > 1)}"
        _say(f"Planned: {count}, {terminal.duration(quote.seconds)} from a cold start, ${quote.cost:.2f}.")
        story = _reachable(story, found)
    totals: dict[Any, int] = {"still": len(found), "clip": len(found), "film": int(story.film is not None)}
    with endpoint.raised(quote.workers, partial(_say, style="yellow")), terminal.progress(totals) as show:
        if quote.workers > 1:
            shards = split_into_shards(seconds, quote.workers)
            parts = [[scene for scene in story.scenes if scene.id in shard] for shard in shards]
            stories = [story.model_copy(update={"scenes": scenes, "film": None}) for scenes in parts]
            for state in _jobs(endpoint, stories, limit(quote), show):
                if state.status != "COMPLETED":
                    _say(f"A shard failed; the last job tries it again. {_why(state)}", "yellow")
        # It makes the film; and everything, if the shares have failed.
        (state,) = _jobs(endpoint, [story], limit(alone), show)
    return _finish(state, story, options.output)


def _choose(
    story: Story, seconds: dict[str, float], options: argparse.Namespace, endpoint: Endpoint
) -> tuple[Quote, Quote]:
    """The quote for the workers that share the story, and the one for a single worker."""
    from ..storage.bucket import Bucket
    from . import estimate
    from .client import EndpointError

    gpu = options.gpu or next(iter(estimate.gpus()))
    figures = estimate.figures_for(story.profile, gpu, [])
    most = options.workers or 1
    if not options.workers and len(seconds) > 1 and Bucket.from_environment():
        # With a key that may only send jobs, one worker does it.
        with contextlib.suppress(EndpointError):
            most = max(1, endpoint.workers().max)
    # Whether a worker that is ready holds the models is not known, so none is counted on.
    quotes = estimate.quotes(story, seconds, figures, estimate.gpus()[gpu]["price"], most)
    quotes = [quote for quote in quotes if quote.cold]
    fixed = [quote for quote in quotes if options.workers in (None, quote.workers)] or quotes[-1:]
    return estimate.choose(fixed, options.max_cost), quotes[0]


def _job(story: Story) -> dict[str, Any]:
    told = story.model_dump(mode="json", exclude_none=True)
    return {"task": "batch", **told, "film": told.get("film", False)}


def _reachable(story: Story, found: dict[str, Inputs]) -> Story:
    """The story with addresses, data or keys of the bucket where it named files of this machine.

    Raises:
        Problems: they are too large for a job, and there is no bucket; or some cannot be sent at all.
        StorageError: they cannot be put into the bucket.
    """
    from ..fetch.download import is_address
    from .client import MAX_BYTES

    if story.image_settings.workflow or story.video_settings.workflow:
        what = "of the settings is a file of this machine, which an endpoint cannot have: leave it out."
        raise Problems([Problem("workflow", what)])
    local: dict[tuple[str, str], Recording | Picture] = {}
    for scene in story.scenes:
        if not is_address(scene.audio):
            local[scene.id, "audio"] = found[scene.id].recording
        if (picture := found[scene.id].picture) and scene.image and not is_address(scene.image):
            local[scene.id, "image"] = picture
    size = sum(4 * (one.path.stat().st_size // 3 + 1) + 100 for one in local.values())
    # Some room stays for what the job has besides its input.
    if len(json.dumps(_job(story)).encode()) + size < MAX_BYTES - 1000:
        sources = {place: _data_uri(one.path) for place, one in local.items()}
    else:
        sources = _upload(local, story.project_id, size)
    story = story.model_copy(deep=True)
    scenes = {scene.id: scene for scene in story.scenes}
    for (scene, name), source in sources.items():
        setattr(scenes[scene], name, source)
    return story


def _data_uri(path: Path) -> str:
    return f"data:{media_type(path.name)};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _upload(
    local: dict[tuple[str, str], Recording | Picture], project: str, size: int
) -> dict[tuple[str, str], str]:
    """Puts files into the bucket, unless they are there; their keys."""
    from concurrent.futures import ThreadPoolExecutor

    from ..rendering.render import server_name
    from ..storage import from_environment
    from ..storage.bucket import Bucket

    if Bucket.from_environment() is None:
        what = (
            f"take {size / 1e6:.1f} MB, and a job holds 10: set the BUCKET_ variables that the endpoint has, "
            "and they are sent through its bucket; or give http(s) addresses."
        )
        raise Problems([Problem("the recordings and pictures", what)])
    store = from_environment(Path())

    def put(one: Recording | Picture) -> str:
        key = f"StoryStudio/{project}/inputs/{server_name(one.path, one.sha256)}"
        stored = store.find(key)
        if stored is None or stored.sha256 != one.sha256:
            store.upload(one.path, key, lasting=True)
        return key

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(local, pool.map(put, local.values()), strict=True))


def _jobs(endpoint: Endpoint, stories: Sequence[Story], limit: Limit, show: OnProgress) -> list[JobState]:
    """Has stories rendered, as a job each; their ends, in order. If it is broken off, they are cancelled."""
    from .client import NoAnswer, undisturbed

    board = _Board(show)
    jobs: list[str] = []
    ended: dict[str, JobState] = {}
    try:
        for story in stories:
            with undisturbed():
                jobs.append(endpoint.submit(_job(story), limit.execution, limit.ttl))
            board.add(jobs[-1], len(story.scenes))
        for state in endpoint.follow(*jobs):
            board.tell(state)
            if state.ended:
                ended[state.id] = state
    except BaseException as error:
        # Where nothing is answered, a cancellation would not be heard either.
        if not isinstance(error, NoAnswer):
            _cancel(endpoint, [job for job in jobs if job not in ended])
        raise
    return [ended[job] for job in jobs]


def _cancel(endpoint: Endpoint, jobs: list[str]) -> None:
    from .client import EndpointError

    for job in jobs:
        _say(f"Cancelling the job {job} on the endpoint ...")
        try:
            endpoint.cancel(job)
        except EndpointError as error:
            _say(f"The job {job} could not be cancelled: cancel it on the endpoint's page. {error}", "red")


class _Board:
    """Shows several jobs as one render."""

    def __init__(self, show: OnProgress):
        self._show = show
        self._scenes: dict[str, int] = {}
        self._told: dict[str, Status] = {}
        self._workers: dict[str, str] = {}

    def add(self, job: str, scenes: int) -> None:
        """A job of so many scenes was submitted."""
        self._scenes[job] = scenes
        self._told[job] = Status("still", "", 0, scenes, 0.0, None, 0.0, None)

    def tell(self, state: JobState) -> None:
        """Shows a new state of a job."""
        if state.status == "IN_QUEUE":
            _say(f"The job {state.id} waits for a worker.")
        told = state.output if isinstance(state.output, dict) and not state.ended else {}
        # Before its first picture a job reads its inputs and waits for others.
        phases: dict[Any, Phase] = {name: phase for phase, name in PHASES.items()}
        phase, percent = phases.get(told.get("phase"), "still"), told.get("percent", 0.0)
        step = (phase, str(told.get("scene", "")), told.get("done", 0), 0, 0.0, None, percent)
        self._told[state.id] = Status(*step, told.get("seconds_left"))
        if state.ended:
            del self._told[state.id]
        if self._told:
            self._sum()
        others = [
            job for job, worker in self._workers.items() if worker == state.worker and job in self._told
        ]
        if state.worker and state.id not in self._workers and others:
            _say(
                "One worker took several shares: with JOBS_AT_ONCE=1 on the endpoint, others help.", "yellow"
            )
        self._workers[state.id] = state.worker

    def _sum(self) -> None:
        order = list(PHASES)
        phase = order[min(order.index(one.phase) for one in self._told.values())]
        # Of the film there is one for each job, of all else one for each scene.
        counts = self._scenes if phase != "film" else dict.fromkeys(self._scenes, 1)
        done, percent = 0, 0.0
        for job, scenes in self._scenes.items():
            one = self._told.get(job)
            done += one.done if one and one.phase == phase else counts[job]
            percent += (one.percent if one else 100.0) * scenes / sum(self._scenes.values())
        left = [one.seconds_left for one in self._told.values()]
        seconds = None if None in left else max(filter(None, left), default=0.0)
        at = ", ".join(one.scene for one in self._told.values() if one.phase == phase and one.scene)
        self._show(Status(phase, at, done, sum(counts.values()), 0.0, None, percent, seconds))


def _finish(state: JobState, story: Story, output: Path) -> int:
    from ..cli.main import FAILED, OK, PARTIAL
    from ..rendering.manifest import FILM

    if state.status != "COMPLETED":
        _say(_why(state), "red")
        return FAILED
    answer = state.output
    if not isinstance(answer, dict) or not {"scenes", "status", "model_loads", "total_time"} <= answer.keys():
        _say("The endpoint's answer is not that of Story Studio: check that it runs its image.", "red")
        return FAILED
    for warning in answer.get("warnings", []):
        _say(f"Warning: {warning}", "yellow")
    folder = output / story.project_id
    with terminal.waiting("Fetching the results"):
        _fetch(answer, {scene.id for scene in story.scenes}, folder)
    for scene in answer["scenes"]:
        if "error" in scene:
            _say(f"{scene['id']} failed: {scene['error']}", "red")
    loads, total = sum(answer["model_loads"].values()), terminal.duration(answer["total_time"])
    _say(f"{story.project_id} is {answer['status']}: {loads} model files loaded, {total}.")
    sys.stdout.write(f"{folder / FILM if 'film_url' in answer else folder}\n")
    return {"complete": OK, "partial": PARTIAL}.get(answer["status"], FAILED)


def _fetch(answer: dict[str, Any], scenes: set[str], folder: Path) -> None:
    """Brings every result that the answer names into `folder`, the manifest last.

    Raises:
        EndpointError: one cannot be fetched, or is not what was made.
    """
    from ..rendering.manifest import FILM, MANIFEST, SHEET, file_name
    from . import results, transport

    named = [
        (file_name(kind, scene["id"]), scene, name)
        for scene in answer["scenes"]
        if scene["id"] in scenes
        for kind, name in (("still", "image"), ("clip", "video"))
    ]
    named += [(file, answer, name) for file, name in ((FILM, "film"), (SHEET, "storyboard"))]
    named.append((MANIFEST, answer, "manifest"))
    folder.mkdir(parents=True, exist_ok=True)
    with transport.session() as session:
        for file, told, name in named:
            if f"{name}_url" in told:
                results.fetch(session, told[f"{name}_url"], folder / file, told.get(f"{name}_sha256"))


def _why(state: JobState) -> str:
    if state.status == "TIMED_OUT":
        return "The job was not done, or not begun, within its time; the same command goes on from there."
    if state.status == "CANCELLED":
        return "The job was cancelled on the endpoint; what is finished is kept."
    return f"The job failed: {state.error or 'the endpoint does not say why; look at the log of its worker.'}"


def _say(text: str, style: str = "") -> None:
    terminal.console.print(text, style=style, markup=False, soft_wrap=True)


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    with contextlib.suppress(ValueError):
        if 1 <= int(text) <= 100:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 to 100")
