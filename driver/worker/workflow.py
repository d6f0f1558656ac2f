"""The endpoint's task `workflow`: any ComfyUI workflow in API format, as worker-comfyui takes it.

What it saves comes back as `images`, `videos` (also animated pictures), `audio` and `files` (all else), each
with its content while all of it is small and there is no bucket, and else with its address in the store.
"""

from __future__ import annotations

import base64
import contextlib
import difflib
import hashlib
import json
import os
import re
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from story_studio.story.problems import Problem, Problems, nearest, without_folders
from story_studio.story.recipes import is_link

from ..cancel import Cancel
from ..comfy.client import Comfy, ComfyError, Rejected, Unreachable
from ..comfy.events import Cached, Executing, Failed, Finished, Progress
from ..comfy.queue import Router, diffusion_models
from ..fetch.download import DownloadError, download, is_address
from ..files import sha256_of
from ..media_types import media_type
from ..rendering.render import QUIET, RenderError, server_name
from ..storage.folder import FolderStore
from ..storage.store import Store
from . import schema

Kind = Literal["images", "videos", "audio", "files"]
Local = Callable[[str, Path], Path]
Tell = Callable[[dict[str, Any]], None]
MAX_INLINE = 1_000_000
"""Characters of base64 and text that an answer may hold in all; RunPod drops answers that are too long."""
MAX_INPUT = 2**30
"""Bytes of all images of a job together."""
_SHOWN = 500
_MOST = 50
# An instance of its own does not read the machine's lists, which differ.


class _Made(NamedTuple):
    """A file that a workflow saved: what it is, its name on the server, its copy here."""

    kind: Kind
    name: str
    content_type: str
    path: Path


@dataclass
class _Run:
    """One job's workflow, while it runs.

    Attributes:
        nodes: the workflow, as ComfyUI's /prompt takes it.
        names: what the job's images are called on the server, by the names that the job gives them.
        key: of Comfy.org, which must not be told to anybody; or empty.
        errors: what went wrong although something was made, a sentence each.
        warnings: what is not as it was meant to be, a sentence each.
    """

    nodes: dict[str, dict[str, Any]]
    names: dict[str, str] = field(default_factory=dict)
    key: str = ""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def title(self, node: str) -> str:
        """What the user calls a node; its class or its id where it has no name."""
        found = self.nodes.get(node, {})
        meta = found.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        return str(title or found.get("class_type") or node)[:100]

    def plain(self, text: str) -> str:
        """What ComfyUI says, in one line: with the user's names of files, without secrets and folders."""
        if self.key:
            text = text.replace(self.key, "***")
        for given, ours in self.names.items():
            text = text.replace(ours, given)
        text = " ".join(without_folders(text).split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def run_workflow(
    job: schema.WorkflowJob,
    job_id: str,
    comfy: Comfy,
    router: Router,
    store: Store,
    folder: Path,
    *,
    local: Local,
    tell: Tell,
    cancel: Cancel,
) -> dict[str, Any]:
    """Runs a workflow to its end and hands out what it saved; what it only previews is left out.

    Args:
        job: the workflow and its images.
        job_id: RunPod's; the files' folder in the store is named after it.
        comfy: the server.
        router: gives turns where several jobs share the server.
        store: where the files go, if there are too many bytes for an answer or it is a bucket.
        folder: an existing folder for this job alone.
        local: makes a file of a data URI or a key of the store, or raises ValueError.
        tell: called with `phase`, `node`, `percent` and `seconds_left` at every step.
        cancel: ends the job when it is set.

    Returns:
        The fields of `schema.WorkflowAnswer`, without `generation_time`.

    Raises:
        Problems: the job or its workflow is wrong; nothing ran.
        RenderError: a node failed before anything was saved, or somebody else stopped it.
        Cancelled: `cancel` was set.
        StorageError: the store fails.
        ComfyError: the server fails.
    """
    run = _Run({node_id: node.model_dump() for node_id, node in job.workflow.items()})
    given = job.comfy_org_api_key.get_secret_value() if job.comfy_org_api_key else ""
    # worker-comfyui's variable for those who send none.
    run.key = given or os.environ.get("COMFY_ORG_API_KEY", "").strip()
    _check(run.nodes, comfy)
    _place(run, job.images or [], comfy, folder, local, cancel)
    prompt_id = str(uuid.uuid4())
    needed = diffusion_models(run.nodes.values(), comfy)
    with router.turn(prompt_id, needed, needed, cancel):
        outputs = _follow(run, comfy, prompt_id, tell, cancel)
        # Still in its turn: the next one may write files of the same names.
        made = list(_fetch(run, outputs, comfy, folder / "made", cancel))
    return _answer(run, made, _texts(outputs), store, job_id, folder, cancel)


def _check(nodes: dict[str, dict[str, Any]], comfy: Comfy) -> None:
    """What ComfyUI would tell only of the first node, or not in plain words."""
    known = comfy.object_info()
    unknown: dict[str, list[str]] = {}
    problems = []
    for node_id, node in nodes.items():
        if node["class_type"] not in known:
            unknown.setdefault(node["class_type"], []).append(node_id)
        problems += [
            Problem(f"workflow.{node_id}.inputs.{name}", f"is linked to node {value[0]}, which is not there.")
            for name, value in node["inputs"].items()
            if is_link(value) and value[0] not in nodes
        ]
        # ComfyUI's loaders read any file that the server's user can read.
        problems += [
            Problem(f"workflow.{node_id}.inputs.{name}", "leads out of ComfyUI's folders: give its name.")
            for name, value in node["inputs"].items()
            if isinstance(value, str) and node["class_type"].startswith("Load") and _leads_out(value)
        ]
    for name, (first, *more) in unknown.items():
        # All names that there are would be hundreds.
        close = difflib.get_close_matches(name, known, n=1)
        hint = nearest(name, close) if close else "install its node pack on the worker."
        others = f" (and of {len(more)} more)" if more else ""
        what = f"the class {name!r}{others} is not installed, {hint}"
        problems.append(Problem(f"workflow.{first}.class_type", what))
    if problems:
        raise Problems(problems[:_MOST])


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "\\", "~")) or ".." in re.split(r"[/\\]", name)


def _place(
    run: _Run, images: list[schema.InputImage], comfy: Comfy, folder: Path, local: Local, cancel: Cancel
) -> None:
    """Gives the server the job's images, under names of their content, and the workflow those names.

    Other jobs may give other images the same name at the same time.
    """
    problems = []
    paths: list[Path] = []
    for number, image in enumerate(images):
        cancel.check()
        own = folder / f"image_{number}"
        own.mkdir()
        try:
            paths.append(_as_file(image.image, own, local, cancel))
        except (ValueError, DownloadError) as error:
            problems.append(Problem(f"images[{number}].image", str(error)))
        if sum(path.stat().st_size for path in paths) > MAX_INPUT:
            problems.append(Problem("images", f"hold more than {MAX_INPUT // 2**20} MB together: give less."))
            break
    if problems:
        raise Problems(problems)
    for image, path in zip(images, paths, strict=True):
        name = server_name(Path(image.name), sha256_of(path))
        run.names[image.name] = comfy.upload(path, name, subfolder="")
    used = set()
    for node in run.nodes.values():
        for name, value in node["inputs"].items():
            given = value.removesuffix(" [input]") if isinstance(value, str) else None
            if given in run.names:
                node["inputs"][name] = run.names[given]
                used.add(given)
    run.warnings += [
        f"images[{number}] is not used: no node of the workflow names {image.name!r}."
        for number, image in enumerate(images)
        if image.name not in used
    ]


def _as_file(source: str, folder: Path, local: Local, cancel: Cancel) -> Path:
    # No base64 has a dot or a colon in it, and each address and each file in the store has.
    if not source.startswith("data:") and not ({".", ":"} & set(source)):
        source = f"data:;base64,{source}"
    if source.startswith("data:"):
        return local("".join(source.split()), folder / "given")
    if is_address(source):
        return download(source, folder, check=cancel.check)
    return local(source, folder / "given")


def _follow(run: _Run, comfy: Comfy, prompt_id: str, tell: Tell, cancel: Cancel) -> dict[str, dict[str, Any]]:
    """The outputs by node, when the workflow has ended."""
    extra = {"api_key_comfy_org": run.key} if run.key else {}
    done: set[str] = set()
    current, failed, end = "", None, None

    def show(fraction: float = 0.0) -> None:
        percent = 100 * (len(done & run.nodes.keys()) + fraction) / len(run.nodes)
        told = {"percent": round(min(percent, 99), 1), "seconds_left": None}
        tell({"phase": "workflow", "node": run.title(current), **told})

    try:
        events = comfy.run(run.nodes, prompt_id=prompt_id, extra_data=extra, quiet=QUIET, cancel=cancel)
        for event in events:
            if isinstance(event, Cached):
                done |= set(event.nodes)
            elif isinstance(event, Executing):
                done |= {current}
                current = event.node
                show()
            elif isinstance(event, Progress) and event.max and event.node == current:
                show(event.value / event.max)
            elif isinstance(event, Failed):
                failed = event
            elif isinstance(event, Finished):
                end = event
    except Rejected as error:
        raise Problems(_rejections(run, error)) from None
    except BaseException:
        with contextlib.suppress(ComfyError):
            comfy.cancel(prompt_id)
        raise
    assert end
    if failed:
        run.errors.append(_sentence(run, failed))
    elif end.status != "success":
        cancel.check()
        raise RenderError(f"ComfyUI ended the workflow ({end.status}): run the job again.")
    return end.outputs


def _rejections(run: _Run, error: Rejected) -> list[Problem]:
    """Each thing that ComfyUI finds wrong, at the input of the node."""
    if error.error.get("type") == "prompt_no_outputs":
        return [Problem("workflow", "has no node that saves anything: add one, like SaveImage or SaveVideo.")]
    problems = []
    for node_id, found in error.node_errors.items():
        for one in found.get("errors", []):
            name = (one.get("extra_info") or {}).get("input_name")
            where = f"workflow.{node_id}.inputs.{name}" if name else f"workflow.{node_id}"
            # Which input it is stands at the start of the details too.
            details = str(one.get("details") or "").removeprefix(str(name)).lstrip(" :,-")
            said = f"{run.title(node_id)} ({found.get('class_type')}): {one.get('message')}"
            problems.append(Problem(where, run.plain(f"{said}: {details}" if details else said)))
    said = f"ComfyUI rejects it: {error.error.get('message')} {error.error.get('details') or ''}"
    return problems[:_MOST] or [Problem("workflow", run.plain(said))]


def _sentence(run: _Run, failed: Failed) -> str:
    title = run.title(failed.node)
    who = f"{failed.class_type} (node {failed.node})"
    who = who if title == failed.class_type else f"{title}, {who},"
    if failed.out_of_memory:
        return f"{who} ran out of memory: ask for fewer or smaller pictures."
    said = run.plain(failed.message) or failed.type.rpartition(".")[2]
    return f"{who} failed: {said.rstrip('.')}."


def _texts(outputs: dict[str, dict[str, Any]]) -> list[str]:
    found = [output.get("text") for output in outputs.values()]
    return [str(text) for texts in found if isinstance(texts, list | tuple) for text in texts]


def _fetch(
    run: _Run, outputs: dict[str, dict[str, Any]], comfy: Comfy, folder: Path, cancel: Cancel
) -> Iterator[_Made]:
    """Gets each file that was saved, once; previews are told in a warning if there is nothing else."""
    seen: set[tuple[str, str, str]] = set()
    previews = saved = 0
    for node_id, output in outputs.items():
        for key, items in output.items():
            for item in items if isinstance(items, list) else []:
                if not isinstance(item, dict) or not isinstance(item.get("filename"), str):
                    continue
                place = (item["filename"], str(item.get("subfolder", "")), str(item.get("type", "output")))
                if place in seen:
                    continue
                seen.add(place)
                if place[2] == "temp":
                    previews += 1
                    continue
                cancel.check()
                try:
                    path = comfy.fetch(item, folder / str(len(seen)))
                except Unreachable:
                    raise
                except ComfyError as error:
                    run.errors.append(run.plain(f"{run.title(node_id)}: {error}"))
                    continue
                saved += 1
                content_type = media_type(place[0])
                yield _Made(_kind(key, output, content_type), place[0], content_type, path)
    if previews and not saved and not run.errors:
        what = "The workflow only previews what it makes, and previews are not returned: use SaveImage."
        run.warnings.append(what)


def _kind(key: str, output: dict[str, Any], content_type: str) -> Kind:
    family = content_type.partition("/")[0]
    # ComfyUI reports videos as animated images, and Video Helper Suite reports all that it saves as GIFs.
    animated = key == "gifs" or True in (output.get("animated") or ())
    if family == "video" or (family == "image" and animated):
        return "videos"
    return "images" if family == "image" else "audio" if family == "audio" else "files"


def _answer(
    run: _Run, made: list[_Made], texts: list[str], store: Store, job_id: str, folder: Path, cancel: Cancel
) -> dict[str, Any]:
    if run.errors and not made:
        raise RenderError(" ".join(run.errors[:_MOST]))
    if len(json.dumps(texts)) > MAX_INLINE // 10:
        path = folder / "text.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        made, texts = [*made, _Made("files", path.name, "application/json", path)], []
        run.warnings.append(f"The text is too long for an answer: it is in {path.name}.")
    answer: dict[str, Any] = {"images": [], "videos": [], "audio": [], "warnings": run.warnings}
    inline = isinstance(store, FolderStore) and _inline_size(made) + len(json.dumps(texts)) <= MAX_INLINE
    taken: set[str] = set()
    for one in made:
        cancel.check()
        entry = {"filename": one.name, "content_type": one.content_type, "bytes": one.path.stat().st_size}
        if inline:
            content = one.path.read_bytes()
            entry |= {"type": "base64", "data": base64.b64encode(content).decode()}
            entry |= {"sha256": hashlib.sha256(content).hexdigest()}
        else:
            stored = store.upload(one.path, _key(job_id, one.name, taken))
            entry |= {"type": "s3_url", "data": store.url(stored.key), "sha256": stored.sha256}
        answer.setdefault(one.kind, []).append(entry)
        one.path.unlink()
    answer |= {"text": texts} if texts else {}
    answer |= {"errors": run.errors[:_MOST]} if run.errors else {}
    # worker-comfyui's word for it.
    return answer | ({} if made or texts else {"status": "success_no_images"})


def _inline_size(made: list[_Made]) -> int:
    return sum((one.path.stat().st_size + 2) // 3 * 4 for one in made)


def _key(job_id: str, name: str, taken: set[str]) -> str:
    """Where a file goes in the store; another one of its name, from another subfolder, gets a number."""
    job = re.sub(r"[^A-Za-z0-9_.-]+", "-", job_id).lstrip(".")[:64]
    if job != job_id:
        # Or two jobs could get the same folder.
        job = f"job-{job}-{zlib.crc32(job_id.encode()):08x}"
    path = Path(re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".-")[-100:] or "file")
    safe, number = path.name, 1
    while safe.lower() in taken:
        number += 1
        safe = f"{path.stem}-{number}{path.suffix}"
    taken.add(safe.lower())
    return f"StoryStudio/workflow/{job}/{safe}"
