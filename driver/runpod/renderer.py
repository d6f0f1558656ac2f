"""Stories on a RunPod endpoint: shared out over workers as jobs, their progress shown as one render's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from story_studio.story.graph import Phase
from story_studio.story.schema import Story

from ..rendering.manifest import Manifest
from ..rendering.prepare import RenderPlan
from ..rendering.progress import PHASES, STAGES, OnProgress, Stage, Status
from ..storage.bucket import Bucket
from ..terminal import duration
from .client import Endpoint, EndpointError, JobState, NoAnswer, undisturbed
from .estimate import (
    Limit,
    Quote,
    RetakesExpected,
    choose,
    figures_for,
    limit,
    manifests_in,
    quotes,
    split_into_shards,
)
from .gpus import gpus
from .inputs import job_input, reachable
from .results import fetch_results
from .retakes import expected_with, lowered, share_of_failing, with_retakes, within_cap

Say = Callable[[str, str], None]


class _Chosen(NamedTuple):
    """How a story is rendered.

    Attributes:
        story: with as many retakes as the cap allows.
        quote: what is expected, for the workers that share it.
        most: the same if every clip is made again as often as it may be.
        alone: that for a single worker.
    """

    story: Story
    quote: Quote
    most: Quote
    alone: Quote


class EndpointRenderer:
    """Renders on a RunPod endpoint.

    Args:
        endpoint: the endpoint.
        workers: how many workers share the scenes of a story; None for the fewest seconds within `max_cost`.
        max_cost: USD that a story may cost.
        gpu: the workers' GPU, as in `gpus`; None for the first.
        say: called with a sentence for the user and its colour, which may be empty.
    """

    def __init__(
        self, endpoint: Endpoint, workers: int | None, max_cost: float | None, gpu: str | None, say: Say
    ):
        self._endpoint, self._say = endpoint, say
        self._workers, self._max_cost, self._gpu = workers, max_cost, gpu

    def render(self, plans: Sequence[RenderPlan], output: Path, on_progress: OnProgress) -> list[Manifest]:
        """As `Renderer.render`, one story after the other.

        Raises:
            Problems: a story costs too much, or its files cannot be sent; nothing of it was rendered.
            EndpointError: the endpoint failed, or did not do the job.
            StorageError: files cannot be put into the bucket.
        """
        return [self._render(plan, output, on_progress) for plan in plans]

    def _render(self, plan: RenderPlan, output: Path, on_progress: OnProgress) -> Manifest:
        chosen = self._choose(plan, output)
        quote, alone, most = chosen.quote, chosen.alone, chosen.most
        count = f"{quote.workers} worker{'s' * (quote.workers > 1)}"
        worst = f"; ${most.cost:.2f} if every clip is made again" if most.cost > quote.cost else ""
        about = f"{count}, {duration(quote.seconds)} from a cold start, ${quote.cost:.2f}{worst}"
        self._say(f"Planned: {about}.", "")
        story = reachable(plan)
        if text := lowered(plan.story, chosen.story):
            self._say(f"Warning: {text}", "yellow")
            story = with_retakes(story, chosen.story.quality.retakes)
        with self._endpoint.raised(quote.workers, lambda text: self._say(text, "yellow")):
            if quote.workers > 1:
                shards = split_into_shards(plan.seconds, quote.workers)
                parts = [[scene for scene in story.scenes if scene.id in shard] for shard in shards]
                stories = [story.model_copy(update={"scenes": scenes, "film": None}) for scenes in parts]
                for state in self._run(stories, limit(most), on_progress):
                    if state.status != "COMPLETED":
                        text = f"A shard failed; the last job renders it again. {_reason(state)}"
                        self._say(text, "yellow")
            # It makes the film; and everything, if the shards have failed.
            (state,) = self._run([story], limit(alone), on_progress)
        if state.status != "COMPLETED":
            raise EndpointError(_reason(state))
        manifest = fetch_results(
            state.output, story, output / story.project_id, on_progress, self._endpoint.local
        )
        for warning in manifest.warnings:
            self._say(f"Warning: {warning}", "yellow")
        return manifest

    def _choose(self, plan: RenderPlan, output: Path) -> _Chosen:
        gpu = self._gpu or next(iter(gpus()))
        figures = figures_for(plan.story.profile, gpu, [])
        most = self._workers or 1
        if not self._workers and len(plan.inputs) > 1 and Bucket.from_environment():
            # With a key that may only send jobs, one worker does it.
            with contextlib.suppress(EndpointError):
                most = max(1, self._endpoint.workers().max)

        def cold(story: Story, retakes: RetakesExpected) -> list[Quote]:
            # Whether a ready worker holds the models is not known, so all are taken for cold.
            offers = quotes(story, plan.seconds, figures, gpus()[gpu].price, most, plan.profile, retakes)
            return [quote for quote in offers if quote.cold]

        def allowed(story: Story, retakes: RetakesExpected) -> list[Quote]:
            offers = cold(story, retakes)
            return [quote for quote in offers if self._workers in (None, quote.workers)] or offers[-1:]

        story = within_cap(plan.story, self._max_cost, lambda story: allowed(story, float))
        worst = choose(allowed(story, float), self._max_cost)
        retakes = expected_with(share_of_failing(manifests_in(output)).value)
        (quote,) = (quote for quote in cold(story, retakes) if quote.workers == worst.workers)
        return _Chosen(story, quote, worst, cold(story, float)[0])

    def _run(self, stories: Sequence[Story], limits: Limit, on_progress: OnProgress) -> list[JobState]:
        """Renders stories, as a job each; their ends, in order. If it is broken off, they are cancelled."""
        board = _Board(on_progress, self._say)
        jobs: list[str] = []
        ended: dict[str, JobState] = {}
        try:
            for story in stories:
                with undisturbed():
                    jobs.append(self._endpoint.submit(job_input(story), limits.execution, limits.ttl))
                board.add(jobs[-1], len(story.scenes))
            for state in self._endpoint.follow(*jobs):
                board.update(state)
                if state.ended:
                    ended[state.id] = state
        except BaseException as error:
            # An endpoint that does not answer would not take a cancellation either.
            if not isinstance(error, NoAnswer):
                self._cancel([job for job in jobs if job not in ended])
            raise
        return [ended[job] for job in jobs]

    def _cancel(self, jobs: list[str]) -> None:
        for job in jobs:
            self._say(f"Cancelling the job {job} on the endpoint ...", "")
            try:
                self._endpoint.cancel(job)
            except EndpointError as error:
                text = f"The job {job} could not be cancelled: cancel it on the endpoint's page. {error}"
                self._say(text, "red")


class _Board:
    """Shows several jobs as one render."""

    def __init__(self, on_progress: OnProgress, say: Say):
        self._on_progress, self._say = on_progress, say
        self._scenes: dict[str, int] = {}
        self._running: dict[str, Status] = {}
        self._workers: dict[str, str] = {}

    def add(self, job: str, scenes: int) -> None:
        """A job of so many scenes was submitted."""
        self._scenes[job] = scenes
        self._running[job] = Status("still", "", 0, scenes, 0.0, None, 0.0, None)

    def update(self, state: JobState) -> None:
        """Shows a new state of a job."""
        if state.status == "IN_QUEUE":
            self._say(f"The job {state.id} waits for a worker.", "")
        message = state.output if isinstance(state.output, dict) and not state.ended else {}
        # While the last results are stored, the film stays the job's phase.
        if message.get("phase") != "uploads":
            self._running[state.id] = _status(message)
        if state.ended:
            del self._running[state.id]
        if self._running:
            self._show()
        others = [
            job for job, worker in self._workers.items() if worker == state.worker and job in self._running
        ]
        if state.worker and state.id not in self._workers and others:
            text = "One worker took several shards: with JOBS_AT_ONCE=1 on the endpoint, others help."
            self._say(text, "yellow")
        self._workers[state.id] = state.worker

    def _show(self) -> None:
        order: list[Stage] = list(STAGES)
        phase = order[min(order.index(status.phase) for status in self._running.values())]
        # There is one film for each job, and one of all else for each scene.
        counts = self._scenes if phase != "film" else dict.fromkeys(self._scenes, 1)
        done, percent = 0, 0.0
        for job, scenes in self._scenes.items():
            status = self._running.get(job)
            done += status.done if status and status.phase == phase else counts[job]
            percent += (status.percent if status else 100.0) * scenes / sum(self._scenes.values())
        left = [status.seconds_left for status in self._running.values()]
        seconds = None if None in left else max(filter(None, left), default=0.0)
        names = [status.scene for status in self._running.values() if status.phase == phase]
        total = sum(counts.values())
        at = ", ".join(filter(None, names))
        activities = [status.activity for status in self._running.values() if status.phase == phase]
        activity = "; ".join(filter(None, activities))
        self._on_progress(Status(phase, at, done, total, 0.0, None, percent, seconds, activity))


def _status(message: dict[str, Any]) -> Status:
    """A job's status by its message; before its first still it fetches its inputs and waits for others."""
    phases: dict[Any, Phase] = {name: phase for phase, name in PHASES.items()}
    phase = phases.get(message.get("phase"))
    done = message.get("done", 0) if phase else 0
    step = (phase or "still", str(message.get("scene", "")), done, 0, 0.0, None, message.get("percent", 0.0))
    return Status(*step, message.get("seconds_left"), str(message.get("activity", "")))


def _reason(state: JobState) -> str:
    if state.status == "TIMED_OUT":
        return "The job did not finish, or begin, within its time; the same command resumes it."
    if state.status == "CANCELLED":
        return "The job was cancelled on the endpoint; what is finished is kept."
    return f"The job failed: {state.error or 'the endpoint does not say why; see the log of its worker.'}"
