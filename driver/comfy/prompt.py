"""A prompt's run, folded from its events: for stories and for any other workflow."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from ..cancel import Cancel
from .client import Comfy
from .connection import ComfyError, Unreachable
from .errors import Lost, Rejected, Stuck
from .events import Cached, Event, Executed, Executing, Failed, Finished, Progress

QUIET_SECONDS = 15 * 60.0
"""The longest time without an event from a running prompt: loading a model may take some minutes."""


@dataclass
class PromptRun:
    """How far a prompt is.

    Attributes:
        id: of the prompt.
        node: the running node, or the last one that ran.
        fraction: how much of it is done, 0 to 1.
        cached: nodes whose outputs ComfyUI still has.
        done: nodes that are finished, the cached ones included.
        outputs: what the output nodes saved.
        failed: the node that failed.
        status: how it ended; None while it runs.
    """

    id: str
    node: str = ""
    fraction: float = 0.0
    cached: frozenset[str] = frozenset()
    done: set[str] = field(default_factory=set)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: Failed | None = None
    status: Literal["success", "error", "interrupted"] | None = None

    def apply(self, event: Event) -> None:
        """Takes in the next event."""
        match event:
            case Cached(nodes):
                self.cached = frozenset(nodes)
                self.done |= self.cached
            case Executing(node):
                self.done |= {self.node} - {""}
                self.node, self.fraction = node, 0.0
            case Progress(node, value, steps) if steps and node == self.node:
                self.fraction = value / steps
            case Executed(node, output):
                self.outputs[node] = output
            case Failed():
                self.failed = event
            case Finished(outputs, status):
                self.outputs, self.status = outputs, status
            case _:
                pass


def run_prompt(
    comfy: Comfy,
    nodes: Mapping[str, Any],
    observe: Callable[[PromptRun, Event], None],
    *,
    prompt_id: str | None = None,
    extra_data: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    cancel: Cancel | None = None,
) -> PromptRun:
    """Runs a prompt to its end; if this is broken off, the prompt is cancelled.

    Args:
        comfy: the server.
        nodes: the workflow in API format.
        observe: called after each event, with the run as it is then.
        prompt_id: a UUID of the caller's choice.
        extra_data: goes to the nodes that ask for it.
        timeout: the most seconds that it may run.
        cancel: ends the prompt when it is set.

    Raises:
        Rejected: the workflow is not valid on this server.
        Unreachable, Lost, Stuck: the server died or hangs. The prompt is left as it is.
        Cancelled: `cancel` was set.
    """
    run = PromptRun(prompt_id or str(uuid.uuid4()))
    events = comfy.run(
        nodes, prompt_id=run.id, extra_data=extra_data, timeout=timeout, quiet=QUIET_SECONDS, cancel=cancel
    )
    try:
        for event in events:
            run.apply(event)
            observe(run, event)
    except (Rejected, Unreachable, Lost, Stuck):
        raise
    except BaseException:
        with suppress(ComfyError):
            comfy.cancel(run.id)
        raise
    return run
