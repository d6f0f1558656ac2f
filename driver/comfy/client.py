"""A client for any ComfyUI server, this machine's or a remote one.

Whether a prompt has ended is read from ComfyUI's history and queue. The websocket only makes progress
visible, so nothing depends on a message that may be lost, repeated or late.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from ..cancel import Cancel, Cancelled
from ..files import sha256_of, written_aside
from .events import SHOWN_CHARACTERS, Event, EventReader, EventSocket

TIMEOUT = (5, 60)
"""Seconds to connect, and between two pieces of an answer."""


class ComfyError(Exception):
    """A server cannot do what it was asked for: a sentence that says what to do."""


class Unreachable(ComfyError):
    """The server does not answer."""


class Lost(ComfyError):
    """The prompt is neither in the server's queue nor in its history."""


class Stuck(ComfyError):
    """The running prompt shows no sign of life, or takes longer than it may; it is still running."""


class Rejected(ComfyError):
    """The graph is not valid on this server, and none of it runs.

    Attributes:
        error: ComfyUI's error of the whole graph; empty if only some of its outputs are wrong.
        node_errors: by node id: `class_type`, `errors` (`type`, `message`, `details`), `dependent_outputs`.
    """

    def __init__(self, error: dict[str, Any], node_errors: dict[str, dict[str, Any]]):
        self.error, self.node_errors = error, node_errors
        found = [
            f"node {node_id} ({node.get('class_type')}): {problem.get('message')}: {problem.get('details')}"
            for node_id, node in node_errors.items()
            for problem in node.get("errors", [])
        ]
        found = found or [f"{error.get('message')} {error.get('details') or ''}".strip()]
        super().__init__(f"ComfyUI rejects the graph: {'; '.join(found)}"[:SHOWN_CHARACTERS])


class Comfy:
    """A ComfyUI server at an http(s) address, with a path before ComfyUI's own if it lies behind a proxy.

    Args:
        url: the address.
        alive: whether the server's process runs, where that is known: nobody waits for a dead one.

    Attributes:
        url: the address, without a slash at its end.

    Raises:
        ComfyError: `url` is no such address. Every method raises Unreachable if the server does not answer.
    """

    def __init__(self, url: str, alive: Callable[[], bool] = lambda: True):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ComfyError(
                f"{url!r} is no address of a ComfyUI server: write it like http://127.0.0.1:8188"
            )
        self.url = url.rstrip("/")
        self._local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        self._session = requests.Session()
        # A proxy of the environment would be asked for this machine's own loopback.
        self._session.trust_env = not self._local
        self._classes: dict[str, Any] | None = None
        self._alive = alive

    def stats(self) -> dict[str, Any]:
        """ComfyUI's /system_stats: versions, devices, memory in bytes."""
        return self._json("GET", "/system_stats")

    def object_info(self, refresh: bool = False) -> dict[str, Any]:
        """Every node class with its inputs and outputs; kept, unless `refresh` asks again."""
        if self._classes is None or refresh:
            self._classes = self._json("GET", "/object_info")
        return self._classes or {}

    def models(self, folder: str) -> list[str]:
        """The files in one of ComfyUI's model folders; none if it has no such folder."""
        response = self._call("GET", f"/models/{quote(folder)}")
        return [] if response.status_code == 404 else self._decode(response)

    def upload(self, path: Path, name: str, subfolder: str = "story_studio") -> str:
        """Puts a file of any kind into the server's input folder, over one of the same name.

        A name that contains the first 16 hex digits of the file's SHA-256 is sent only once to a server.

        Returns:
            What a loader node takes: `subfolder/name`.
        """
        if sha256_of(path)[:16] not in name or not self._holds(name, subfolder, path.stat().st_size):
            form = {"overwrite": "true", "type": "input", "subfolder": subfolder}
            with path.open("rb") as file:
                self._json("POST", "/upload/image", data=form, files={"image": (name, file)})
        return f"{subfolder}/{name}" if subfolder else name

    def submit(
        self,
        graph: Mapping[str, Any],
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Queues a graph under ids of the caller's choice.

        Args:
            prompt_id: a UUID as Python writes it; newer versions of ComfyUI take no other id.

        Raises:
            Rejected: something in it is wrong; then nothing of it stays queued.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        body["extra_data"] = extra_data or {}
        try:
            response = self._call("POST", "/prompt", json=body)
        except Unreachable:
            # The answer may be lost and not the question: twice in the queue would be rendered twice.
            if self._entry(prompt_id) is None and not self._queued(prompt_id):
                raise
            return
        if response.status_code == 400:
            answer = _parse(response)
            error = answer.get("error") or {}
            error = error if isinstance(error, dict) else {"message": str(error)}
            raise Rejected(error, answer.get("node_errors") or {})
        # ComfyUI runs a graph of which only a part is valid.
        if node_errors := self._decode(response).get("node_errors"):
            self.cancel(prompt_id)
            raise Rejected({}, node_errors)

    def run(
        self,
        graph: Mapping[str, Any],
        *,
        prompt_id: str | None = None,
        extra_data: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        quiet: float | None = None,
        patience: float = 30,
        cancel: Cancel | None = None,
    ) -> Iterator[Event]:
        """`submit`, then `watch`, of one's own ids; hears the prompt's first events too.

        Args:
            cancel: ends the prompt when it is set, and this with Cancelled.
        """
        client_id = uuid.uuid4().hex
        prompt_id = prompt_id or str(uuid.uuid4())
        cancel = cancel or Cancel()
        with EventSocket(self.url, self._local, client_id) as socket:
            socket.connect()
            cancel.check()
            try:
                self.submit(graph, prompt_id, client_id, extra_data)
                yield from self._follow(socket, prompt_id, timeout, quiet, patience, cancel)
            except Cancelled:
                self.cancel(prompt_id)
                raise

    def watch(
        self,
        prompt_id: str,
        client_id: str,
        *,
        timeout: float | None = None,
        quiet: float | None = None,
        patience: float = 30,
    ) -> Iterator[Event]:
        """What becomes of a submitted prompt, `Finished` last and surely; take the events promptly.

        Args:
            client_id: that of `submit`; ComfyUI tells progress only to it.
            timeout: seconds that it may run until Stuck; None: no limit. The prompt itself is left alone.
            quiet: seconds without an event, while it runs, until Stuck; None: no limit.
            patience: seconds without an answer until Unreachable.

        Raises:
            Lost: the server does not know the prompt: it was deleted, or the server started anew.
        """
        with EventSocket(self.url, self._local, client_id) as socket:
            yield from self._follow(socket, prompt_id, timeout, quiet, patience, Cancel())

    def interrupt(self, prompt_id: str) -> None:
        """Stops the prompt if it is running, at its current node's next step."""
        self._check(self._call("POST", "/interrupt", json={"prompt_id": prompt_id}))

    def delete(self, prompt_id: str) -> None:
        """Takes the prompt out of the queue if it is waiting there."""
        self._check(self._call("POST", "/queue", json={"delete": [prompt_id]}))

    def cancel(self, prompt_id: str, seconds: float = 30) -> bool:
        """Ends the prompt, waiting or running; False if its node has not yet stopped after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            self.delete(prompt_id)
            # Again and again: ComfyUI forgets an interruption that comes just before the prompt's first node.
            self.interrupt(prompt_id)
            if not self._queued(prompt_id):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.2)

    def free(self) -> None:
        """Unloads all models and forgets all results before any prompt that is submitted after this."""
        self._check(self._call("POST", "/free", json={"unload_models": True, "free_memory": True}))
        # ComfyUI misses the request while it collects garbage, and would meet it only after the next prompt.
        nothing = {"1": {"class_type": "PreviewAny", "inputs": {"source": ""}}}
        self.submit(nothing, str(uuid.uuid4()), uuid.uuid4().hex)

    def fetch(self, item: Mapping[str, Any], dest: Path) -> Path:
        """Downloads an output's file (`filename`, `subfolder`, `type`); `dest` is never there in part.

        Raises:
            ComfyError: the server no longer has it, or the download broke off.
        """
        query = {"filename": item["filename"], "subfolder": item.get("subfolder", "")}
        query["type"] = item.get("type", "output")
        # A compressed body would not be as long as announced.
        plain = {"Accept-Encoding": "identity"}
        try:
            response = self._call("GET", "/view", params=query, stream=True, headers=plain)
            with response, written_aside(dest) as part, part.open("wb") as file:
                if response.status_code == 404:
                    raise ComfyError(f"ComfyUI no longer has the file {query['filename']}: render it again.")
                self._check(response)
                for block in response.iter_content(2**20):
                    file.write(block)
                if file.tell() != int(response.headers.get("Content-Length", file.tell())):
                    raise ComfyError(f"The download of {query['filename']} broke off: try again.")
        except (requests.RequestException, ConnectionError) as error:
            raise Unreachable(self._silent(error)) from None
        return dest

    def _follow(
        self,
        socket: EventSocket,
        prompt_id: str,
        timeout: float | None,
        quiet: float | None,
        patience: float,
        cancel: Cancel,
    ) -> Iterator[Event]:
        reader = EventReader(prompt_id)
        begun = lived = silent = None
        asked = looked = float("-inf")
        while True:
            message = socket.receive(1.5)
            cancel.check()
            over = reader.ends(message)
            for event in reader.read(message) if message and not over else ():
                lived = time.monotonic()
                begun = begun or lived
                yield event
            now = time.monotonic()
            if over or now - asked >= 1.5:
                asked = now
                # The queue holds whole graphs, so it is asked for less often.
                thorough = over or now - looked >= 10
                try:
                    entry = self._entry(prompt_id)
                    if entry is None and thorough:
                        looked = now
                        entry, running = self._seek(prompt_id)
                        # Its first events may be lost, or be none, if its first node is stuck.
                        begun, lived = (begun or now, lived or now) if running else (begun, lived)
                    silent = None
                except Unreachable:
                    entry, silent = None, silent or now
                    if time.monotonic() - silent > patience or not self._alive():
                        raise
                if entry is not None:
                    while not over and (message := socket.receive(0.05)):
                        yield from reader.read(message)
                        over = reader.ends(message)
                    yield from reader.close(entry)
                    return
            if timeout is not None and begun is not None and now - begun > timeout:
                raise Stuck(f"ComfyUI has not finished the graph after {timeout:.0f} s.")
            if quiet is not None and lived is not None and now - lived > quiet:
                raise Stuck(f"ComfyUI has shown no sign of life for {quiet:.0f} s.")

    def _seek(self, prompt_id: str) -> tuple[dict[str, Any] | None, bool]:
        """Its history entry, if it has ended, and whether it runs."""
        if place := self._queued(prompt_id):
            return None, place == "queue_running"
        # It may have ended between the two questions.
        entry = self._entry(prompt_id)
        if entry is None:
            raise Lost(
                "ComfyUI does not know the prompt: it was deleted or ComfyUI started anew. Submit it again."
            )
        return entry, False

    def _entry(self, prompt_id: str) -> dict[str, Any] | None:
        return self._json("GET", f"/history/{quote(prompt_id, safe='')}").get(prompt_id)

    def _queued(self, prompt_id: str) -> str:
        """Which queue it is in: `queue_running`, `queue_pending`, or none, which is empty."""
        queue = self._json("GET", "/queue")
        kinds = ("queue_running", "queue_pending")
        return next((kind for kind in kinds if any(item[1] == prompt_id for item in queue[kind])), "")

    def _holds(self, name: str, subfolder: str, size: int) -> bool:
        query = {"filename": name, "subfolder": subfolder, "type": "input"}
        response = self._call("HEAD", "/view", params=query)
        return response.ok and response.headers.get("Content-Length") == str(size)

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return self._decode(self._call(method, path, **options))

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, self.url + path, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise Unreachable(self._silent(error)) from None

    def _decode(self, response: requests.Response) -> Any:
        self._check(response)
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise ComfyError(f"What answers at {self.shown} is not ComfyUI: check the address.") from None

    def _check(self, response: requests.Response) -> None:
        if response.ok:
            return
        path, status = urlsplit(response.url).path, response.status_code
        what = f"ComfyUI at {self.shown} answers {path} with status {status}: {response.text[:200]}"
        # From 502 on it is a proxy that speaks, and ComfyUI behind it that is silent.
        raise Unreachable(what) if status >= 502 else ComfyError(what)

    @property
    def shown(self) -> str:
        """The address without a login or query that may be in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _silent(self, error: Exception) -> str:
        return f"ComfyUI at {self.shown} does not answer ({type(error).__name__}): see whether it runs."


def _parse(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": {"message": response.text[:200]}}
