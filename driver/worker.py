"""The endpoint's jobs, done on one server: what is asked for comes in, what is answered goes out."""

from __future__ import annotations

import base64
import binascii
import logging
import mimetypes
import re
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from . import api, graph, inputs, templates
from .comfy import ComfyError
from .download import is_address
from .graph import Plan, SceneId
from .host import Host
from .problems import Problem, Problems
from .render import RenderError, render, upload
from .router import Router
from .server import ServerError
from .storage import NotStored, StorageError, Store
from .story import ImageSettings, Scene, Story, VideoSettings

Answer = dict[str, Any]
_DATA = re.compile(r"data:([\w.+/-]*)(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)

logger = logging.getLogger(__name__)


class Worker:
    """Does jobs on one server, several at once in turns, and puts what they make into a store.

    Args:
        host: the server.
        store: where the finished files go, and where keys of jobs are looked up.
        output: folder of this machine for what is being made.
    """

    def __init__(self, host: Host, store: Store, output: Path):
        self._host, self._store, self._output = host, store, output
        self._router = Router()

    def run(self, job_id: str, given: Any) -> Answer:
        """Does a job: RunPod's `input` in, its `output` out. What is wrong is in `error`, in plain words."""
        began = time.monotonic()
        try:
            job = api.parse(given)
            if isinstance(job, api.WorkflowJob):
                raise Problems([Problem("task", "the task `workflow` is not served yet: use a batch.")])
            with tempfile.TemporaryDirectory(prefix="story-studio-") as folder:
                answer = self._do(job_id, job, Path(folder))
        except Problems as error:
            return {"error": str(error)}
        except (RenderError, StorageError) as error:
            return {"error": str(error)}
        except (ComfyError, ServerError, OSError):
            logger.exception("Job %s failed", job_id)
            return {"error": "The worker failed, not the job: try it again. What is finished is kept."}
        return answer | {"generation_time": round(time.monotonic() - began, 2)}

    def _do(self, job_id: str, job: api.ImageJob | api.VideoJob | api.BatchJob, folder: Path) -> Answer:
        story = _story(job, job_id)
        story = self._with_files(story, job, folder)
        clips = not isinstance(job, api.ImageJob)
        found = inputs.gather(story, folder, folder) if clips else {}
        files = upload(found, self._host.comfy) if clips else {"image": graph.Files("", None)}
        plan = Plan(story, templates.load_profile(story.profile), files, clips)
        seconds = {SceneId(0, scene): one.recording.seconds for scene, one in found.items()}
        stamp = time.strftime("%Y%m%d_%H%M%S") + f"_{zlib.crc32(job_id.encode()):08x}"
        urls: dict[str, str] = {}

        def keep(path: Path) -> None:
            if key := _key(job, story, path, stamp):
                self._store.upload(path, key, lasting=True)
                urls[path.name] = self._store.url(key)

        (manifest,) = render([plan], seconds, self._host, self._output, lambda _: None, self._router, keep)
        if isinstance(job, api.BatchJob):
            path = self._output / story.project_id / "manifest.json"
            self._store.upload(path, f"StoryStudio/{story.project_id}/manifest.json")
            return _batch_answer(manifest, urls)
        return _single_answer(job, manifest, urls)

    def _with_files(
        self, story: Story, job: api.ImageJob | api.VideoJob | api.BatchJob, folder: Path
    ) -> Story:
        """The story with paths of this machine where it named data or a key of the store."""
        problems: list[Problem] = []
        scenes = []
        for number, scene in enumerate(story.scenes):
            changes = {}
            for name in ("audio", "image"):
                source = getattr(scene, name)
                if source and not is_address(source):
                    where = f"scenes[{number}].{name}" if isinstance(job, api.BatchJob) else name
                    try:
                        changes[name] = str(self._local(source, folder / f"{number}_{name}"))
                    except (NotStored, ValueError) as error:
                        problems.append(Problem(where, str(error)))
            scenes.append(scene.model_copy(update=changes))
        if problems:
            raise Problems(problems)
        return story.model_copy(update={"scenes": scenes})

    def _local(self, source: str, target: Path) -> Path:
        if not source.startswith("data:"):
            target = target.with_suffix(Path(source).suffix)
            self._store.download(source, target)
            return target
        match = _DATA.fullmatch(source)
        if not match:
            raise ValueError("is no data URI in base64: write it like data:audio/mpeg;base64,...")
        target = target.with_suffix(mimetypes.guess_extension(match[1]) or "")
        try:
            target.write_bytes(base64.b64decode(match[2], validate=True))
        except binascii.Error:
            raise ValueError("holds broken base64: encode the file again.") from None
        return target


def _story(job: api.ImageJob | api.VideoJob | api.BatchJob, job_id: str) -> Story:
    if isinstance(job, api.BatchJob):
        return job
    name = "job-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", job_id)[:59]
    common = {"project_id": name, "profile": job.profile, "seed": api.seed_of(job, job_id), "film": None}
    told = {"cfg": job.cfg, "negative_prompt": job.negative_prompt}
    if isinstance(job, api.VideoJob):
        parts = {"audio": job.audio, "image": job.image, "video_prompt": job.prompt}
        scene = Scene.model_validate({"id": "video", "seed": common["seed"], **parts})
        settings = VideoSettings(resolution=job.resolution, sample_steps=job.sample_steps, **told)
        return Story(**common, scenes=[scene], video_settings=settings)
    # It has no voice, which a scene of a story needs.
    scene = Scene.model_construct(id="image", prompt=job.prompt, audio="", seed=common["seed"])
    settings = ImageSettings(width=job.width, height=job.height, steps=job.steps, **told)
    return Story(**common, scenes=[scene], image_settings=settings)


def _key(job: api.ImageJob | api.VideoJob | api.BatchJob, story: Story, path: Path, stamp: str) -> str | None:
    """Where a file belongs in the store; None for what was not asked for."""
    if isinstance(job, api.BatchJob):
        return f"StoryStudio/{story.project_id}/{path.name}"
    if isinstance(job, api.ImageJob):
        return f"StoryStudio/img_{stamp}.png" if path.name == "image_img.png" else None
    return f"VideoGen/{stamp}_s2v_{job.resolution}.mp4" if path.suffix == ".mp4" else None


def _single_answer(job: api.ImageJob | api.VideoJob, manifest: Answer, urls: dict[str, str]) -> Answer:
    (scene,) = manifest["scenes"]
    if "error" in scene:
        return {"error": scene["error"]}
    kind = "still" if isinstance(job, api.ImageJob) else "clip"
    made = scene[kind]
    answer = {"image_url" if kind == "still" else "video_url": urls[made["file"]], "seed": scene["seed"]}
    answer |= {name: made[name] for name in ("sha256", "bytes")} | _of(manifest)
    if isinstance(job, api.VideoJob):
        sizes = {name: made[name] for name in ("width", "height")}
        return answer | sizes | {"duration": made["seconds"], "resolution": job.resolution}
    return answer | {"width": job.width, "height": job.height}


def _batch_answer(manifest: Answer, urls: dict[str, str]) -> Answer:
    scenes = []
    for scene in manifest["scenes"]:
        entry = {"id": scene["id"], "seed": scene["seed"]}
        for kind, name in (("still", "image"), ("clip", "video")):
            if made := scene.get(kind):
                entry |= {f"{name}_url": urls[made["file"]], f"{name}_sha256": made["sha256"]}
                entry |= {"duration": made["seconds"]} if kind == "clip" else {}
        scenes.append(entry | ({"error": scene["error"]} if "error" in scene else {}))
    spent = manifest["seconds"]
    answer = {"project_id": manifest["project_id"], "status": manifest["status"], "scenes": scenes}
    answer |= {"film_url": urls[manifest["film"]["file"]]} if manifest["film"] else {}
    times = {"total_time": spent["total"], "images_time": spent["stills"], "videos_time": spent["clips"]}
    return answer | times | _of(manifest)


def _of(manifest: Answer) -> Answer:
    return {name: manifest[name] for name in ("warnings", "seconds", "model_loads")}
