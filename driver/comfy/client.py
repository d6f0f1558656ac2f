"""A client for any ComfyUI server, local or remote.

Whether a prompt has ended is read from ComfyUI's history and queue. The websocket only shows progress, so
nothing depends on messages that may be lost, repeated or late. While it is silent, or a proxy does not let it
through, the node pack is asked how far the prompt is; that alone says whether a prompt hangs.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import requests

from ..cancel import Cancel, Cancelled
from ..files import sha256_of, written_aside
from .connection import ComfyError, Connection, Unreachable
from .errors import Gone, Lost, Rejected, Stuck
from .events import Event, EventReader, EventSocket


class MemoryPlan(NamedTuple):
    """How models share the memory: in a sentence, empty if the prompt reads none; and whether all stay."""

    prompt_id: str
    text: str
    keeps_all: bool


class Comfy:
    """A ComfyUI server at an http(s) address, which may have a login and a path if it is behind a proxy.

    Args:
        url: the address; see `Connection`.
        alive: whether the server's process is running, where that is known: a dead one is not waited for.
        headers: sent with each request, such as a token for the proxy.
        say: called with a sentence for the user if no websocket can be opened, once.
        forget: removes each prompt from ComfyUI's history once it has ended; ComfyUI itself keeps ten
            thousand, with their graphs.
        touch: called with the name of each input that the server has already; False if it is gone by now.

    Attributes:
        url: the address, without its login and without a slash at its end.

    Raises:
        ComfyError: `url` is not such an address. Every method raises Unreachable if there is no response.
    """

    def __init__(
        self,
        url: str,
        alive: Callable[[], bool] = lambda: True,
        headers: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
        forget: bool = False,
        touch: Callable[[str], bool] = lambda _: True,
    ):
        self._forget, self._touch = forget, touch
        self._connection = Connection(url, headers or {}, alive)
        self.url = self._connection.url
        self._say: Callable[[str], None] | None = say
        self._classes: dict[str, Any] | None = None

    def stats(self) -> dict[str, Any]:
        """ComfyUI's /system_stats: versions, devices, memory in bytes."""
        return self._json("GET", "/system_stats")

    def object_info(self, refresh: bool = False) -> dict[str, Any]:
        """Every node class with its inputs and outputs; requested once, and again with `refresh`."""
        if self._classes is None or refresh:
            self._classes = self._json("GET", "/object_info")
        return self._classes or {}

    def memory_plan(self) -> MemoryPlan:
        """How models share the memory, by the latest plan that the server made.

        Raises:
            ComfyError: it has made none yet.
        """
        answer = self._json("GET", "/story_studio/memory")
        return MemoryPlan(answer["prompt_id"], answer["plan"], answer["keeps_all"])

    def models(self, folder: str) -> list[str]:
        """The files in one of ComfyUI's model folders; empty if it has no such folder."""
        response = self._call("GET", f"/models/{quote(folder)}")
        return [] if response.status_code == 404 else self._decode(response)

    def upload(self, path: Path, name: str, subfolder: str = "story_studio") -> str:
        """Uploads a file of any kind to the server's input folder, replacing one of the same name.

        If the name contains the first 16 hex digits of its SHA-256, a file that is already there is not sent.

        Returns:
            The value for a loader node: `subfolder/name`.
        """
        value = f"{subfolder}/{name}" if subfolder else name
        is_there = sha256_of(path)[:16] in name and self._has_input(name, subfolder, path.stat().st_size)
        if not is_there or not self._touch(value):
            form = {"overwrite": "true", "type": "input", "subfolder": subfolder}
            self._connection.retrying(lambda: self._upload(path, name, form))
        return value

    def _upload(self, path: Path, name: str, form: dict[str, str]) -> None:
        with path.open("rb") as file:
            files = {"image": (name, file)}
            self._connection.check(self._connection.request("POST", "/upload/image", data=form, files=files))

    def submit(
        self,
        graph: Mapping[str, Any],
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Queues a graph under ids that the caller chooses.

        Args:
            prompt_id: a UUID as Python writes it; newer versions of ComfyUI accept nothing else.

        Raises:
            Rejected: something in the graph is wrong; no part of it stays in the queue.
        """
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": client_id}
        body["extra_data"] = extra_data or {}
        sent = False

        def post() -> requests.Response | None:
            nonlocal sent
            # Only the response may be lost. A prompt that is queued twice is rendered twice.
            if sent and (self._entry(prompt_id) is not None or self._queued(prompt_id)):
                return None
            sent = True
            return self._connection.request("POST", "/prompt", json=body)

        response = self._connection.retrying(post)
        if response is None:
            return
        if response.status_code == 400:
            answer = _parse(response)
            error = answer.get("error") or {}
            error = error if isinstance(error, dict) else {"message": str(error)}
            raise Rejected(error, answer.get("node_errors") or {})
        # ComfyUI runs the valid part of a graph.
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
        max_silence: float = 30,
        cancel: Cancel | None = None,
    ) -> Iterator[Event]:
        """`submit` and `follow`, with new ids; misses no event at the start.

        Args:
            cancel: when it is set, the prompt is cancelled and Cancelled raised.
        """
        client_id = uuid.uuid4().hex
        prompt_id = prompt_id or str(uuid.uuid4())
        cancel = cancel or Cancel()
        with EventSocket(self._connection, client_id) as socket:
            socket.connect()
            cancel.check()
            try:
                self.submit(graph, prompt_id, client_id, extra_data)
                yield from self._events(socket, prompt_id, timeout, quiet, max_silence, cancel)
            except Cancelled:
                self.cancel(prompt_id)
                raise
            finally:
                if self._forget:
                    with suppress(ComfyError):
                        self._connection.request("POST", "/history", json={"delete": [prompt_id]})

    def follow(
        self,
        prompt_id: str,
        client_id: str,
        *,
        timeout: float | None = None,
        quiet: float | None = None,
        max_silence: float = 30,
    ) -> Iterator[Event]:
        """The events of a submitted prompt, of which the last is always `Finished`; read them promptly.

        Args:
            client_id: the one passed to `submit`, to which alone ComfyUI sends progress.
            timeout: seconds for which it may run before Stuck; None: no limit. The prompt is not cancelled.
            quiet: seconds without an event from the running prompt before Stuck; None: no limit.
            max_silence: seconds without a response from the server before Unreachable.

        Raises:
            Lost: the server does not know the prompt: it was deleted, or the server was restarted.
        """
        with EventSocket(self._connection, client_id) as socket:
            yield from self._events(socket, prompt_id, timeout, quiet, max_silence, Cancel())

    def interrupt(self, prompt_id: str) -> None:
        """Stops the prompt if it is running, at the next step of its current node."""
        self._post("/interrupt", {"prompt_id": prompt_id})

    def delete(self, prompt_id: str) -> None:
        """Removes the prompt from the queue if it is waiting there."""
        self._post("/queue", {"delete": [prompt_id]})

    def cancel(self, prompt_id: str, seconds: float = 30) -> bool:
        """Ends the prompt, waiting or running; False if its node has not stopped after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            self.delete(prompt_id)
            # Repeatedly: ComfyUI forgets an interrupt that arrives just before the prompt's first node.
            self.interrupt(prompt_id)
            if not self._connection.retrying(lambda: self._queued(prompt_id)):
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.2)

    def free(self) -> None:
        """Unloads all models and drops all cached results before any prompt that is submitted later."""
        self._post("/free", {"unload_models": True, "free_memory": True})
        # While it collects garbage, ComfyUI misses the request, and acts on it only after the next prompt.
        no_op = {"1": {"class_type": "PreviewAny", "inputs": {"source": ""}}}
        self.submit(no_op, str(uuid.uuid4()), uuid.uuid4().hex)

    def fetch(self, item: Mapping[str, Any], dest: Path) -> Path:
        """Downloads an output file (`filename`, `subfolder`, `type`); `dest` is complete or not there.

        Raises:
            Gone: the server no longer has the file.
            ComfyError: the connection broke.
        """
        self._connection.retrying(lambda: self._fetch(item, dest))
        return dest

    def _fetch(self, item: Mapping[str, Any], dest: Path) -> None:
        query = {"filename": item["filename"], "subfolder": item.get("subfolder", "")}
        query["type"] = item.get("type", "output")
        # A compressed body would not be as long as announced.
        plain = {"Accept-Encoding": "identity"}
        try:
            response = self._connection.request("GET", "/view", params=query, stream=True, headers=plain)
            with response, written_aside(dest) as part, part.open("wb") as file:
                if response.status_code == 404:
                    raise Gone(f"ComfyUI no longer has the file {query['filename']}: render it again.")
                self._connection.check(response)
                for block in response.iter_content(2**20):
                    file.write(block)
                if file.tell() != int(response.headers.get("Content-Length", file.tell())):
                    raise ComfyError(f"The download of {query['filename']} was cut off: try again.")
        except (requests.RequestException, ConnectionError) as error:
            raise Unreachable(self._connection.no_answer(error)) from None

    def _events(
        self,
        socket: EventSocket,
        prompt_id: str,
        timeout: float | None,
        quiet: float | None,
        max_silence: float,
        cancel: Cancel,
    ) -> Iterator[Event]:
        reader = EventReader(prompt_id)
        started = last_event = silent_since = None
        history_read = queue_read = float("-inf")
        while True:
            message = socket.receive(1.5)
            cancel.check()
            ended = reader.ends(message)
            for event in reader.read(message) if message and not ended else ():
                last_event = time.monotonic()
                started = started or last_event
                yield event
            now = time.monotonic()
            if ended or now - history_read >= 1.5:
                history_read = now
                # The queue contains whole graphs, so it is read less often.
                read_queue = ended or now - queue_read >= 10
                try:
                    entry, running = self._locate(prompt_id, read_queue)
                    queue_read = now if read_queue else queue_read
                    if running:
                        # Its first events may be lost; if its first node hangs, there are none.
                        started, last_event = started or now, last_event or now
                    missed = self._progress(socket) if entry is None and started and socket.is_silent else ()
                    silent_since = None
                except Unreachable:
                    entry, missed, silent_since = None, (), silent_since or now
                    if not self._connection.alive():
                        # What the server was doing when it died may still be unread.
                        for message in socket.remaining():
                            yield from reader.read(message)
                        raise
                    if time.monotonic() - silent_since > max_silence:
                        raise
                if missed is None:
                    # Where nothing says how far it is, nothing says that it hangs.
                    last_event = now
                for event in (event for message in missed or () for event in reader.read(message)):
                    last_event = now
                    yield event
                if entry is not None:
                    while not ended and (message := socket.receive(0.05)):
                        yield from reader.read(message)
                        ended = reader.ends(message)
                    yield from reader.close(entry)
                    return
            if timeout is not None and started is not None and now - started > timeout:
                raise Stuck(f"ComfyUI has not finished the graph after {timeout:.0f} s.")
            if quiet is not None and last_event is not None and now - last_event > quiet:
                raise Stuck(f"ComfyUI has shown no sign of life for {quiet:.0f} s.")

    def _progress(self, socket: EventSocket) -> Sequence[dict[str, Any]] | None:
        """The messages that a silent socket may have missed; None if there is no way to get any."""
        try:
            messages = self._read("/story_studio/progress")
        except Unreachable:
            raise
        except ComfyError:
            # No node pack, or an older one.
            messages = None if socket.problem else ()
        if socket.problem and self._say:
            how = "unknown until it has finished" if messages is None else "asked for every few seconds"
            self._say(
                f"The websocket of ComfyUI at {self.url} does not work ({socket.problem}): progress is {how}."
            )
            self._say = None
        return messages

    def _locate(self, prompt_id: str, read_queue: bool) -> tuple[dict[str, Any] | None, bool]:
        """The prompt's history entry, if it has ended, and whether it runs, if the queue is to be read."""
        entry = self._entry(prompt_id)
        if entry is not None or not read_queue:
            return entry, False
        if queue := self._queued(prompt_id):
            return None, queue == "queue_running"
        # It may have ended between the two requests.
        entry = self._entry(prompt_id)
        if entry is None:
            raise Lost(
                "ComfyUI does not know the prompt: it was deleted, or ComfyUI was restarted. Submit it again."
            )
        return entry, False

    def _entry(self, prompt_id: str) -> dict[str, Any] | None:
        return self._read(f"/history/{quote(prompt_id, safe='')}").get(prompt_id)

    def _queued(self, prompt_id: str) -> str:
        """The queue that it is in: `queue_running`, `queue_pending` or, if in neither, empty."""
        queue = self._read("/queue")
        kinds = ("queue_running", "queue_pending")
        return next((kind for kind in kinds if any(item[1] == prompt_id for item in queue[kind])), "")

    def _has_input(self, name: str, subfolder: str, size: int) -> bool:
        query = {"filename": name, "subfolder": subfolder, "type": "input"}
        response = self._call("HEAD", "/view", params=query)
        return response.ok and response.headers.get("Content-Length") == str(size)

    def _json(self, method: str, path: str, **options: Any) -> Any:
        return self._decode(self._call(method, path, **options))

    def _read(self, path: str) -> Any:
        """A JSON answer, without retries."""
        return self._decode(self._connection.request("GET", path))

    def _post(self, path: str, body: dict[str, Any]) -> None:
        self._connection.check(self._call("POST", path, json=body))

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._connection.retrying(lambda: self._connection.request(method, path, **options))

    def _decode(self, response: requests.Response) -> Any:
        self._connection.check(response)
        try:
            return response.json()
        except requests.JSONDecodeError:
            raise ComfyError(
                f"{self.url} does not answer as ComfyUI does: check the address, and any login it wants."
            ) from None


def _parse(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        answer = None
    return answer if isinstance(answer, dict) else {"error": {"message": response.text[:200]}}
