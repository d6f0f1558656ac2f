"""ComfyUI's messages about a running prompt."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import websocket

from story_studio.story.failures import ran_out_of_memory

from .connection import Connection

SHOWN_CHARACTERS = 2000
"""The length to which messages and tracebacks are cut."""
_SILENT_SECONDS = 10.0
"""An open socket may be useless, and a step of a large model may take longer than this."""


class Executing(NamedTuple):
    """A node has started."""

    node: str


class Progress(NamedTuple):
    """How far a node has progressed."""

    node: str
    value: float
    max: float


class Executed(NamedTuple):
    """An output node has finished; `output` holds its files by kind (`images`, `audio`, ...)."""

    node: str
    output: dict[str, Any]


class Cached(NamedTuple):
    """These nodes' results were cached by earlier prompts."""

    nodes: tuple[str, ...]


class Failed(NamedTuple):
    """A node failed. `class_type` is the node's class, `type` the exception's. `Finished` still follows."""

    node: str
    class_type: str
    type: str
    message: str
    traceback: str

    @property
    def out_of_memory(self) -> bool:
        """Whether the GPU or the machine ran out of memory."""
        return ran_out_of_memory(self.type, self.message)

    @property
    def is_missing_file(self) -> bool:
        """Whether it read a file that does not exist."""
        return self.type.endswith("FileNotFoundError")


class Finished(NamedTuple):
    """The prompt has ended; `outputs` by node id, including those from before a failure."""

    outputs: dict[str, dict[str, Any]]
    status: Literal["success", "error", "interrupted"]


Event = Executing | Progress | Executed | Cached | Failed | Finished


class EventSocket:
    """The websocket of one client id, reopened whenever it is cut.

    Attributes:
        problem: why it has never been open, if that is so.
    """

    def __init__(self, connection: Connection, client_id: str):
        self._connection = connection
        self._url = f"ws{connection.url.removeprefix('http')}/ws?clientId={quote(client_id)}"
        self._socket: websocket.WebSocket | None = None
        self._received = self._since = time.monotonic()
        self._was_open = False
        self._failures, self._next_try = 0, 0.0
        self.problem = ""

    def __enter__(self) -> EventSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def is_silent(self) -> bool:
        """Whether messages may be missing: it is not open, or nothing came for a while."""
        return self._socket is None or time.monotonic() - self._received > _SILENT_SECONDS

    def connect(self) -> bool:
        """Opens the socket, and returns whether that succeeded."""
        try:
            self._socket = websocket.create_connection(
                self._url,
                timeout=5,
                # The check in pure Python costs more than everything else here, and json.loads checks too.
                skip_utf8_validation=True,
                **self._connection.socket_options(),
            )
        except websocket.WebSocketBadStatusException as error:
            self._failed(f"status {error.status_code}")
        except (OSError, ValueError, websocket.WebSocketException) as error:
            self._failed(type(error).__name__)
        else:
            self._received = time.monotonic()
        return self._socket is not None

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next message; empty if none arrives within `seconds`, it is not text, or the socket is cut."""
        if self._socket is None and (time.monotonic() < self._next_try or not self.connect()):
            time.sleep(seconds)
            return {}
        assert self._socket
        try:
            self._socket.settimeout(seconds)
            kind, data = self._socket.recv_data()
        except websocket.WebSocketTimeoutException:
            # A dead connection is silent too; and when ComfyUI notices that an old socket with this client id
            # has closed, it may stop sending to the new one.
            if time.monotonic() - self._received > 30:
                self._close()
            if not self._was_open and time.monotonic() - self._since > _SILENT_SECONDS:
                # ComfyUI sends its status at once.
                self.problem = self.problem or "nothing comes through"
            return {}
        except (OSError, websocket.WebSocketException) as error:
            self._close()
            self._failed(type(error).__name__)
            time.sleep(min(seconds, 0.5))
            return {}
        self._received = time.monotonic()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            self._close()
            self._failed("closed at once")
        else:
            self._was_open, self._failures, self.problem = True, 0, ""
        if kind != websocket.ABNF.OPCODE_TEXT:
            return {}
        with suppress(ValueError):
            message = json.loads(data)
            if isinstance(message, dict) and isinstance(message.get("data"), dict):
                return message
        return {}

    def remaining(self) -> Iterator[dict[str, Any]]:
        """The messages that a server sent before it died."""
        while self._socket:
            if message := self.receive(0.5):
                yield message

    def _failed(self, problem: str) -> None:
        """Tries again soon after a cut, and rarely where it never works: a proxy may count failed logins."""
        if not self._was_open:
            self.problem = problem
        self._next_try = time.monotonic() + min(60, 2**self._failures - 1)
        self._failures += 1

    def _close(self) -> None:
        if self._socket:
            with suppress(OSError, websocket.WebSocketException):
                self._socket.close(timeout=1)
        self._socket = None


class EventReader:
    """Turns a prompt's messages into events, each once, and adds missed ones from the history at the end."""

    def __init__(self, prompt_id: str):
        self._id = prompt_id
        self._node: str | None = None
        self._progress: dict[str, Progress] = {}
        self._reported: list[Event] = []
        self._inner: set[str] = set()

    def ends(self, message: dict[str, Any]) -> bool:
        """Whether the message says that the prompt's history entry has been written."""
        data = message.get("data", {})
        return (
            message.get("type") == "executing"
            and data.get("node") is None
            and data.get("prompt_id") == self._id
        )

    def read(self, message: dict[str, Any]) -> Iterator[Event]:
        """The events in a message."""
        data = message["data"]
        if data.get("prompt_id") != self._id:
            return
        kind = message.get("type")
        if kind == "executing" and data.get("node"):
            node = data.get("display_node") or data["node"]
            if node != data["node"]:
                # One that another node has expanded into: it is not in the prompt.
                self._inner.add(data["node"])
            if node != self._node:
                self._node = node
                yield Executing(node)
        elif kind == "progress" and data.get("node") and data["node"] not in self._inner:
            yield from self._advance(data["node"], data)
        elif kind == "progress_state":
            states = data.get("nodes", {})
            for node_id, state in states.items():
                shown = state.get("display_node_id") or node_id
                # The bar of a node that counts the nodes it has expanded into, not the bar of each of them.
                counts_all = shown != node_id and states.get(shown, {}).get("max", 1) > 1
                if state.get("state") == "running" and not counts_all:
                    yield from self._advance(shown, state)
        elif kind == "executed":
            yield from self._once(Executed(data["node"], data["output"]) if data.get("output") else None)
        elif kind in ("execution_cached", "execution_error"):
            yield from self._once(_status_event(kind, data))

    def close(self, entry: dict[str, Any]) -> Iterator[Event]:
        """The events that were missed, and `Finished`."""
        status = entry.get("status") or {}
        kinds = {kind for kind, _ in status.get("messages", [])}
        for kind, data in status.get("messages", []):
            yield from self._once(_status_event(kind, data))
        for node, output in entry["outputs"].items():
            yield from self._once(Executed(node, output))
        success = "success" if status.get("status_str") == "success" else "error"
        yield Finished(entry["outputs"], "interrupted" if "execution_interrupted" in kinds else success)

    def _advance(self, node: str, state: dict[str, Any]) -> Iterator[Event]:
        event = Progress(node, float(state["value"]), float(state["max"]))
        if self._progress.get(node) != event:
            self._progress[node] = event
            yield event

    def _once(self, event: Event | None) -> Iterator[Event]:
        if event is not None and event not in self._reported:
            self._reported.append(event)
            yield event


def _status_event(kind: str, data: dict[str, Any]) -> Cached | Failed | None:
    if kind == "execution_cached" and data.get("nodes"):
        return Cached(tuple(data["nodes"]))
    if kind == "execution_error":
        # Without `current_inputs`, which prints whole tensors.
        return Failed(
            str(data.get("node_id")),
            str(data.get("node_type")),
            str(data.get("exception_type")),
            str(data.get("exception_message")).strip()[:SHOWN_CHARACTERS],
            "".join(data.get("traceback") or [])[-SHOWN_CHARACTERS:],
        )
    return None
