"""The files that a workflow saved, in the response to its job.

They come back as `images`, `videos` (also animated images), `audio` and `files` (all else), each with its
content while all of it is small and there is no bucket, and else with its address in the bucket.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..cancel import Cancel
from ..comfy.client import Comfy
from ..comfy.connection import ComfyError, Unreachable
from ..media_types import media_type
from ..storage.folder import FolderStore
from ..storage.store import Store
from .answers import OutputFile, WorkflowAnswer
from .leads import has_control_characters
from .redact import without_prompts
from .uploads import MAX_INLINE, NEEDS_BUCKET, TooLarge, inline_size

MediaKind = Literal["images", "videos", "audio", "files"]
_MAX_TEXT = 100_000
"""Characters of text in a response; longer text is a file."""


class SavedFile(NamedTuple):
    """A file that a workflow saved: what it is, its name on the server, its copy here."""

    kind: MediaKind
    name: str
    content_type: str
    path: Path


def fetch_saved(
    outputs: dict[str, dict[str, Any]],
    comfy: Comfy,
    folder: Path,
    cancel: Cancel,
    on_error: Callable[[str, ComfyError], None],
) -> tuple[list[SavedFile], int]:
    """Gets each file that was saved, once.

    Args:
        outputs: by node.
        comfy: the server.
        folder: for the copies; made if need be.
        cancel: ends this when it is set.
        on_error: called with the node and the reason for each file that cannot be fetched.

    Returns:
        The files, and how many were only previews, which are left on the server.

    Raises:
        Unreachable: the server does not answer.
        Cancelled: `cancel` was set.
    """
    seen: set[tuple[str, str, str]] = set()
    saved: list[SavedFile] = []
    previews = 0
    for node_id, output in outputs.items():
        for key, item in _items(output):
            place = (item["filename"], str(item.get("subfolder", "")), str(item.get("type", "output")))
            if place in seen:
                continue
            seen.add(place)
            if place[2] == "temp":
                previews += 1
                continue
            cancel.check()
            if has_control_characters(place[0]):
                # Without an answer to this request ComfyUI would be taken for hung, and restarted.
                what = f"the name {place[0][:80]!r} has a control character: save it under another name."
                on_error(node_id, ComfyError(what))
                continue
            try:
                path = comfy.fetch(item, folder / str(len(seen)))
            except Unreachable:
                raise
            except ComfyError as error:
                on_error(node_id, error)
                continue
            content_type = media_type(place[0])
            saved.append(SavedFile(kind_of(key, output, content_type), place[0], content_type, path))
    return saved, previews


def kind_of(key: str, output: dict[str, Any], content_type: str) -> MediaKind:
    """The field of the response for a file that is under `key` in a node's output."""
    family = content_type.partition("/")[0]
    # ComfyUI reports videos as animated images, and Video Helper Suite reports all that it saves as GIFs.
    animated = key == "gifs" or True in (output.get("animated") or ())
    if family == "video" or (family == "image" and animated):
        return "videos"
    return "images" if family == "image" else "audio" if family == "audio" else "files"


def store_or_inline(
    saved: list[SavedFile],
    texts: list[str],
    store: Store,
    job_name: str,
    folder: Path,
    cancel: Cancel,
    hide_prompts: bool,
) -> WorkflowAnswer:
    """The response with these files and texts; the files here are removed on the way.

    Args:
        saved: the files.
        texts: what the workflow showed.
        store: where files go if it is a bucket, or they are too many for a response.
        job_name: the folder in the store.
        folder: for files of this function.
        cancel: ends this when it is set.
        hide_prompts: whether files are stored without prompts and workflows.

    Raises:
        StorageError: the store fails.
        TooLarge: the clients cannot read the store, and the files do not fit into a response.
        Cancelled: `cancel` was set.
    """
    warnings = []
    if len(json.dumps(texts)) > _MAX_TEXT:
        path = folder / "text.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        saved, texts = [*saved, SavedFile("files", path.name, "application/json", path)], []
        warnings.append(f"The text is too long for a response: it is in {path.name}.")
    size = sum(inline_size(file.path.stat().st_size) for file in saved) + len(json.dumps(texts))
    inline = isinstance(store, FolderStore) and size <= MAX_INLINE
    if not inline and not store.reachable:
        raise TooLarge(
            f"The files take {size / 1e6:.1f} MB, and without a bucket an answer holds "
            f"{MAX_INLINE / 1e6:.0f} MB: {NEEDS_BUCKET}; or save fewer or smaller files."
        )
    files: dict[MediaKind, list[OutputFile]] = {"images": [], "videos": [], "audio": []}
    taken: set[str] = set()
    for file in saved:
        cancel.check()
        if inline:
            entry = _inline(file)
        else:
            if hide_prompts:
                path = without_prompts(file.path, file.path.with_name(f"open-{file.path.name}"))
                file = file._replace(path=path)
            entry = _stored(file, store, _store_key(job_name, file.name, taken))
        files.setdefault(file.kind, []).append(entry)
        file.path.unlink()
    response = WorkflowAnswer(
        images=files["images"],
        videos=files["videos"],
        audio=files["audio"],
        warnings=warnings,
        generation_time=0.0,
    )
    if "files" in files:
        response.files = files["files"]
    if texts:
        response.text = texts
    if not saved and not texts:
        # worker-comfyui's word for it.
        response.status = "success_no_images"
    return response


def _items(output: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    lists = [(key, items) for key, items in output.items() if isinstance(items, list)]
    named = [(key, item) for key, items in lists for item in items if isinstance(item, dict)]
    return [(key, item) for key, item in named if isinstance(item.get("filename"), str)]


def _inline(file: SavedFile) -> OutputFile:
    content = file.path.read_bytes()
    return OutputFile(
        filename=file.name,
        type="base64",
        data=base64.b64encode(content).decode(),
        content_type=file.content_type,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _stored(file: SavedFile, store: Store, key: str) -> OutputFile:
    stored = store.upload(file.path, key)
    return OutputFile(
        filename=file.name,
        type="s3_url",
        data=store.url(stored.key),
        content_type=file.content_type,
        bytes=stored.bytes,
        sha256=stored.sha256 or "",
    )


def _store_key(job_name: str, name: str, taken: set[str]) -> str:
    """Where a file goes in the store; another one of its name, from another subfolder, gets a number."""
    path = Path(re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".-")[-100:] or "file")
    safe, number = path.name, 1
    while safe.lower() in taken:
        number += 1
        safe = f"{path.stem}-{number}{path.suffix}"
    taken.add(safe.lower())
    return f"StoryStudio/workflow/{job_name}/{safe}"
