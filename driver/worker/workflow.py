"""The endpoint's task `workflow`: any ComfyUI workflow in API format, as worker-comfyui takes it."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from story_studio.story.problems import Problem, Problems, nearest, without_folders
from story_studio.story.recipes import is_link

from ..cancel import Cancel
from ..comfy.client import Comfy
from ..comfy.connection import ComfyError
from ..comfy.errors import Gone, Rejected
from ..comfy.events import Event, Executing, Failed, Progress
from ..comfy.process import Server
from ..comfy.prompt import PromptRun, run_prompt
from ..comfy.queue import Router, diffusion_models
from ..fetch.allowance import Allowance
from ..fetch.download import DownloadError
from ..files import content_name, sha256_of
from ..rendering.run import RenderError
from ..storage.store import Store
from . import policy
from .answers import WorkflowAnswer
from .leads import Folders
from .outputs import SavedFile, fetch_saved, store_or_inline
from .playlists import refuse_playlist
from .schema import InputImage, WorkflowJob
from .settings import API_KEY
from .sources import fetch_source

MAX_INPUT = 2**30
"""Bytes of all images of a job together."""
MOST_PROBLEMS = 50
_SHOWN_CHARACTERS = 500
_SHORTEST_KEY = 8
_WORKFLOW_INPUT = "workflow_digest"


class NodesFailed(Exception):
    """Nodes of a workflow failed. The message has a sentence for each of `problems`."""

    def __init__(self, problems: list[Problem]):
        self.problems = problems
        super().__init__(" ".join(problem.what for problem in problems))


class WorkflowRun:
    """One job of the task `workflow`.

    Args:
        job: the workflow and its images.
        name: the job's, as in `path_name`; the files' folder in the store is called so.
        comfy: the server.
        store: where the files go, if there are too many bytes for a response or it is a bucket.
        folder: an existing folder for this job alone.
        on_message: called with `phase`, `node`, `percent` and `seconds_left` at every step.
        cancel: ends the job when it is set.
        hide_prompts: as in `store_or_inline`.

    Attributes:
        prompt_id: of the workflow on the server.
        outdated: whether ComfyUI had outputs in memory whose files are gone.
    """

    def __init__(
        self,
        job: WorkflowJob,
        name: str,
        comfy: Comfy,
        store: Store,
        folder: Path,
        on_message: Callable[[dict[str, Any]], None],
        cancel: Cancel,
        hide_prompts: bool = False,
    ):
        self._job, self._name, self._comfy, self._store = job, name, comfy, store
        self._folder, self._on_message, self._cancel = folder, on_message, cancel
        self._hide_prompts = hide_prompts
        self._nodes = {node_id: node.model_dump() for node_id, node in job.workflow.items()}
        # The images' names on the server, by the names that the job has for them.
        self._server_names: dict[str, str] = {}
        own_key = job.comfy_org_api_key.get_secret_value() if job.comfy_org_api_key else ""
        self._api_key = own_key or os.environ.get(API_KEY, "").strip()
        self.prompt_id = str(uuid.uuid4())
        self.outdated = False
        self._errors: list[Problem] = []
        self._warnings = job.unused_keys()

    def run(self, router: Router, server: Server | None = None) -> WorkflowAnswer:
        """Runs the workflow to its end and returns what it saved, without what it only previews.

        Args:
            router: gives turns where several jobs share the server.
            server: the server's process, if it is ours: then symbolic links in its folders are followed.

        Raises:
            Problems: the job or its workflow is wrong; nothing ran.
            NodesFailed: a node failed before anything was saved.
            RenderError: the workflow was stopped from elsewhere.
            Cancelled: the job was cancelled.
            StorageError: the store fails.
            TooLarge: there is no bucket, and the files do not fit into a response.
            ComfyError: the server fails.
        """
        self._check(Folders.of(server))
        self._place_images()
        self._keep_files_apart()
        needed = diffusion_models(self._nodes.values(), self._comfy)
        with router.turn(self.prompt_id, needed, needed, self._cancel):
            outputs = self._execute()
            # Still in its turn: the next job may write files of the same names.
            saved = self._fetch(outputs)
        if self._errors and not saved:
            raise NodesFailed(self._errors[:MOST_PROBLEMS])
        response = store_or_inline(
            saved,
            _texts(outputs),
            self._store,
            self._name,
            self._folder,
            self._cancel,
            self._hide_prompts,
        )
        response.warnings = self._warnings + response.warnings
        if self._errors:
            response.errors = [error.what for error in self._errors[:MOST_PROBLEMS]]
        return response

    def _check(self, folders: Folders | None) -> None:
        """Finds what a job may not do, and what ComfyUI would report only for the first node or not well."""
        known = self._comfy.object_info()
        unknown: dict[str, list[str]] = {}
        problems = []
        for node_id, node in self._nodes.items():
            if node["class_type"] not in known and not policy.is_service(node["class_type"]):
                unknown.setdefault(node["class_type"], []).append(node_id)
            for name, value in node["inputs"].items():
                where = f"workflow.{node_id}.inputs.{name}"
                if is_link(value) and value[0] not in self._nodes:
                    problems.append(Problem(where, f"is linked to node {value[0]}, which does not exist."))
        for name, (first, *more) in unknown.items():
            # All known names would be hundreds.
            close = difflib.get_close_matches(name[:80], known, n=1)
            hint = nearest(name, close) if close else "install its node pack on the worker."
            others = f" (and of {len(more)} more)" if more else ""
            what = f"the class {name[:80]!r}{others} is not installed{', ' if close else ': '}{hint}"
            problems.append(Problem(f"workflow.{first}.class_type", what))
        sent = {image.name for image in self._job.images or []}
        problems += policy.problems_in(self._nodes, policy.Job(known, sent, bool(self._api_key), folders))
        if problems:
            raise Problems(problems[:MOST_PROBLEMS])

    def _place_images(self) -> None:
        """Gives the server the job's images, under names of their content, and the workflow those names.

        Other jobs may give other images the same name at the same time.
        """
        images = self._job.images or []
        for image, path in zip(images, self._fetch_images(images), strict=True):
            name = content_name(image.name, sha256_of(path))
            self._server_names[image.name] = self._comfy.upload(path, name, subfolder="")
        used = set()
        for node in self._nodes.values():
            for name, value in node["inputs"].items():
                image_name = value.removesuffix(" [input]") if isinstance(value, str) else None
                if image_name in self._server_names:
                    node["inputs"][name] = self._server_names[image_name]
                    used.add(image_name)
        self._warnings += [
            f"images[{number}] is not used: no node of the workflow names {image.name!r}."
            for number, image in enumerate(images)
            if image.name not in used
        ]

    def _keep_files_apart(self) -> None:
        """Makes ComfyUI save a file again for any other workflow, though it has its images in memory.

        The file that it has holds the workflow, with all prompts, that another job sent.
        """
        known = self._comfy.object_info()
        digest = hashlib.sha256(json.dumps(self._nodes, sort_keys=True).encode()).hexdigest()[:24]
        for node in self._nodes.values():
            module = str(known.get(node["class_type"], {}).get("python_module", ""))
            if policy.saves_workflow(node["class_type"], module):
                # What a class does not declare never reaches it, but counts where ComfyUI looks for results.
                node["inputs"][_WORKFLOW_INPUT] = digest

    def _fetch_images(self, images: list[InputImage]) -> list[Path]:
        problems = []
        paths: list[Path] = []
        allowance = Allowance("images", MAX_INPUT)
        for number, image in enumerate(images):
            self._cancel.check()
            folder = self._folder / f"image_{number}"
            folder.mkdir()
            try:
                path = fetch_source(_source(image.image), folder, self._store, allowance, self._cancel.check)
                refuse_playlist(path)
                paths.append(path)
            except (ValueError, DownloadError) as error:
                problems.append(Problem(f"images[{number}].image", str(error)))
        if problems:
            raise Problems(problems)
        return paths

    def _execute(self) -> dict[str, dict[str, Any]]:
        """The outputs by node, when the workflow has ended."""
        extra_data = {"api_key_comfy_org": self._api_key} if self._api_key else {}
        try:
            run = run_prompt(
                self._comfy,
                self._nodes,
                self._report,
                prompt_id=self.prompt_id,
                extra_data=extra_data,
                cancel=self._cancel,
            )
        except Rejected as error:
            raise Problems(self._rejections(error)) from None
        if run.failed:
            self.outdated = bool(run.cached) and run.failed.is_missing_file
            self._errors.append(Problem(f"workflow.{run.failed.node}", self._sentence(run.failed)))
        elif run.status != "success":
            self._cancel.check()
            raise RenderError(f"ComfyUI ended the workflow ({run.status}): run the job again.")
        return run.outputs

    def _report(self, run: PromptRun, event: Event) -> None:
        if isinstance(event, Executing | Progress) and event.node == run.node:
            percent = 100 * (len(run.done & self._nodes.keys()) + run.fraction) / len(self._nodes)
            about = {"percent": round(min(percent, 99), 1), "seconds_left": None}
            self._on_message({"phase": "workflow", "node": self._title(run.node), **about})

    def _fetch(self, outputs: dict[str, dict[str, Any]]) -> list[SavedFile]:
        """Every file that was saved."""

        def on_error(node: str, error: ComfyError) -> None:
            self.outdated = self.outdated or isinstance(error, Gone)
            what = self._plain(f"{self._title(node)}: {error}")
            self._errors.append(Problem(f"workflow.{node}", what))

        saved, previews = fetch_saved(outputs, self._comfy, self._folder / "saved", self._cancel, on_error)
        if previews and not saved and not self._errors:
            what = "The workflow only previews its outputs, and previews are not returned: use SaveImage."
            self._warnings.append(what)
        return saved

    def _rejections(self, error: Rejected) -> list[Problem]:
        """Each thing that ComfyUI finds wrong, at the input of the node."""
        if error.error.get("type") == "prompt_no_outputs":
            what = "has no node that saves anything: add one, like SaveImage or SaveVideo."
            return [Problem("workflow", what)]
        problems = []
        for node_id, rejection in error.node_errors.items():
            for reason in rejection.get("errors", []):
                name = (reason.get("extra_info") or {}).get("input_name")
                where = f"workflow.{node_id}.inputs.{name}" if name else f"workflow.{node_id}"
                # Which input it is stands at the start of the details too.
                details = str(reason.get("details") or "").removeprefix(str(name)).lstrip(" :,-")
                what = f"{self._title(node_id)} ({rejection.get('class_type')}): {reason.get('message')}"
                problems.append(Problem(where, self._plain(f"{what}: {details}" if details else what)))
        what = f"ComfyUI rejects it: {error.error.get('message')} {error.error.get('details') or ''}"
        return problems[:MOST_PROBLEMS] or [Problem("workflow", self._plain(what))]

    def _sentence(self, failed: Failed) -> str:
        title = self._title(failed.node)
        node = f"{failed.class_type} (node {failed.node})"
        node = node if title == failed.class_type else f"{title}, {node},"
        if failed.out_of_memory:
            return f"{node} ran out of memory: ask for fewer or smaller images."
        reason = self._plain(failed.message) or failed.type.rpartition(".")[2]
        return f"{node} failed: {reason.rstrip('.')}."

    def _title(self, node_id: str) -> str:
        """What the user calls a node; its class or its id where it has no name."""
        node = self._nodes.get(node_id, {})
        meta = node.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        return str(title or node.get("class_type") or node_id)[:100]

    def _plain(self, text: str) -> str:
        """A message of ComfyUI in one line: with the user's file names, without secrets and folders."""
        # What is shorter is no key, and may be a part of any word.
        if len(self._api_key) >= _SHORTEST_KEY:
            text = text.replace(self._api_key, "***")
        for name, server_name in self._server_names.items():
            text = text.replace(server_name, name)
        text = " ".join(without_folders(text).split())
        return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _source(image: str) -> str:
    """The source of an image, which worker-comfyui also takes as bare base64."""
    # No base64 has a dot or a colon in it, and each address and each key of the store has.
    return image if {".", ":"} & set(image) else f"data:;base64,{image}"


def _texts(outputs: dict[str, dict[str, Any]]) -> list[str]:
    lists = [output.get("text") for output in outputs.values()]
    return [str(text) for texts in lists if isinstance(texts, list | tuple) for text in texts]
