"""The server that a render runs on: somebody else's, or one of our own, started again when it dies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from .comfy import Comfy, ComfyError, Stuck
from .server import Server, ServerError

MAX_DEATHS = 3
"""How often in a row a server of our own may die before anything more is finished."""


@dataclass
class Host:
    """A server, and what is done when it does not answer any more.

    Attributes:
        comfy: the client.
        server: its process, if it is our own.
        say: called with a sentence for the user about what is mended.
    """

    comfy: Comfy
    server: Server | None = None
    say: Callable[[str], None] = lambda _: None
    _deaths: int = 0

    def finished(self) -> None:
        """Something was finished: the server's earlier deaths do not count any more."""
        self._deaths = 0

    def revive(self, error: ComfyError, what: str) -> str:
        """Starts our own server again after it died or hung while it made `what`.

        Returns:
            How it ended, a sentence.

        Raises:
            ComfyError: `error` itself, if the server is not ours.
            ServerError: it dies again and again; with the end of its log.
        """
        if self.server is None:
            raise error
        if self.server.alive() and not isinstance(error, Stuck):
            error = Stuck(str(error))
        if isinstance(error, Stuck):
            how = "ComfyUI hung"
            self.server.abort()
        else:
            how = f"ComfyUI ended by itself ({self.server.ending()})"
        self._deaths += 1
        log = self.server.workspace / "server.log"
        if self._deaths > MAX_DEATHS:
            raise ServerError(
                f"{how} while it made {what}, {self._deaths} times in a row; what is finished is kept. "
                f"The end of {log}:\n{self.server.log_tail(20)}"
            )
        found = "; the stacks of its threads are in its log" if isinstance(error, Stuck) else ""
        # The next start renames the log.
        self.say(
            f"{how} while it made {what}{found}. Starting it again ({self._deaths} of {MAX_DEATHS}): what is "
            f"finished is kept. The end of {log.with_suffix('.log.1')}:\n{self.server.log_tail(5)}"
        )
        self.server.stop()
        self.server.start()
        self.server.wait()
        return f"{how} while it was made."

    def forget(self) -> None:
        """Makes the server give back what memory it can, for something that ran out of it."""
        with suppress(ComfyError):
            self.comfy.free()
