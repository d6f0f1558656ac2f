"""Rendering: plans in, finished files and a manifest out, whatever happens on the way."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from ..cancel import Cancel, Cancelled
from ..comfy.instance import ComfyInstance
from ..comfy.queue import Router
from .manifest import Manifest
from .prepare import RenderPlan
from .progress import OnProgress
from .run import OnResult, RenderError, Run, check

try:
    import fcntl
except ImportError:  # Windows has none: there two renders of one story are not kept apart.
    fcntl = None


class Renderer(Protocol):
    """Renders stories somewhere: on this machine, on another one's ComfyUI, on an endpoint."""

    def render(self, plans: Sequence[RenderPlan], output: Path, on_progress: OnProgress) -> list[Manifest]:
        """Renders stories and stores what comes out in `output/<project_id>/`.

        Args:
            plans: the stories.
            output: folder of the projects.
            on_progress: called with the status at every step.

        Returns:
            The manifest of each story, as stored in its folder.

        Raises:
            Problems: something is missing that all scenes need; nothing was rendered.
            RenderError: the render failed as a whole. What is finished is kept.
        """
        ...


class ComfyRenderer:
    """Renders on a ComfyUI server, all stories as one graph.

    A scene that fails is left out and the rest is submitted again; what is finished is found, not made. A
    scene that runs out of memory is tried once more. A server of our own that dies or hangs is restarted; a
    scene at which that happens twice is given up.

    Args:
        instance: the server.
        router: gives turns where several renders share the server.
    """

    def __init__(self, instance: ComfyInstance, router: Router | None = None):
        self._instance, self._router = instance, router or Router()

    def render(
        self,
        plans: Sequence[RenderPlan],
        output: Path,
        on_progress: OnProgress,
        *,
        names: Sequence[str] | None = None,
        on_result: OnResult = lambda *_: None,
        cancel: Cancel | None = None,
        only_sheets: bool = False,
    ) -> list[Manifest]:
        """As `Renderer.render`.

        Args:
            names: of the stories' folders; the project ids, if left out.
            on_result: called with each file as soon as it is stored, and its key.
            cancel: ends the render when it is set.
            only_sheets: render the character sheets and nothing else; the manifests then say what is known of
                the scenes from before.

        Raises:
            Problems: the server lacks nodes or models; nothing was rendered.
            RenderError: something that all scenes need failed, or another render writes to the same folder.
            ServerError: our own server dies again and again.
            Cancelled: `cancel` was set.
        """
        folders = [output / name for name in names or [plan.story.project_id for plan in plans]]
        run = Run(plans, folders, self._instance, self._router, on_progress, on_result, cancel or Cancel())
        began = time.monotonic()
        for plan in plans:
            plan.upload(self._instance.comfy)
        graph = run.graph(only_sheets)
        check(graph, self._instance.comfy, plans)
        with contextlib.ExitStack() as locks:
            for folder in folders:
                locks.enter_context(locked(folder))
            try:
                run.keep_voices()
                while (graph.stills or graph.characters) and not run.submit(graph):
                    graph = run.graph(only_sheets)
            except (Cancelled, KeyboardInterrupt, RenderError):
                run.keep_first_takes()
                raise
            finally:
                seconds = {f"{phase}s": spent for phase, spent in run.tracker.spent.items()}
                if checks := run.tracker.checks_spent:
                    seconds["checks"] = checks
                seconds = {"total": time.monotonic() - began, **seconds}
                manifests = []
                for number, (plan, folder) in enumerate(zip(plans, folders, strict=True)):
                    describe = run.record.sheets_manifest if only_sheets else run.record.manifest
                    manifests.append(describe(plan, number, folder, seconds))
                    manifests[-1].write(folder)
        return manifests


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other renders out of a story's folder, until the end of this process at the latest.

    Raises:
        RenderError: another render writes to it.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RenderError(
                f"Another render of {folder.name} writes to {folder}: wait for it, stop it, or give another "
                "--output."
            ) from None
        except OSError as error:
            # Some network folders cannot lock; there two renders are not kept apart.
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        yield
