"""The endpoint's jobs, done on one server: what is asked for comes in, what is answered goes out."""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import re
import tempfile
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from story_studio.story import graph, recipes
from story_studio.story.graph import Plan, SceneId
from story_studio.story.problems import Problem, Problems, without_folders
from story_studio.story.schema import ImageSettings, Scene, Story, VideoSettings

from ..cancel import Cancel, Cancelled
from ..comfy.client import Lost, Stuck, Unreachable
from ..comfy.instance import ComfyInstance
from ..comfy.process import ServerError
from ..comfy.queue import Router
from ..fetch.download import download, is_address
from ..media_types import extension
from ..rendering import inputs
from ..rendering.keys import FOLDERS
from ..rendering.manifest import FILM, MANIFEST, SHEET
from ..rendering.render import RenderError, render, upload
from ..storage.store import NotStored, StorageError, Store
from . import responses, restore, schema, workflow
from .responses import Answer

Tell = Callable[[Answer], None]
_StoryJob = schema.ImageJob | schema.VideoJob | schema.BatchJob
_STARVED = 2
"""How often in a row memory may run out until the worker asks for a new machine."""
_DATA = re.compile(r"data:([\w.+/-]*)(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)

logger = logging.getLogger(__name__)


class Worker:
    """Does jobs on one server, several at once in turns, and puts what they make into a store.

    Args:
        host: the server.
        store: where the finished files go, and where keys of jobs are looked up.
        output: the server's output folder, for what is being made.
    """

    def __init__(self, host: ComfyInstance, store: Store, output: Path):
        self._host, self._store, self._output = host, store, output
        self._router = Router()
        self._projects: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._starved = 0

    def run(
        self, job_id: str, given: Any, tell: Tell = lambda _: None, cancel: Cancel | None = None
    ) -> Answer:
        """Does a job: RunPod's `input` in, its `output` out. What is wrong is in `error`, in plain words.

        Args:
            job_id: RunPod's; a job that is tried again has the same.
            given: what the client sent.
            tell: called with each progress, from this thread: `phase`, `scene`, `percent`, `seconds_left`.
            cancel: ends the job when it is set; what it had finished is kept.

        Returns:
            The answer; with `refresh_worker` if this machine should be replaced by a new one.

        Raises:
            Cancelled: `cancel` was set.
        """
        began = time.monotonic()
        cancel = cancel or Cancel()
        answer: Answer
        try:
            job = schema.parse(given)
            self._host.ensure_running()
            with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
                if isinstance(job, schema.WorkflowJob):
                    answer = self._do_workflow(job_id, job, Path(folder), tell, cancel)
                else:
                    answer = self._do(job_id, job, Path(folder), tell, cancel)
        except Cancelled:
            raise
        except (Problems, RenderError, StorageError) as error:
            answer = {"error": str(error)}
        except ServerError:
            logger.exception("Job %s: ComfyUI does not stay alive", job_id)
            answer = {"error": "ComfyUI does not stay alive on this worker: try the job again."}
            answer["refresh_worker"] = True
        except Exception:
            # The SDK would answer with the traceback.
            logger.exception("Job %s failed", job_id)
            answer = {"error": "The worker failed, not the job: try it again. What is finished is kept."}
        if self._starved >= _STARVED:
            answer["refresh_worker"] = True
        if "error" in answer:
            # What ComfyUI says may name files of this machine.
            answer["error"] = without_folders(answer["error"])
        return answer | {"generation_time": round(time.monotonic() - began, 2)}

    def _do(self, job_id: str, job: _StoryJob, folder: Path, tell: Tell, cancel: Cancel) -> Answer:
        tell({"phase": "inputs", "scene": "", "percent": 0.0, "seconds_left": None})
        story = _story(job, job_id)
        found, failed = self._gather(story, job, folder, cancel)
        files = {scene.id: graph.Files("", None) for scene in story.scenes}
        without = frozenset(SceneId(0, scene) for scene in failed)
        with self._alone(story.project_id, cancel), _Uploads(self._store) as uploads:
            plan = Plan(
                story,
                recipes.load_profile(story.profile),
                files | upload(found, self._host.comfy),
                not isinstance(job, schema.ImageJob),
            )
            restore.restore(plan, found, without, self._store, self._output, cancel.check)
            tell({"phase": "waiting", "scene": "", "percent": 0.0, "seconds_left": None})
            stamp = time.strftime("%Y%m%d_%H%M%S") + f"_{zlib.crc32(job_id.encode()):08x}"

            def keep(path: Path, checkpoint: str) -> None:
                if key := _key(job, story, path, stamp):
                    # A film is put together again from its clips.
                    shared = "" if path.name in (FILM, SHEET) else checkpoint
                    uploads.add(path, key, shared, lasting=not isinstance(job, schema.BatchJob))

            try:
                (manifest,) = render(
                    [plan],
                    {SceneId(0, scene): one.recording.seconds for scene, one in found.items()},
                    self._host,
                    self._output,
                    lambda status: tell(responses.progress(status)),
                    router=self._router,
                    made=keep,
                    failed={SceneId(0, scene): reason for scene, reason in failed.items()},
                    cancel=cancel,
                )
            finally:
                if isinstance(job, schema.BatchJob):
                    keep(self._output / story.project_id / MANIFEST, "")
            self._starved = self._starved + manifest["out_of_memory"] if manifest["out_of_memory"] else 0
            urls = uploads.finish()
        if isinstance(job, schema.BatchJob):
            return responses.of_batch(manifest, urls)
        return responses.of_one(job, manifest, urls)

    def _do_workflow(
        self, job_id: str, job: schema.WorkflowJob, folder: Path, tell: Tell, cancel: Cancel
    ) -> Answer:
        starts = self._host.starts
        try:
            return workflow.run_workflow(
                job,
                job_id,
                self._host.comfy,
                self._router,
                self._store,
                folder,
                local=self._local,
                tell=tell,
                cancel=cancel,
            )
        except (Unreachable, Lost, Stuck) as error:
            how = self._host.restart(error, "a workflow", starts)
            raise RenderError(f"{how} Try the job again.") from None

    @contextlib.contextmanager
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
        self, story: Story, job: _StoryJob, folder: Path, cancel: Cancel
    ) -> tuple[dict[str, inputs.Inputs], dict[str, str]]:
        """The recordings and pictures by scene, and why scenes of a batch cannot be made.

        Raises:
            Problems: nothing can be made.
        """
        if isinstance(job, schema.ImageJob):
            return {}, {}

        def fetch(source: str, place: Path) -> Path:
            if is_address(source):
                return download(source, place, check=cancel.check)
            # The name is what an error calls it.
            return self._local(source, place / ("the data" if source.startswith("data:") else "object"))

        problems = [
            Problem(f"{kind}.workflow", "names a file of its own, which a job cannot have: leave it out.")
            for kind in ("image_settings", "video_settings")
            if getattr(story, kind).workflow
        ]
        found, bad = inputs.gather_each(story, folder, fetch)
        if problems or not found:
            wrong = [problem for of_scene in bad.values() for problem in of_scene]
            if not isinstance(job, schema.BatchJob):
                wrong = [Problem(where.rpartition(".")[2], what) for where, what in wrong]
            raise Problems([*problems, *wrong])
        reasons = {scene: "; ".join(str(problem) for problem in wrong) for scene, wrong in bad.items()}
        return found, reasons

    def _local(self, source: str, target: Path) -> Path:
        """A data URI, or an object of the store, as a file. Raises ValueError if it is neither."""
        if not source.startswith("data:"):
            target = target.with_name(Path(source).name)
            try:
                self._store.download(source, target)
            except NotStored as error:
                raise ValueError(str(error)) from None
            return target
        match = _DATA.fullmatch(source)
        if not match:
            raise ValueError("is no data URI in base64: write it like data:audio/mpeg;base64,...")
        target = target.with_suffix(extension(match[1]))
        try:
            target.write_bytes(base64.b64decode(match[2], validate=True))
        except binascii.Error:
            raise ValueError("holds broken base64: encode the file again.") from None
        return target


class _Uploads:
    """Puts files into the store while the render goes on; leaving its block waits for all."""

    def __init__(self, store: Store):
        self._store = store
        self._pool = ThreadPoolExecutor(2)
        self._sent: dict[str, tuple[Future[None], Callable[[], None]]] = {}
        self._keys: dict[str, str] = {}

    def __enter__(self) -> _Uploads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def add(self, path: Path, key: str, checkpoint: str, lasting: bool) -> None:
        """Sends a file; `checkpoint` is the key by which other workers may find it, or empty."""
        folder = next((folder for folder, suffix in FOLDERS.values() if suffix == path.suffix), "")

        def send() -> None:
            self._store.upload(path, key, lasting=lasting)
            if checkpoint and folder:
                self._store.copy(key, restore.stored_key(folder, checkpoint, path.suffix))

        self._sent[path.name] = self._pool.submit(send), send
        self._keys[path.name] = key

    def finish(self) -> dict[str, str]:
        """The addresses of all files by their names, once they are stored; what failed is tried once more.

        Raises:
            StorageError: one is not stored.
        """
        for future, send in self._sent.values():
            if isinstance(future.exception(), StorageError):
                send()
            else:
                future.result()
        return {name: self._store.url(key) for name, key in self._keys.items()}


def _story(job: _StoryJob, job_id: str) -> Story:
    if isinstance(job, schema.BatchJob):
        return job
    name = "job-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", job_id)[:59]
    common = {"project_id": name, "profile": job.profile, "seed": schema.seed_of(job, job_id), "film": None}
    told = {"cfg": job.cfg, "negative_prompt": job.negative_prompt}
    if isinstance(job, schema.VideoJob):
        parts = {"audio": job.audio, "image": job.image, "video_prompt": job.prompt}
        scene = Scene.model_validate({"id": "video", "seed": common["seed"], **parts})
        settings = VideoSettings(resolution=job.resolution, sample_steps=job.sample_steps, **told)
        return Story(**common, scenes=[scene], video_settings=settings)
    # It has no voice, which a scene of a story needs.
    scene = Scene.model_construct(id="image", prompt=job.prompt, audio="", seed=common["seed"])
    settings = ImageSettings(width=job.width, height=job.height, steps=job.steps, **told)
    return Story(**common, scenes=[scene], image_settings=settings)


def _key(job: _StoryJob, story: Story, path: Path, stamp: str) -> str | None:
    """Where a file belongs in the store; None for what was not asked for."""
    if isinstance(job, schema.BatchJob):
        return f"StoryStudio/{story.project_id}/{path.name}"
    if isinstance(job, schema.ImageJob):
        return f"StoryStudio/img_{stamp}.png" if path.name == "image_img.png" else None
    return f"VideoGen/{stamp}_s2v_{job.resolution}.mp4" if path.suffix == ".mp4" else None
