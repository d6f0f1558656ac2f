"""What can go wrong with a prompt on a server that answers."""

from __future__ import annotations

from typing import Any

from .connection import ComfyError
from .events import SHOWN_CHARACTERS


class Lost(ComfyError):
    """The prompt is neither in the server's queue nor in its history."""


class Gone(ComfyError):
    """The server no longer has a file that it has reported as an output."""


class Stuck(ComfyError):
    """The running prompt sends no events, or exceeds its time limit; it is still running."""


class Rejected(ComfyError):
    """The graph is not valid on this server; no part of it runs.

    Attributes:
        error: ComfyUI's error for the whole graph; empty if only some of its outputs are wrong.
        node_errors: by node id: `class_type`, `errors` (`type`, `message`, `details`), `dependent_outputs`.
    """

    def __init__(self, error: dict[str, Any], node_errors: dict[str, dict[str, Any]]):
        self.error, self.node_errors = error, node_errors
        reasons = [
            f"node {node_id} ({node.get('class_type')}): {problem.get('message')}: {problem.get('details')}"
            for node_id, node in node_errors.items()
            for problem in node.get("errors", [])
        ]
        reasons = reasons or [f"{error.get('message')} {error.get('details') or ''}".strip()]
        super().__init__(f"ComfyUI rejects the graph: {'; '.join(reasons)}"[:SHOWN_CHARACTERS])
