"""The server that renders: an external one, or our own process, which is restarted when it dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from .care import is_careful, remember
from .client import Comfy
from .connection import ComfyError, Unreachable
from .errors import Stuck
from .process import Server, ServerError

MAX_DEATHS = 3
"""How often our own server may die without finishing anything in between."""


@dataclass
class ComfyInstance:
    """A server, and what happens when it stops responding.

    Attributes:
        comfy: the client.
        server: its process, if it is our own.
        say: called with a sentence for the user about each restart.
        starts: how often it was restarted, by any thread.
    """

    comfy: Comfy
    server: Server | None = None
    say: Callable[[str], None] = lambda _: None
    starts: int = 0
    _deaths: int = 0
    _restarting: threading.Lock = field(default_factory=threading.Lock)

    def finished(self) -> None:
        """To be called when something is finished: earlier deaths no longer count."""
        self._deaths = 0

    def ensure_running(self) -> None:
        """Restarts our own server if it died while it was idle.

        Raises:
            ServerError: it keeps dying.
        """
        if self.server and not self.server.alive():
            self.restart(Unreachable("ComfyUI is not running."), "", self.starts)

    def restart(self, error: ComfyError, what: str, starts: int, prompt_id: str = "") -> str:
        """Restarts our own server after it died or hung; on any other, cancels the prompt.

        Args:
            error: what the client raised.
            what: the scene that it was working on, for the user; empty if it was idle.
            starts: the value of `starts` before the server was used. If it has changed, another thread has
                restarted the server already.
            prompt_id: the prompt that it was working on.

        Returns:
            A sentence that says how it ended.

        Raises:
            ComfyError: `error` itself, if the server is not ours.
            ServerError: it keeps dying; with the end of its log.
        """
        if self.server is None:
            if prompt_id:
                with suppress(ComfyError):
                    self.comfy.cancel(prompt_id)
            raise error
        with self._restarting:
            if starts != self.starts:
                return "ComfyUI was restarted."
            return self._restart(self.server, error, what)

    def _restart(self, server: Server, error: ComfyError, what: str) -> str:
        if server.alive() and not isinstance(error, Stuck):
            error = Stuck(str(error))
        ran_out = server.ran_out_of_memory()
        if isinstance(error, Stuck):
            how = "ComfyUI hung"
            server.abort()
        elif ran_out:
            how = "ComfyUI was killed because memory ran out"
        else:
            how = f"ComfyUI exited unexpectedly ({server.ending()})"
        when = f"while working on {what}" if what else "while idle"
        self._deaths += 1
        log = server.workspace / "server.log"
        if self._deaths > MAX_DEATHS:
            raise ServerError(
                f"{how} {when}, {self._deaths} times in a row; what is finished is kept. "
                f"The end of {log}:\n{server.log_tail(20)}"
            )
        advice = _free_more(server) if ran_out else ""
        stacks = "; the stacks of its threads are in its log" if isinstance(error, Stuck) else ""
        # The next start renames the log.
        self.say(
            f"{how} {when}{stacks}. Restarting it ({self._deaths} of {MAX_DEATHS}): what is finished is "
            f"kept.{advice} The end of {log.with_suffix('.log.1')}:\n{server.log_tail(5)}"
        )
        server.stop()
        server.start()
        server.wait()
        self.starts += 1
        return f"{how} while working on it."


def _free_more(server: Server) -> str:
    """Makes the server free models as early as possible from now on; returns a sentence about it."""
    if is_careful(server.workspace):
        return (
            " Models were freed as early as possible already: close other programs, choose a profile with "
            "smaller models, or use a machine with more memory."
        )
    path = remember(server.workspace)
    return (
        f" From now on models are freed as early as possible, which takes longer; {path} remembers it for "
        "this machine: delete it if the memory was short for another reason."
    )
