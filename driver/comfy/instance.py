"""The server that a render runs on: somebody else's, or one of our own, started again when it dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .client import Comfy, ComfyError, Stuck, Unreachable
from .process import Server, ServerError

MAX_DEATHS = 3
"""How often in a row a server of our own may die before anything more is finished."""


@dataclass
class ComfyInstance:
    """A server, and what is done when it does not answer any more.

    Attributes:
        comfy: the client.
        server: its process, if it is our own.
        say: called with a sentence for the user about what is mended.
        starts: how often it was started again, by any thread.
    """

    comfy: Comfy
    server: Server | None = None
    say: Callable[[str], None] = lambda _: None
    starts: int = 0
    _deaths: int = 0
    _restarting: threading.Lock = field(default_factory=threading.Lock)

    def finished(self) -> None:
        """Something was finished: the server's earlier deaths do not count any more."""
        self._deaths = 0

    def ensure_running(self) -> None:
        """Starts our own server again if it died while nobody used it.

        Raises:
            ServerError: it dies again and again.
        """
        if self.server and not self.server.alive():
            self.restart(Unreachable("ComfyUI is not there."), "nothing", self.starts)

    def restart(self, error: ComfyError, what: str, starts: int) -> str:
        """Starts our own server again after it died or hung while it made `what`.

        Args:
            error: how that was noticed.
            what: the scene, for the user.
            starts: `starts` before it was used: if another thread has started it since, it is left alone.

        Returns:
            How it ended, a sentence.

        Raises:
            ComfyError: `error` itself, if the server is not ours.
            ServerError: it dies again and again; with the end of its log.
        """
        if self.server is None:
            raise error
        with self._restarting:
            if starts != self.starts:
                return "ComfyUI was restarted."
            return self._restart(self.server, error, what)

    def _restart(self, server: Server, error: ComfyError, what: str) -> str:
        if server.alive() and not isinstance(error, Stuck):
            error = Stuck(str(error))
        if isinstance(error, Stuck):
            how = "ComfyUI hung"
            server.abort()
        else:
            how = f"ComfyUI ended by itself ({server.ending()})"
        self._deaths += 1
        log = server.workspace / "server.log"
        if self._deaths > MAX_DEATHS:
            raise ServerError(
                f"{how} while it made {what}, {self._deaths} times in a row; what is finished is kept. "
                f"The end of {log}:\n{server.log_tail(20)}"
            )
        found = "; the stacks of its threads are in its log" if isinstance(error, Stuck) else ""
        # The next start renames the log.
        self.say(
            f"{how} while it made {what}{found}. Starting it again ({self._deaths} of {MAX_DEATHS}): what is "
            f"finished is kept. The end of {log.with_suffix('.log.1')}:\n{server.log_tail(5)}"
        )
        server.stop()
        server.start()
        server.wait()
        self.starts += 1
        return f"{how} while it was made."
