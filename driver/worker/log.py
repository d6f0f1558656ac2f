"""The worker's log: one line for each event, as JSON unless a person reads it in a terminal."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Not read at runtime: the worker logs before it starts ComfyUI, and imports the rest meanwhile.
    from ..rendering.manifest import Manifest, Result

OnMessage = Callable[[dict[str, Any]], None]

_MOST = 10_000
"""Characters of a message. What a job names can be megabytes, and readers of logs break long lines."""

logger = logging.getLogger(__name__)


def set_up() -> None:
    """Writes what our own code logs to standard output, from level INFO, and warnings of all other code."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Plain() if sys.stdout.isatty() else _Json())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for package in ("driver", "story_studio", "comfyui"):
        logging.getLogger(package).setLevel(logging.INFO)


def event(name: str, message: str, job: str = "", level: int = logging.INFO, **fields: Any) -> None:
    """Logs an event.

    Args:
        name: what happened: `started`, `phase`, `rendered`, `finished`, `failed`, ...
        message: the same for people.
        job: RunPod's id of the job that it happened to.
        fields: numbers and names; no prompts, addresses or secrets.
    """
    about = {"requestId": job} if job else {}
    logger.log(level, message, extra={"fields": {"event": name, **about, **fields}})


def comfyui(line: str, job: str) -> None:
    """Logs a line of ComfyUI's log; `job` is the job that it is working on, if any."""
    if line.strip():
        about = {"event": "comfyui", **({"requestId": job} if job else {})}
        logging.getLogger("comfyui").info(line, extra={"fields": about})


def phase(name: str, percent: float = 0.0, **more: Any) -> dict[str, Any]:
    """A progress message of a phase in which ComfyUI does not work on the job."""
    return {"phase": name, "scene": "", "percent": percent, "seconds_left": None, **more}


class Phases:
    """Passes a job's progress messages on, and logs each new phase with the seconds of the one before."""

    def __init__(self, job: str, on_message: OnMessage):
        self._job, self._on_message = job, on_message
        self._phase, self._since = "", time.monotonic()

    def __call__(self, message: dict[str, Any]) -> None:
        """As the `on_message` of `Worker.run`."""
        if message["phase"] != self._phase:
            now = time.monotonic()
            before = {"after": self._phase, "seconds": round(now - self._since, 2)} if self._phase else {}
            self._phase, self._since = message["phase"], now
            event("phase", f"Phase: {self._phase}", self._job, phase=self._phase, **before)
        self._on_message(message)


def rendered(manifest: Manifest, job: str) -> None:
    """Logs what a render made, and what it found finished."""
    stills = _counts([scene.still for scene in manifest.scenes if scene.still])
    clips = _counts([scene.clip for scene in manifest.scenes if scene.clip])
    films = _counts([manifest.film] if manifest.film else [])
    verdicts = [scene.check.verdict for scene in manifest.scenes if scene.check]
    checks = {"checks": {verdict: verdicts.count(verdict) for verdict in set(verdicts)}} if verdicts else {}
    retakes = sum(len(scene.takes) - 1 for scene in manifest.scenes if scene.takes)
    shown = ", ".join(
        f"{kind}: {counts['made']} made, {counts['reused']} reused"
        for kind, counts in (("stills", stills), ("clips", clips), ("films", films))
    )
    event(
        "rendered",
        f"Rendered {shown}",
        job,
        status=manifest.status,
        stills=stills,
        clips=clips,
        films=films,
        failed=sum(scene.error is not None for scene in manifest.scenes),
        seconds=manifest.seconds,
        model_loads=manifest.model_loads,
        out_of_memory=manifest.out_of_memory,
        **checks,
        **({"retakes": retakes} if retakes else {}),
    )


def _counts(results: Sequence[Result]) -> dict[str, int]:
    reused = sum(result.reused for result in results)
    return {"made": len(results) - reused, "reused": reused}


class _Json(logging.Formatter):
    """The names of RunPod's own log lines, `requestId`, `message` and `level`, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "message": record.getMessage()[:_MOST],
            **getattr(record, "fields", {"event": "log"}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _Plain(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        job = getattr(record, "fields", {}).get("requestId")
        text = super().format(record)
        return text if job is None else f"{text[:9]}{job}: {text[9:]}"
