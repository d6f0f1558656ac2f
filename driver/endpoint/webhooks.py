"""Finished jobs, posted to the addresses that their clients named."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from ..fetch.guard import CONNECT_SECONDS, SILENT_SECONDS, Deadline, Refused, Session
from .jobs import Job

_PAUSES = (0.0, 10.0, 10.0)
"""Seconds before each attempt: RunPod retries twice."""
_SECONDS = 60.0
"""For one attempt."""
_MOST_AT_ONCE = 8

logger = logging.getLogger(__name__)


class Webhooks:
    """Posts finished jobs in the background."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_MOST_AT_ONCE)
        self._closed = threading.Event()

    def on_change(self, job: Job) -> None:
        """Posts the job if it has ended and its client wants that."""
        if job.final and job.request.webhook and not self._closed.is_set():
            task = asyncio.create_task(self._deliver(job.id, job.request.webhook, job.shown()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up what is not delivered yet."""
        self._closed.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, job_id: str, address: str, body: dict[str, Any]) -> None:
        content, reason = json.dumps(body).encode(), ""
        # Its path and query may be secret.
        host = urlsplit(address).netloc.rpartition("@")[2]
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                async with self._places:
                    reason = await asyncio.to_thread(self._post, address, content)
            except Refused as error:
                logger.warning("Job %s: the webhook at %s %s", job_id, host, error)
                return
            if not reason:
                return
            logger.warning("Job %s: the webhook at %s %s", job_id, host, reason)
        logger.warning("Job %s: the webhook at %s was given up: ask for the job's status", job_id, host)

    def _post(self, address: str, content: bytes) -> str:
        """Sends it; why that failed, or "". Raises Refused for a private address."""
        end = time.monotonic() + _SECONDS

        def check() -> None:
            if self._closed.is_set() or time.monotonic() > end:
                raise requests.Timeout

        try:
            with Deadline(check) as deadline, Session(deadline) as session:
                response = session.post(
                    address,
                    data=content,
                    headers={"Content-Type": "application/json"},
                    timeout=(CONNECT_SECONDS, SILENT_SECONDS),
                    stream=True,
                )
                status = response.status_code
                response.close()
        except (requests.RequestException, OSError, ValueError):
            return "cannot be reached, or the connection broke."
        return "" if 200 <= status < 300 else f"answered with the HTTP status {status}."
