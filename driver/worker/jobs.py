"""The endpoint's jobs, done on one server: from RunPod's `input` to its `output`."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from story_studio.story.problems import Problems, without_folders

from ..cancel import Cancel, Cancelled
from ..comfy.connection import ComfyError, Unreachable
from ..comfy.errors import Lost, Stuck
from ..comfy.flags import ServerError
from ..comfy.instance import ComfyInstance
from ..comfy.process import Server
from ..comfy.queue import Router
from ..files import is_disk_full
from ..rendering.render import ComfyRenderer
from ..rendering.run import RenderError
from ..storage.store import StorageError, Store
from ..version import version
from . import log, responses
from .answers import BatchAnswer, Failure, WorkflowAnswer
from .disk import job_folder
from .identity import identity_of, path_name
from .log import OnMessage
from .projects import ProjectLocks
from .responses import Response
from .schema import WorkflowJob, parse
from .settings import WorkerSettings
from .story_run import StoryRun, Workplace
from .sweep import Sweeper
from .uploads import TooLarge
from .volume import volume_report
from .workflow import NodesFailed, WorkflowRun

_MAX_OUT_OF_MEMORY = 2
"""How often in a row memory may run out until the worker asks to be replaced."""
_OWN_PHASES = ("voices", "inputs", "restoring", "waiting", "uploads")
"""Phases of a job in which ComfyUI works on another one, or on none."""
DISK_FULL = (
    "The disk of this worker is full, and nothing more can be removed from it: send the job again. Another "
    "worker takes it, because this one is replaced; what is finished is kept."
)

logger = logging.getLogger(__name__)


class Worker:
    """Does jobs on one server, several at once in turns, and puts their results into a store.

    Args:
        instance: the server.
        store: where the finished files go, and where keys in jobs are looked up.
        output: the server's output folder, for what is being made.
        earlier: where else finished stills and clips may be: what was kept while there was no bucket.
        sweeper: keeps the disk and the store within bounds; None where everything is kept.

    Attributes:
        rendering: the id of the job that ComfyUI is working on; empty if there is none.
    """

    def __init__(
        self,
        instance: ComfyInstance,
        store: Store,
        output: Path,
        earlier: Store | None = None,
        sweeper: Sweeper | None = None,
    ):
        self._instance, self._store, self._sweeper = instance, store, sweeper
        self._settings = WorkerSettings.from_environment()
        self._router = Router()
        self._workplace = Workplace(
            ComfyRenderer(instance, self._router),
            output,
            store,
            earlier,
            sweeper.touch if sweeper else Path.exists,
            self._settings.hide_prompts,
            ProjectLocks(),
            _piper_voices(instance.server),
        )
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
            with self._sweeper.job() if self._sweeper else nullcontext():
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
        for is_last in (False, True):
            try:
                with job_folder() as folder:
                    response = self._do(job_id, job_input, folder, on_message, cancel)
                store_is_full = False
                full = any(map(is_disk_full, responses.errors_in(response)))
                if not full or _quotes_full_disk(job_input):
                    return response, False
            except Cancelled:
                raise
            except Exception as error:
                if not self._is_disk_full(error) or _quotes_full_disk(job_input):
                    return self._explain(job_id, error)
                store_is_full = isinstance(error, StorageError)
            text = "The disk is full, again" if is_last else "The disk is full: making room"
            log.event("disk_full", text, job_id, logging.WARNING)
            if not is_last and self._sweeper:
                self._sweeper.make_room(store_is_full)
        return responses.failure(DISK_FULL), True

    def _do(
        self, job_id: str, job_input: Any, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> Response | WorkflowAnswer:
        job = parse(job_input)
        self._instance.ensure_running()
        if self._settings.volume_debug:
            self._report_volume(job_id)
        if isinstance(job, WorkflowJob):
            return self._run_workflow(job_id, job, folder, on_message, cancel)
        run = StoryRun(job, job_id, self._workplace, folder, on_message, cancel)
        response = run.run()
        self._out_of_memory = self._out_of_memory + run.out_of_memory if run.out_of_memory else 0
        return response

    def _is_disk_full(self, error: Exception) -> bool:
        # ComfyUI does not say why it cannot take an upload.
        refused = isinstance(error, ComfyError) and self._sweeper is not None and self._sweeper.is_low()
        return refused or is_disk_full(error)

    def _explain(self, job_id: str, error: Exception) -> tuple[Failure, bool]:
        """The response to a job that failed as a whole, and whether this machine should be replaced."""
        if isinstance(error, Problems | NodesFailed):
            return responses.failure(str(error), error.problems), False
        if isinstance(error, RenderError | StorageError | TooLarge):
            return responses.failure(str(error)), False
        if isinstance(error, ServerError):
            logger.error("Job %s: ComfyUI does not stay alive", job_id, exc_info=error)
            what = "ComfyUI does not stay alive on this worker: try the job again."
            return responses.failure(what), True
        # The SDK would answer with the traceback.
        logger.error("Job %s failed", job_id, exc_info=error)
        what = "The worker failed, not the job: try it again. What is finished is kept."
        return responses.failure(what), False

    def _run_workflow(
        self, job_id: str, job: WorkflowJob, folder: Path, on_message: OnMessage, cancel: Cancel
    ) -> WorkflowAnswer:
        name, hide_prompts = path_name(identity_of(job, job_id)), self._settings.hide_prompts
        comfy, starts = self._instance.comfy, self._instance.starts
        for attempt in ("first", "last"):
            (own := folder / attempt).mkdir()
            run = WorkflowRun(job, name, comfy, self._store, own, on_message, cancel, hide_prompts)
            try:
                answer = run.run(self._router, self._instance.server)
            except (Unreachable, Lost, Stuck) as error:
                how = self._instance.restart(error, "a workflow", starts, run.prompt_id)
                raise RenderError(f"{how} Try the job again.") from None
            except NodesFailed:
                if not run.outdated or attempt == "last":
                    raise
            else:
                if not run.outdated or attempt == "last":
                    return answer
            comfy.free()
        raise AssertionError

    def _report_volume(self, job_id: str) -> None:
        server = self._instance.server
        for line in volume_report(server.models if server else None, self._instance.comfy):
            log.event("volume", line, job_id)

    def _log_end(self, job_id: str, response: Response | WorkflowAnswer, refresh: bool) -> None:
        seconds, error = response.generation_time, getattr(response, "error", None)
        about = {"seconds": seconds, **({"refresh_worker": True} if refresh else {})}
        if error:
            if self._settings.hide_prompts:
                # Messages quote what is wrong, which may be a prompt or a text.
                places = [detail.where for detail in getattr(response, "details", []) if detail.where]
                error = f"see the answer ({', '.join(places[:20]) or 'the whole job'})"
            log.event("failed", f"Failed: {error}", job_id, logging.WARNING, **about)
        else:
            log.event("finished", f"Finished in {seconds} s", job_id, **about)


def _piper_voices(server: Server | None) -> Path | None:
    """The folder of the owner's own voices: `piper` beside the folders of model files."""
    root = (server.models or server.workspace / "models") if server else None
    places = [root / "models" / "piper", root / "piper"] if root else []
    return next((place for place in places if place.is_dir()), None)


def _quotes_full_disk(job_input: Any) -> bool:
    """Whether a message about a full disk may only repeat what the client wrote."""
    return is_disk_full(str(job_input))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 2)
