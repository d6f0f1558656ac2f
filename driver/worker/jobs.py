"""The endpoint's jobs, done on one server: from RunPod's `input` to its `output`."""

from __future__ import annotations

import itertools
import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

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
from ..rendering.manifest import Manifest
from ..rendering.prepare import RenderPlan
from ..rendering.render import ComfyRenderer
from ..rendering.run import OnResult, RenderError
from ..rendering.settings import UsedSettings, used_settings
from ..storage.store import StorageError, Store
from ..version import version
from . import log, responses
from .identity import identity_of, path_name
from .log import OnMessage
from .responses import Files, Response
from .restore import restore
from .schema import BatchAnswer, BatchJob, Failure, ImageJob, VideoJob, WorkflowAnswer, WorkflowJob, parse
from .settings import WorkerSettings
from .sources import fetch_source
from .stories import StoryJob, folder_name, store_key, story_of
from .uploads import TooLarge, Uploads
from .volume import volume_report
from .workflow import NodesFailed, WorkflowRun

_MAX_OUT_OF_MEMORY = 2
"""How often in a row memory may run out until the worker asks to be replaced."""
_SETTINGS = re.compile("^(image|video)_settings[.]")
_NO_PROMPT = "prompt is empty: the image shows what the model makes of no text."
_NO_STORYBOARD = (
    "The storyboard is not stored, because it shows the prompts and the bucket's addresses are public: "
    "HIDE_PROMPTS=0 on the endpoint stores it."
)
_OWN_PHASES = ("inputs", "restoring", "waiting", "uploads")
"""Phases of a job in which ComfyUI works on another one, or on none."""

logger = logging.getLogger(__name__)


class Worker:
    """Does jobs on one server, several at once in turns, and puts their results into a store.

    Args:
        instance: the server.
        store: where the finished files go, and where keys in jobs are looked up.
        output: the server's output folder, for what is being made.
        earlier: where else finished stills and clips may be: what was kept while there was no bucket.

    Attributes:
        rendering: the id of the job that ComfyUI is working on; empty if there is none.
    """

    def __init__(self, instance: ComfyInstance, store: Store, output: Path, earlier: Store | None = None):
        self._instance, self._store, self._output = instance, store, output
        self._stores = [store, earlier] if earlier else [store]
        self._settings = WorkerSettings.from_environment()
        self._router = Router()
        self._renderer = ComfyRenderer(instance, self._router)
        self._running: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._starting = threading.Lock()
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
            for detail in response.details:
                detail.what = without_folders(detail.what)
        response.generation_time = _since(began)
        response.version = version()
        refresh = refresh or self._out_of_memory >= _MAX_OUT_OF_MEMORY or self._settings.refresh_worker
        self._log_end(job_id, response, refresh)
        return response.model_dump(exclude_unset=True) | ({"refresh_worker": True} if refresh else {})

    def _respond(
        self, job_id: str, job_input: Any, on_message: OnMessage, cancel: Cancel
    ) -> tuple[Response | WorkflowAnswer, bool]:
        """The response, and whether this machine should be replaced."""
        try:
            job = parse(job_input)
            self._instance.ensure_running()
            if self._settings.volume_debug:
                self._report_volume(job_id)
            with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
                if isinstance(job, WorkflowJob):
                    return self._run_workflow(job_id, job, Path(folder), on_message, cancel), False
                return self._render(job_id, job, Path(folder), on_message, cancel), False
        except Cancelled:
            raise
        except (Problems, NodesFailed) as error:
            return responses.failure(str(error), error.problems), False
        except (RenderError, StorageError, TooLarge) as error:
            return responses.failure(str(error)), False
        except ServerError:
            logger.exception("Job %s: ComfyUI does not stay alive", job_id)
            what = "ComfyUI does not stay alive on this worker: try the job again."
            return responses.failure(what), True
        except Exception:
            # The SDK would answer with the traceback.
            logger.exception("Job %s failed", job_id)
            what = "The worker failed, not the job: try it again. What is finished is kept."
            return responses.failure(what), False

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
        identity = identity_of(job, job_id)
        story = story_of(job, identity)
        inputs, failed = self._gather(story, job, folder, on_message, cancel)
        clips = not isinstance(job, ImageJob)
        plan = RenderPlan.of(story, load_profile(story.profile), inputs, failed=failed, clips=clips)
        name = path_name(identity)
        own = folder_name(job, name)
        uploads = Uploads(self._store, folder, self._settings.hide_prompts)
        uploads.expect(sum(plan.seconds.values()), isinstance(job, BatchJob) and job.film is not None)
        with self._alone(own, cancel), uploads:
            on_message(_phase("restoring"))
            restore(plan, self._stores, self._output, cancel.check)
            on_message(_phase("waiting"))
            try:
                (manifest,) = self._renderer.render(
                    [plan],
                    self._output,
                    lambda status: on_message(responses.progress(status)),
                    names=[own],
                    on_result=self._upload_to(uploads, job, name),
                    cancel=cancel,
                )
            finally:
                path = self._output / own / MANIFEST
                if isinstance(job, BatchJob) and (key := store_key(job, name, path)):
                    uploads.add_manifest(path, key)
            log.rendered(manifest, job_id)
            out_of_memory = manifest.out_of_memory
            self._out_of_memory = self._out_of_memory + out_of_memory if out_of_memory else 0
            on_message({**_phase("uploads"), "percent": 100.0})
            files = uploads.finish()
        return self._answer(job, manifest, used_settings(plan), files)

    def _upload_to(self, uploads: Uploads, job: StoryJob, name: str) -> OnResult:
        """Uploads what a job of this name has asked for."""

        def upload(path: Path, result_key: str) -> None:
            if (key := store_key(job, name, path)) and not self._is_secret(path):
                # A film is put together again from its clips.
                shared = path.name not in (Kind.FILM.project_file(), Kind.SHEET.project_file())
                # The same idempotency key may come with another body.
                lasting = not isinstance(job, BatchJob) and job.idempotency_key is None
                uploads.add(path, key, result_key if shared else "", lasting)

        return upload

    def _answer(self, job: StoryJob, manifest: Manifest, used: UsedSettings, files: Files) -> Response:
        if isinstance(job, BatchJob):
            if manifest.storyboard and self._is_secret(Path(manifest.storyboard.file)):
                manifest.warnings = [*manifest.warnings, _NO_STORYBOARD]
            return responses.of_batch(job, manifest, used, files)
        # A job of one scene has its fields at the top.
        manifest.warnings = [_SETTINGS.sub("", warning) for warning in manifest.warnings]
        if isinstance(job, VideoJob):
            return responses.of_video(job, manifest, used, files)
        if not job.prompt:
            manifest.warnings = [_NO_PROMPT, *manifest.warnings]
        return responses.of_image(job, manifest, used, files)

    def _is_secret(self, path: Path) -> bool:
        """Whether a file of a story shows its prompts, and is to show none."""
        return self._settings.hide_prompts and path.name == Kind.SHEET.project_file()

    def _run_workflow(
        self, job_id: str, job: WorkflowJob, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> WorkflowAnswer:
        starts = self._instance.starts
        name = path_name(identity_of(job, job_id))
        comfy, hide_prompts = self._instance.comfy, self._settings.hide_prompts
        run = WorkflowRun(job, name, comfy, self._store, folder, on_message, cancel, hide_prompts)
        try:
            return run.run(self._router, self._instance.server)
        except (Unreachable, Lost, Stuck) as error:
            how = self._instance.restart(error, "a workflow", starts, run.prompt_id)
            raise RenderError(f"{how} Try the job again.") from None

    def _report_volume(self, job_id: str) -> None:
        server = self._instance.server
        for line in volume_report(server.models if server else None, self._instance.comfy):
            log.event("volume", line, job_id)

    @contextmanager
    def _alone(self, folder: str, cancel: Cancel) -> Iterator[None]:
        """Lets one job at a time write to a folder: a job that RunPod retries may meet itself on a worker."""
        with self._starting:
            lock = self._running.setdefault(folder, threading.Lock())
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
