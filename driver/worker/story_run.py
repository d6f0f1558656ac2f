"""The endpoint's tasks `image`, `video` and `batch`: a job's inputs are fetched, its story is rendered."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from story_studio.story.advice import check_lengths, check_prompts
from story_studio.story.problems import Problem, Problems
from story_studio.story.recipes import Profile
from story_studio.story.results import MANIFEST, Kind

from ..cancel import Cancel
from ..fetch.allowance import Allowance
from ..rendering.inputs import Gathered, gather_each, sources_of
from ..rendering.manifest import Manifest
from ..rendering.prepare import RenderPlan
from ..rendering.render import ComfyRenderer
from ..rendering.settings import UsedSettings, used_settings
from ..storage.results import find_results
from ..storage.store import Store
from ..voices.engines import voices
from ..voices.speak import Spoken, speak
from . import log, responses
from .identity import identity_of, path_name
from .log import OnMessage
from .projects import ProjectLocks
from .responses import Files, Response
from .restore import fetch_result, restore, stored_key
from .schema import BatchJob, ImageJob, VideoJob
from .shipped import profile_of_job
from .sources import fetch_source
from .stories import StoryJob, folder_name, store_key, story_of
from .uploads import Uploads

_SETTINGS = re.compile("^(image|video)_settings[.]")
_NO_PROMPT = "prompt is empty: the image shows what the model makes of no text."
_NO_VOICES = (
    "is to be spoken, and this worker has no voices: send a recording as `audio`, or ask "
    "its owner to install story-studio[voices]."
)
_NO_STORYBOARD = (
    "The storyboard is not stored, because it shows the prompts and the bucket's addresses are public: "
    "HIDE_PROMPTS=0 on the endpoint stores it."
)


@dataclass(frozen=True)
class Workplace:
    """What all story jobs of a worker share.

    Attributes:
        renderer: renders on the worker's server.
        output: the server's output folder.
        store: where the finished files go, and where keys in jobs are looked up.
        earlier: where else finished stills and clips may be: what was kept while there was no bucket.
        touch: marks a result or a folder as used; False if it does not exist.
        hide_prompts: whether what is stored is to hold neither prompts nor workflows.
        projects: keeps jobs out of each other's folders.
        piper: folder of the owner's own voices.
    """

    renderer: ComfyRenderer
    output: Path
    store: Store
    earlier: Store | None
    touch: Callable[[Path], bool]
    hide_prompts: bool
    projects: ProjectLocks
    piper: Path | None = None


class StoryRun:
    """One job.

    Args:
        job: what to make.
        job_id: RunPod's.
        workplace: the worker's.
        folder: an existing folder for this job alone.
        on_message: called with each progress message.
        cancel: ends the job when it is set.

    Attributes:
        out_of_memory: how often memory ran out.
    """

    def __init__(
        self,
        job: StoryJob,
        job_id: str,
        workplace: Workplace,
        folder: Path,
        on_message: OnMessage,
        cancel: Cancel,
    ):
        self._job, self._job_id, self._workplace = job, job_id, workplace
        self._folder, self._on_message, self._cancel = folder, on_message, cancel
        identity = identity_of(job, job_id)
        self._story = story_of(job, identity)
        self._name = path_name(identity)
        self._project = folder_name(job, self._name)
        self._stores = [workplace.store, *([workplace.earlier] if workplace.earlier else [])]
        self.out_of_memory = 0

    def run(self) -> Response:
        """Renders the story and stores its results.

        Raises:
            Problems: the job is wrong; nothing was rendered.
            RenderError: the render failed as a whole.
            TooLarge: there is no bucket, and the files do not fit into a response.
            Cancelled: the job was cancelled.
            StorageError: the store fails.
            ServerError: ComfyUI does not stay alive.
        """
        spoken = self._speak()
        self._on_message(log.phase("inputs"))
        profile, gathered = self._gather(spoken)
        plan = RenderPlan.of(
            self._story,
            profile,
            gathered.scenes,
            music=gathered.music,
            failed={scene: "; ".join(map(str, wrong)) for scene, wrong in gathered.problems.items()},
            clips=not isinstance(self._job, ImageJob),
            references=gathered.references,
            spoken=spoken,
        )
        place, job = self._workplace, self._job
        if isinstance(job, BatchJob):
            check_prompts(plan)
            check_lengths(plan)
        uploads = Uploads(place.store, self._folder, place.hide_prompts)
        uploads.expect(sum(plan.seconds.values()), isinstance(job, BatchJob) and job.film is not None)
        with place.projects.alone(self._project, self._cancel), uploads:
            self._on_message(log.phase("restoring"))
            place.touch(place.output / self._project)
            restore(plan, self._stores, place.output, self._cancel.check, place.touch)
            self._on_message(log.phase("waiting"))
            manifest = self._render(plan, uploads)
            self._on_message(log.phase("uploads", percent=100.0))
            files = uploads.finish()
        return self._response(manifest, used_settings(plan), files)

    def _speak(self) -> Spoken:
        """The voices of scenes that have a text and no recording.

        Raises:
            Problems: this worker cannot speak.
        """
        scenes = [scene for scene in self._story.scenes if scene.is_spoken]
        # A recipe that is refused is not spoken without.
        if not scenes or self._story.voice_settings.workflow:
            return Spoken()
        if not voices(self._workplace.piper):
            raise Problems([Problem(f"{scene.place}.text", _NO_VOICES) for scene in scenes])

        def report(scene: str, done: float) -> None:
            self._cancel.check()
            self._on_message(
                log.phase("voices", scene=scene, done=round(done * len(scenes)), total=len(scenes))
            )

        def fetch(key: str, path: Path) -> bool:
            path.parent.mkdir(parents=True, exist_ok=True)
            return fetch_result(self._stores, stored_key(Kind.VOICE, key), path)

        return speak(self._story, self._workplace.output, self._workplace.piper, report, fetch)

    def _render(self, plan: RenderPlan, uploads: Uploads) -> Manifest:
        output = self._workplace.output

        def upload(path: Path, result_key: str) -> None:
            if (key := store_key(self._job, self._name, path)) and not self._is_secret(path):
                # A film is put together again from its clips.
                shared = path.name not in (Kind.FILM.project_file(), Kind.SHEET.project_file())
                # The same idempotency key may come with another body.
                lasting = not isinstance(self._job, BatchJob) and self._job.idempotency_key is None
                uploads.add(path, key, result_key if shared else "", lasting)

        try:
            (manifest,) = self._workplace.renderer.render(
                [plan],
                output,
                lambda status: self._on_message(responses.progress(status)),
                names=[self._project],
                on_result=upload,
                cancel=self._cancel,
            )
        finally:
            path = output / self._project / MANIFEST
            if isinstance(self._job, BatchJob) and (key := store_key(self._job, self._name, path)):
                uploads.add_manifest(path, key)
        self._share_takes(manifest, uploads)
        log.rendered(manifest, self._job_id)
        self.out_of_memory = manifest.out_of_memory
        return manifest

    def _share_takes(self, manifest: Manifest, uploads: Uploads) -> None:
        """Stores the takes that no scene shows, which another worker would else make, and fail, again."""
        output = self._workplace.output
        for scene in manifest.scenes:
            kept = {result.key for result in scene.results if result}
            for take in scene.takes:
                for kind, key in ((Kind.CLIP, take.key), (Kind.CHECK, take.check)):
                    if key and key not in kept and (path := next(find_results(output, kind, key), None)):
                        # Another worker may have removed it by now.
                        with suppress(OSError):
                            uploads.share(path, kind, key)

    def _response(self, manifest: Manifest, used: UsedSettings, files: Files) -> Response:
        job = self._job
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
        return self._workplace.hide_prompts and path.name == Kind.SHEET.project_file()

    def _gather(self, spoken: Spoken) -> tuple[Profile, Gathered]:
        """The story's profile and inputs; scenes of a batch may lack theirs.

        Raises:
            Problems: nothing can be made.
        """
        is_batch, problems, profile = isinstance(self._job, BatchJob), list[Problem](), None
        try:
            profile = profile_of_job(self._story)
        except Problems as error:
            problems += error.problems
        if isinstance(self._job, ImageJob):
            gathered = Gathered({}, None, {}, [])
        else:
            gathered = self._fetch(Allowance("scenes" if is_batch else "input"), spoken)
        problems += gathered.film_problems
        nothing = not gathered.scenes and not isinstance(self._job, ImageJob)
        if problems or nothing or profile is None:
            wrong = [problem for of_scene in gathered.problems.values() for problem in of_scene]
            if not is_batch:
                # A job of one scene has its fields at the top.
                wrong = [Problem(where.rpartition(".")[2], what) for where, what in wrong]
            raise Problems([*problems, *wrong])
        return profile, gathered

    def _fetch(self, allowance: Allowance, spoken: Spoken) -> Gathered:
        total, done = len(sources_of(self._story)), itertools.count(1)

        def fetch(source: str, place: Path) -> Path:
            path = fetch_source(source, place, self._workplace.store, allowance, self._cancel.check)
            self._on_message(log.phase("inputs", done=next(done), total=total))
            return path

        gathered = gather_each(self._story, self._folder, fetch, spoken.files)
        problems = dict(gathered.problems)
        for scene, wrong in spoken.problems.items():
            problems[scene] = [*wrong, *problems.get(scene, [])]
        scenes = {scene: inputs for scene, inputs in gathered.scenes.items() if scene not in problems}
        return gathered._replace(scenes=scenes, problems=problems)
