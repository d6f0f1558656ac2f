"""What the local endpoint counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from ..version import version
from ..worker.schema import TASKS
from .jobs import Job, Jobs
from .protocol import FINAL, WorkerCounts

_JOB_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
_WAITING_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600)
_CONTENT_TYPE = "text/plain; version=0.0.4"
_KINDS = ("stills", "clips", "films")
# A second series beside each counter, with the time at which it began.
disable_created_metrics()


class Metrics:
    """The counters of one endpoint. No label has a value that comes from a client.

    Args:
        jobs: the endpoint's jobs.
        workers: its workers by state.
        restarts: how often the worker was started again, by reason.
    """

    def __init__(
        self, jobs: Jobs, workers: Callable[[], WorkerCounts], restarts: Callable[[], dict[str, int]]
    ):
        self._registry = registry = CollectorRegistry()
        name = "story_studio"
        self._ended = Counter(f"{name}_jobs", "Jobs that have ended.", ["task", "status"], registry=registry)
        self._seconds = Histogram(
            f"{name}_job_seconds", "Seconds on the worker.", ["task"], buckets=_JOB_SECONDS, registry=registry
        )
        self._waiting = Histogram(
            f"{name}_job_waiting_seconds",
            "Seconds in the queue.",
            buckets=_WAITING_SECONDS,
            registry=registry,
        )
        self._results = Counter(
            f"{name}_results",
            "Stills, clips and films of finished jobs, made or found.",
            ["kind", "how"],
            registry=registry,
        )
        self._loads = Counter(
            f"{name}_model_loads", "Model files that finished jobs have read.", registry=registry
        )
        for task in TASKS:
            self._seconds.labels(task)
            for status in FINAL:
                self._ended.labels(task, status)
        for kind in _KINDS:
            for how in ("made", "reused"):
                self._results.labels(kind, how)
        registry.register(_State(jobs, workers, restarts))

    def on_change(self, job: Job) -> None:
        """Counts a job that a worker took, or that has ended."""
        if job.final:
            self._ended.labels(job.task, job.status).inc()
            if job.started:
                self._seconds.labels(job.task).observe(job.ended - job.started)
            self._count_output(job.result.get("output"))
        elif job.status == "IN_PROGRESS" and not job.seen:
            self._waiting.observe(job.started - job.queued)

    async def serve(self, _: web.Request) -> web.Response:
        """The answer of /metrics."""
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": _CONTENT_TYPE})

    def _count_output(self, output: Any) -> None:
        if not isinstance(output, dict):
            return
        for how in ("made", "reused"):
            counts = output.get(how)
            for kind in _KINDS:
                self._results.labels(kind, how).inc(_number(counts, kind))
        loads = output.get("model_loads")
        if isinstance(loads, dict):
            self._loads.inc(sum(_number(loads, name) for name in loads))


class _State(Collector):
    """What is counted at the moment of the request."""

    def __init__(
        self, jobs: Jobs, workers: Callable[[], WorkerCounts], restarts: Callable[[], dict[str, int]]
    ):
        self._jobs, self._workers, self._restarts = jobs, workers, restarts

    def collect(self) -> Iterator[Any]:
        counts, name = self._jobs.counts(), "story_studio"
        yield GaugeMetricFamily(f"{name}_jobs_in_queue", "Jobs that wait.", value=counts.inQueue)
        yield GaugeMetricFamily(f"{name}_jobs_in_progress", "Jobs on the worker.", value=counts.inProgress)
        workers = GaugeMetricFamily(f"{name}_workers", "Workers by state.", labels=["state"])
        for state, count in self._workers().model_dump().items():
            workers.add_metric([state], count)
        yield workers
        restarts = CounterMetricFamily(f"{name}_worker_restarts", "Workers started again.", labels=["reason"])
        for reason, count in self._restarts().items():
            restarts.add_metric([reason], count)
        yield restarts
        versions = {"version": version(), "runpod": _runpod_version()}
        yield InfoMetricFamily(f"{name}_worker", "What the worker is.", value=versions)


def _runpod_version() -> str:
    try:
        return metadata.version("runpod")
    except metadata.PackageNotFoundError:
        return "unknown"


def _number(counts: Any, name: str) -> int:
    value = counts.get(name, 0) if isinstance(counts, dict) else 0
    return value if isinstance(value, int) and value > 0 else 0
