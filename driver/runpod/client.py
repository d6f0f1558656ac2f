"""A client of one RunPod endpoint: jobs that survive lost connections, workers that are given back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple, NoReturn

import requests
from requests.auth import AuthBase

from story_studio.story.problems import Problem, Problems

KEY = "RUNPOD_API_KEY"
MAX_BYTES = 10_000_000
"""What the platform takes as one job."""
PATIENCE = 20 * 60.0
"""Seconds without any answer about a job until it is no longer asked for: results are kept for 30 minutes."""
_SHORT_PATIENCE = 120.0
_TIMEOUT = (10, 60)
_POLLS = (0.5, 5.0)
"""Seconds between two questions about jobs: at first, and at most while nothing changes."""
_WAITS = (0.5, 30.0)
"""Seconds until something is asked again that was not answered: at first, and at most."""
_FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


class EndpointError(Exception):
    """The endpoint did not do what was asked of it: a sentence that says what to do, without the key."""


class NoAnswer(EndpointError):
    """No answer, or one that says that the platform is overloaded.

    Attributes:
        received: whether the request may have been taken all the same.
    """

    def __init__(self, what: str, received: bool):
        super().__init__(what)
        self.received = received


class JobState(NamedTuple):
    """A job as the platform tells it.

    Attributes:
        id: the platform's name for it.
        status: IN_QUEUE, IN_PROGRESS, or one of those that `ended` knows.
        output: while it runs its last progress message, at its end its answer; or None.
        error: why it failed, or "".
        worker: who does it, or "".
    """

    id: str
    status: str
    output: Any
    error: str
    worker: str

    @property
    def ended(self) -> bool:
        """Whether it is COMPLETED, FAILED, CANCELLED or TIMED_OUT, and nothing will change any more."""
        return self.status in _FINAL


class Workers(NamedTuple):
    """How many workers an endpoint keeps, and how many it may have."""

    min: int
    max: int


class Endpoint:
    """One endpoint. The key comes from RUNPOD_API_KEY.

    RUNPOD_ENDPOINT_BASE_URL and RUNPOD_REST_URL name another platform than RunPod's own.

    Args:
        endpoint_id: the platform's name for it, letters and digits.

    Raises:
        Problems: the key or the id is missing or wrong.
    """

    def __init__(self, endpoint_id: str):
        key = os.environ.get(KEY, "").strip()
        problems = []
        if not key or not key.isascii() or not key.isprintable():
            problems.append(
                Problem(KEY, "is not set, or is no key: create one in RunPod's settings, and set it.")
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", endpoint_id):
            problems.append(Problem("--endpoint", "is no endpoint's id: copy it from the endpoint's page."))
        if problems:
            raise Problems(problems)
        self.id = endpoint_id
        base = os.environ.get("RUNPOD_ENDPOINT_BASE_URL") or "https://api.runpod.ai/v2"
        rest = os.environ.get("RUNPOD_REST_URL") or "https://api.runpod.io/v2"
        self._jobs = f"{base.rstrip('/')}/{endpoint_id}"
        self._rest = f"{rest.rstrip('/')}/serverless/{endpoint_id}"
        self._session = requests.Session()
        self._session.auth = _Bearer(key)

    def health(self) -> dict[str, Any]:
        """How many `jobs` and `workers` there are, by state. Raises EndpointError."""
        return self._ask("GET", f"{self._jobs}/health")

    def submit(self, given: dict[str, Any], execution: float, ttl: float) -> str:
        """Queues a job; its id.

        Args:
            given: the job's input.
            execution: seconds that it may run.
            ttl: seconds from now until it is ended even while it waits or runs; at most a week.

        Raises:
            Problems: it is larger than MAX_BYTES.
            EndpointError: it is not queued, or may be queued, which the sentence then says.
        """
        policy = {"executionTimeout": round(execution * 1000), "ttl": round(ttl * 1000)}
        job = {"input": given, "policy": policy}
        size = len(json.dumps(job).encode())
        if size > MAX_BYTES:
            most = MAX_BYTES // 10**6
            what = f"has {size / 1e6:.1f} MB, and the platform takes {most}: give addresses, not data."
            raise Problems([Problem("the job", what)])
        try:
            return str(self._ask("POST", f"{self._jobs}/run", job, once=True)["id"])
        except NoAnswer as error:
            if not error.received:
                raise
            raise EndpointError(
                f"{error} Whether the job was taken is not known: look at the requests on the endpoint's "
                "page and cancel it there, or wait for its end; then run the same command again."
            ) from None

    def status(self, job: str) -> JobState:
        """The job's present state. Raises EndpointError."""
        return self._status(job, _SHORT_PATIENCE)

    def cancel(self, job: str) -> JobState:
        """Ends a job that waits or runs; one that has ended stays as it is. Raises EndpointError."""
        return _state(self._ask("POST", f"{self._jobs}/cancel/{job}"))

    def follow(self, *jobs: str) -> Iterator[JobState]:
        """Each new state of the jobs until all have ended, their ends included.

        What is not answered is asked again: a lost connection loses no job.

        Raises:
            EndpointError: nothing was answered for PATIENCE, or the platform does not know the key or a job.
        """
        known: dict[str, JobState] = {}
        pause = _POLLS[0]
        while True:
            for job in jobs:
                if job in known and known[job].ended:
                    continue
                state = self._status(job, PATIENCE)
                if state != known.get(job):
                    pause, known[job] = _POLLS[0], state
                    yield state
            if all(state.ended for state in known.values()):
                return
            time.sleep(pause)
            pause = min(pause * 1.5, _POLLS[1])

    def workers(self) -> Workers:
        """The present limits of the endpoint's workers. Raises EndpointError."""
        told = self._ask("GET", self._rest).get("workers") or {}
        try:
            return Workers(int(told["min"]), int(told["max"]))
        except (TypeError, KeyError, ValueError):
            raise EndpointError(f"The platform does not tell how many workers {self.id} has.") from None

    @contextlib.contextmanager
    def raised(self, count: int, say: Callable[[str], None]) -> Iterator[None]:
        """Keeps at least `count` workers ready, as far as the endpoint may have so many, and gives them back.

        Given back also after errors, Ctrl-C and SIGTERM. A minimum that is higher already stays.

        Args:
            count: from 1.
            say: told if the workers cannot be raised, which only makes the wait longer, or were changed
                meanwhile by someone else.

        Raises:
            EndpointError: they could not be given back; it says what to set where.
        """
        try:
            before = self.workers()
        except EndpointError as error:
            say(f"The endpoint's workers are not kept ready: {error}")
            yield
            return
        target = min(count, before.max)
        if target <= before.min:
            yield
            return
        with stoppable():
            try:
                self._set_workers(target, before.max, say)
                yield
            except BaseException as error:
                self._give_back(before.min, target, say, error)
                raise
            self._give_back(before.min, target, say, None)

    def _set_workers(self, least: int, most: int, say: Callable[[str], None]) -> None:
        try:
            self._ask("PATCH", self._rest, {"workers": {"min": least, "max": most}})
        except EndpointError as error:
            say(f"The endpoint's workers are not kept ready: {error}")

    def _give_back(
        self, before: int, target: int, say: Callable[[str], None], reason: BaseException | None
    ) -> None:
        with undisturbed():
            try:
                now = self.workers()
                if now.min == target:
                    self._ask("PATCH", self._rest, {"workers": {"min": before, "max": now.max}})
                elif now.min != before:
                    say(
                        f"Someone else has set the minimum of workers of {self.id} to {now.min}: it stays so."
                    )
            except EndpointError as error:
                first = f"{reason}\n" if isinstance(reason, EndpointError | Problems) else ""
                raise EndpointError(
                    f"{first}{error}\nThe endpoint {self.id} still keeps {target} active workers, which cost "
                    "money without work. On its page at RunPod, under Edit Endpoint, set Active workers to "
                    f"{before}."
                ) from reason

    def _status(self, job: str, patience: float) -> JobState:
        try:
            return _state(self._ask("GET", f"{self._jobs}/status/{job}", patience=patience))
        except NoAnswer as error:
            raise NoAnswer(
                f"{error} The job {job} goes on there: run the same command again later, which finds what it "
                "has made.",
                error.received,
            ) from None

    def _ask(
        self,
        method: str,
        url: str,
        data: Any = None,
        *,
        patience: float | None = None,
        once: bool = False,
    ) -> dict[str, Any]:
        """The answer to a request, which is repeated while it gets none.

        `once`: not if it may have been taken, because it would be done twice.
        """
        patience = _SHORT_PATIENCE if patience is None else patience
        deadline, wait = time.monotonic() + patience, _WAITS[0]
        while True:
            try:
                return self._ask_once(method, url, data)
            except NoAnswer as error:
                if time.monotonic() + wait > deadline or (once and error.received):
                    raise
            time.sleep(wait)
            wait = min(wait * 2, _WAITS[1])

    def _ask_once(self, method: str, url: str, data: Any) -> dict[str, Any]:
        host = url.split("/")[2]
        try:
            # A redirect would carry the key elsewhere.
            response = self._session.request(method, url, json=data, timeout=_TIMEOUT, allow_redirects=False)
        except requests.RequestException as error:
            unsent = isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in repr(error)
            # Without the error itself, which tells nothing that a person could use.
            raise NoAnswer(f"{host} cannot be reached, or the connection broke off.", not unsent) from None
        if not response.ok or response.is_redirect:
            self._refused(response, host)
        try:
            told = response.json()
        except requests.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            raise EndpointError(f"{host} does not answer as RunPod does: check the addresses in RUNPOD_.")
        return told

    def _refused(self, response: requests.Response, host: str) -> NoReturn:
        status = response.status_code
        if status == 429 or status >= 500:
            # Who is told to come later, or that nobody is there, was not served.
            raise NoAnswer(f"{host} is overloaded or down (HTTP status {status}).", status not in (429, 503))
        if status in (401, 403):
            raise EndpointError(
                f"{host} refuses the key in {KEY} (HTTP status {status}): check it, and that it may do this."
            )
        if status == 404 and re.search("/(status|cancel)/", response.url):
            raise EndpointError("The platform does not know this job (any more): it keeps it for 30 minutes.")
        if status == 404:
            raise EndpointError(f"There is no endpoint {self.id} for this key: check --endpoint.")
        said = _reason(response)
        raise EndpointError(f"{host} refuses the request (HTTP status {status}){said}")


class _Bearer(AuthBase):
    """The key, set here and not as a header, which a .netrc would replace."""

    def __init__(self, key: str):
        self._key = key

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._key}"
        return r


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM in it raises KeyboardInterrupt; more do not disturb what cleans up then."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            raise KeyboardInterrupt

    with _handling(stop):
        yield


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is in it is done to its end; a Ctrl-C or SIGTERM that comes meanwhile takes effect then."""
    came: list[int] = []
    with _handling(lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread gets signals.
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one, old in before.items():
        # Whoever is deaf to it, as what runs in a shell's background, stays so.
        if old is not signal.SIG_IGN:
            signal.signal(one, handler)
    try:
        yield
    finally:
        for one, old in before.items():
            signal.signal(one, old)


def _state(told: dict[str, Any]) -> JobState:
    job, status, worker = (str(told.get(name) or "") for name in ("id", "status", "workerId"))
    return JobState(job, status, told.get("output"), _words(told.get("error")), worker)


def _words(error: Any) -> str:
    """A job's error without the traceback that the platform's own worker loop packs into it."""
    with contextlib.suppress(TypeError, ValueError):
        error = json.loads(error)
    if isinstance(error, dict):
        error = error.get("error_message", error)
    return str(error) if error else ""


def _reason(response: requests.Response) -> str:
    try:
        told = response.json()
        text = told.get("error") or told.get("detail") or told.get("message")
    except (requests.JSONDecodeError, AttributeError):
        text = None
    return f": {text[:300]}" if isinstance(text, str) else "."
