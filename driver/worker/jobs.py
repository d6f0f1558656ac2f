"""The endpoint's jobs, done on one server: from RunPod's `input` to its `output`."""

from __future__ import annotations

import itertools
import logging
import tempfile
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from story_studio.story.problems import Problem, Problems, without_folders
from story_studio.story.recipes import load_profile
from story_studio.story.results import MANIFEST, Kind
from story_studio.story.schema import Story

from ..cancel import Cancel, Cancelled
from ..comfy.client import Lost, Stuck, Unreachable
from ..comfy.flags import ServerError
from ..comfy.instance import ComfyInstance
from ..comfy.queue import Router
from ..fetch.allowance import Allowance
from ..rendering.inputs import Inputs, gather_each, sources_of
from ..rendering.prepare import RenderPlan
from ..rendering.render import ComfyRenderer
from ..rendering.run import RenderError
from ..storage.store import StorageError, Store
from ..version import version
from . import log, responses
from .log import OnMessage
from .responses import Response
from .restore import restore
from .schema import BatchAnswer, BatchJob, Failure, ImageJob, WorkflowAnswer, WorkflowJob, parse
from .sources import fetch_source
from .stories import StoryJob, store_key, story_of
from .uploads import Uploads
from .workflow import WorkflowRun

_MAX_OUT_OF_MEMORY = 2
"""How often in a row memory may run out until the worker asks to be replaced."""
_OWN_PHASES = ("inputs", "restoring", "waiting", "uploads")
"""Phases of a job in which ComfyUI works on another one, or on none."""

logger = logging.getLogger(__name__)


class Worker:
    """Does jobs on one server, several at once in turns, and puts their results into a store.

    Args:
        instance: the server.
        store: where the finished files go, and where keys in jobs are looked up.
        output: the server's output folder, for what is being made.

    Attributes:
        rendering: the id of the job that ComfyUI is working on; empty if there is none.
    """

    def __init__(self, instance: ComfyInstance, store: Store, output: Path):
        self._instance, self._store, self._output = instance, store, output
        self._router = Router()
        self._renderer = ComfyRenderer(instance, self._router)
        self._projects: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._out_of_memory = 0
        self.rendering = ""

    def run(
        self,
        job_id: str,
        job_input: Any,
        on_message: OnMessage = lambda _: None,
        cancel: Cancel | None = None,
    ) -> dict[str, Any]:
        """Does a job: RunPod's `input` in, its `output` out. What went wrong is in `error`, in plain words.

        Args:
            job_id: RunPod's; a job that is retried has the same.
            job_input: what the client sent.
            on_message: called with each progress message, from any thread: `phase`, `scene`, `percent`,
                `seconds_left`.
            cancel: ends the job when it is set; what it had finished is kept.

        Returns:
            The response; with `refresh_worker` if this machine should be replaced by a new one.

        Raises:
            Cancelled: `cancel` was set.
        """
        began = time.monotonic()
        log.event("started", "Started", job_id)
        phases = log.Phases(job_id, on_message)

        def report(message: dict[str, Any]) -> None:
            if message["phase"] not in _OWN_PHASES:
                self.rendering = job_id
            phases(message)

        try:
            response, refresh = self._respond(job_id, job_input, report, cancel or Cancel())
        except Cancelled:
            log.event("cancelled", "Cancelled", job_id, seconds=_since(began))
            raise
        finally:
            if self.rendering == job_id:
                self.rendering = ""
        if isinstance(response, Failure | BatchAnswer) and response.error:
            # ComfyUI's messages may name files of this machine.
            response.error = without_folders(response.error)
        response.generation_time = _since(began)
        response.version = version()
        refresh = refresh or self._out_of_memory >= _MAX_OUT_OF_MEMORY
        self._log_end(job_id, response, refresh)
        return response.model_dump(exclude_unset=True) | ({"refresh_worker": True} if refresh else {})

    def _respond(
        self, job_id: str, job_input: Any, on_message: OnMessage, cancel: Cancel
    ) -> tuple[Response | WorkflowAnswer, bool]:
        """The response, and whether this machine should be replaced."""
        try:
            job = parse(job_input)
            self._instance.ensure_running()
            with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
                if isinstance(job, WorkflowJob):
                    return self._run_workflow(job_id, job, Path(folder), on_message, cancel), False
                return self._render(job_id, job, Path(folder), on_message, cancel), False
        except Cancelled:
            raise
        except (Problems, RenderError, StorageError) as error:
            return _failure(str(error)), False
        except ServerError:
            logger.exception("Job %s: ComfyUI does not stay alive", job_id)
            return _failure("ComfyUI does not stay alive on this worker: try the job again."), True
        except Exception:
            # The SDK would answer with the traceback.
            logger.exception("Job %s failed", job_id)
            what = "The worker failed, not the job: try it again. What is finished is kept."
            return _failure(what), False

    def _log_end(self, job_id: str, response: Response | WorkflowAnswer, refresh: bool) -> None:
        seconds, error = response.generation_time, getattr(response, "error", None)
        about = {"seconds": seconds, **({"refresh_worker": True} if refresh else {})}
        if error:
            log.event("failed", f"Failed: {error}", job_id, logging.WARNING, **about)
        else:
            log.event("finished", f"Finished in {seconds} s", job_id, **about)

    def _render(
        self, job_id: str, job: StoryJob, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> Response:
        on_message(_phase("inputs"))
        story = story_of(job, job_id)
        inputs, failed = self._gather(story, job, folder, on_message, cancel)
        clips = not isinstance(job, ImageJob)
        plan = RenderPlan.of(story, load_profile(story.profile), inputs, failed=failed, clips=clips)
        stamp = time.strftime("%Y%m%d_%H%M%S") + f"_{zlib.crc32(job_id.encode()):08x}"
        with self._alone(story.project_id, cancel), Uploads(self._store) as uploads:
            on_message(_phase("restoring"))
            restore(plan, self._store, self._output, cancel.check)
            on_message(_phase("waiting"))

            def keep(path: Path, result_key: str) -> None:
                if key := store_key(job, story, path, stamp):
                    # A film is put together again from its clips.
                    shared = path.name not in (Kind.FILM.project_file(), Kind.SHEET.project_file())
                    lasting = not isinstance(job, BatchJob)
                    uploads.add(path, key, result_key if shared else "", lasting)

            try:
                (manifest,) = self._renderer.render(
                    [plan],
                    self._output,
                    lambda status: on_message(responses.progress(status)),
                    on_result=keep,
                    cancel=cancel,
                )
            finally:
                if isinstance(job, BatchJob):
                    keep(self._output / story.project_id / MANIFEST, "")
            log.rendered(manifest, job_id)
            out_of_memory = manifest.out_of_memory
            self._out_of_memory = self._out_of_memory + out_of_memory if out_of_memory else 0
            on_message({**_phase("uploads"), "percent": 99.0})
            urls = uploads.finish()
        if isinstance(job, BatchJob):
            return responses.of_batch(manifest, urls)
        if isinstance(job, ImageJob):
            return responses.of_image(job, manifest, urls)
        return responses.of_video(job, manifest, urls)

    def _run_workflow(
        self, job_id: str, job: WorkflowJob, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> WorkflowAnswer:
        starts = self._instance.starts
        run = WorkflowRun(job, job_id, self._instance.comfy, self._store, folder, on_message, cancel)
        try:
            return run.run(self._router, self._instance.server)
        except (Unreachable, Lost, Stuck) as error:
            how = self._instance.restart(error, "a workflow", starts, run.prompt_id)
            raise RenderError(f"{how} Try the job again.") from None

    @contextmanager
    def _alone(self, project: str, cancel: Cancel) -> Iterator[None]:
        """Lets one job at a time write to a project's folder: shards of one story may meet on one worker."""
        lock = self._projects[project]
        while not lock.acquire(timeout=1):
            cancel.check()
        try:
            yield
        finally:
            lock.release()

    def _gather(
        self, story: Story, job: StoryJob, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> tuple[dict[str, Inputs], dict[str, str]]:
        """The inputs by scene, and why scenes of a batch cannot be made.

        Raises:
            Problems: nothing can be made.
        """
        if isinstance(job, ImageJob):
            return {}, {}
        problems = [
            Problem(f"{kind}.workflow", "names a local file, which a job cannot have: leave it out.")
            for kind in ("image_settings", "video_settings")
            if getattr(story, kind).workflow
        ]
        allowance = Allowance("scenes" if isinstance(job, BatchJob) else "input")
        total, done = len(sources_of(story)), itertools.count(1)

        def fetch(source: str, place: Path) -> Path:
            path = fetch_source(source, place, self._store, allowance, cancel.check)
            on_message(_phase("inputs", done=next(done), total=total))
            return path

        inputs, bad = gather_each(story, folder, fetch)
        if problems or not inputs:
            wrong = [problem for of_scene in bad.values() for problem in of_scene]
            if not isinstance(job, BatchJob):
                # A job of one scene has its fields at the top.
                wrong = [Problem(where.rpartition(".")[2], what) for where, what in wrong]
            raise Problems([*problems, *wrong])
        return inputs, {scene: "; ".join(map(str, of_scene)) for scene, of_scene in bad.items()}


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)


def _phase(phase: str, **more: Any) -> dict[str, Any]:
    return {"phase": phase, "scene": "", "percent": 0.0, "seconds_left": None, **more}


def _failure(error: str) -> Failure:
    return Failure(error=error, generation_time=0.0)
