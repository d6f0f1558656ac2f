"""A client of one endpoint: jobs that survive lost connections, workers that are released again.

The README beside this file has an example. The endpoint is one of RunPod's, or `story-studio endpoint`.
"""

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
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ConnectTimeoutError

from story_studio.story.problems import Problem, Problems

from ..fetch.guard import is_loopback
from .transport import RETRY_ONCE, TIMEOUT, repeat_broken, session

KEY = "RUNPOD_API_KEY"
MAX_BYTES = 10_000_000
"""The largest job that the platform accepts."""
MAX_SILENCE = 20 * 60.0
"""Seconds for which a job's status may be unavailable; the platform keeps results for 30 minutes."""
_POLLS = (0.5, 5.0)
"""Seconds between two polls: at first, and at most while nothing changes."""
_FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


class EndpointError(Exception):
    """A request to the endpoint failed. The message says what to do, and does not contain the key."""


class NoAnswer(EndpointError):
    """No response, or one that says that the platform is overloaded.

    Attributes:
        received: whether the request may have been carried out all the same.
    """

    def __init__(self, message: str, received: bool):
        super().__init__(message)
        self.received = received


class JobState(NamedTuple):
    """A job's state on the platform.

    Attributes:
        id: the platform's id of the job.
        status: IN_QUEUE, IN_PROGRESS, or one of those that `ended` lists.
        output: its last progress message while it runs, and its result once it has ended; or None. The
            platform keeps a result for 30 minutes; the manifest that it names stays in the bucket.
        error: why it failed, or "".
        worker: the id of its worker, or "".
    """

    id: str
    status: str
    output: Any
    error: str
    worker: str

    @property
    def ended(self) -> bool:
        """Whether it is COMPLETED, FAILED, CANCELLED or TIMED_OUT, which are final."""
        return self.status in _FINAL


class Workers(NamedTuple):
    """The endpoint's limits: workers that are always kept ready, and workers at most."""

    min: int
    max: int


class Endpoint:
    """One endpoint, and the jobs on it. The key comes from RUNPOD_API_KEY.

    RUNPOD_ENDPOINT_BASE_URL replaces the address of RunPod itself, for another endpoint with the same API;
    RUNPOD_REST_URL the one at which its workers are set, if that is not the same.

    Requests that cannot have had an effect, or have the same effect twice, are repeated for a minute and a
    half while the platform is overloaded or cannot be reached. Its methods may be called from several
    threads, except that only the main thread is interrupted by signals in `raised`.

    Args:
        endpoint_id: the platform's id of it, letters and digits.

    Attributes:
        id: as given.
        local: whether it is on this machine, so that files it names are files here.

    Raises:
        Problems: the key or the id is missing or wrong.
    """

    def __init__(self, endpoint_id: str):
        key = os.environ.get(KEY, "").strip()
        problems = []
        if not key or not key.isascii() or not key.isprintable():
            problems.append(
                Problem(KEY, "is not set, or is not a key: create one in RunPod's settings, and set it.")
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", endpoint_id):
            problems.append(Problem("--endpoint", "is not an endpoint's id: copy it from its page."))
        if problems:
            raise Problems(problems)
        self.id = endpoint_id
        other = os.environ.get("RUNPOD_ENDPOINT_BASE_URL")
        base = other or "https://api.runpod.ai/v2"
        # Another place than RunPod has workers of its own.
        rest = os.environ.get("RUNPOD_REST_URL") or other or "https://api.runpod.io/v2"
        self.local = is_loopback(urlsplit(base).hostname or "")
        self._jobs = f"{base.rstrip('/')}/{endpoint_id}"
        self._rest = f"{rest.rstrip('/')}/serverless/{endpoint_id}"
        self._session = session()
        self._session.mount(f"{self._jobs}/run", HTTPAdapter(max_retries=RETRY_ONCE))
        self._session.auth = _Bearer(key)

    def health(self) -> dict[str, Any]:
        """The numbers of `jobs` and `workers` by state. Raises EndpointError."""
        return self._request("GET", f"{self._jobs}/health")

    def submit(self, job_input: dict[str, Any], execution: float, ttl: float, webhook: str = "") -> str:
        """Queues a job and returns its id.

        Args:
            job_input: the job's input: a task with its fields. With an `idempotency_key` in it, the same
                job may be submitted again, and has the same seed and the same addresses.
            execution: seconds for which it may run.
            ttl: seconds from now until it is ended, even in the queue; at most a week.
            webhook: the address to which the platform posts the ended job, or empty.

        Raises:
            Problems: it is larger than MAX_BYTES.
            EndpointError: it was not queued; or it may have been, as the message then says.
        """
        policy = {"executionTimeout": round(execution * 1000), "ttl": round(ttl * 1000)}
        job = {"input": job_input, "policy": policy} | ({"webhook": webhook} if webhook else {})
        size = len(json.dumps(job).encode())
        if size > MAX_BYTES:
            limit = f"{MAX_BYTES // 10**6} MB"
            what = f"is {size / 1e6:.1f} MB, and the platform accepts {limit}: use addresses instead of data."
            raise Problems([Problem("the job", what)])
        try:
            return str(self._request("POST", f"{self._jobs}/run", job)["id"])
        except NoAnswer as error:
            if not error.received:
                raise
            raise EndpointError(
                f"{error} The job may have been queued: look at the requests on the endpoint's page, and "
                "cancel it there or wait until it has ended; then run the same command again."
            ) from None

    def status(self, job: str) -> JobState:
        """The job's current state. Raises EndpointError."""
        return _state(self._request("GET", f"{self._jobs}/status/{job}"))

    def cancel(self, job: str) -> JobState:
        """Ends a job that waits or runs; one that has ended stays as it is. Raises EndpointError."""
        return _state(self._request("POST", f"{self._jobs}/cancel/{job}"))

    def follow(self, *jobs: str) -> Iterator[JobState]:
        """Each new state of the jobs, until all have ended. A lost connection loses no job.

        Raises:
            EndpointError: a job's status was unavailable for MAX_SILENCE, or the platform does not know the
                key or a job.
        """
        states: dict[str, JobState] = {}
        last_answers = dict.fromkeys(jobs, time.monotonic())
        pause = _POLLS[0]
        while last_answers:
            for job in list(last_answers):
                try:
                    state = self.status(job)
                except NoAnswer as error:
                    if time.monotonic() - last_answers[job] < MAX_SILENCE:
                        continue
                    raise NoAnswer(
                        f"{error} The job {job} continues there: run the same command again later to fetch "
                        "its results.",
                        error.received,
                    ) from None
                last_answers[job] = time.monotonic()
                if state != states.get(job):
                    pause, states[job] = _POLLS[0], state
                    yield state
                if state.ended:
                    del last_answers[job]
            if last_answers:
                time.sleep(pause)
                pause = min(pause * 1.5, _POLLS[1])

    def workers(self) -> Workers:
        """The endpoint's current limits. Raises EndpointError."""
        limits = self._request("GET", self._rest).get("workers") or {}
        try:
            return Workers(int(limits["min"]), int(limits["max"]))
        except (TypeError, KeyError, ValueError):
            raise EndpointError(f"The platform does not say how many workers {self.id} has.") from None

    @contextlib.contextmanager
    def raised(self, count: int, say: Callable[[str], None]) -> Iterator[None]:
        """Keeps `count` workers ready, or as many as the endpoint may have, and releases them at the end.

        Also after errors, Ctrl-C and SIGTERM. A minimum that is already higher stays.

        Args:
            count: 1 or more.
            say: called with a sentence if the minimum cannot be raised, which only makes the wait longer, or
                if someone else has changed it meanwhile.

        Raises:
            EndpointError: the workers could not be released; the message says what to set where.
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
                self._release(before.min, target, say, error)
                raise
            self._release(before.min, target, say, None)

    def _set_workers(self, least: int, most: int, say: Callable[[str], None]) -> None:
        try:
            self._request("PATCH", self._rest, {"workers": {"min": least, "max": most}})
        except EndpointError as error:
            say(f"The endpoint's workers are not kept ready: {error}")

    def _release(
        self, before: int, target: int, say: Callable[[str], None], reason: BaseException | None
    ) -> None:
        with undisturbed():
            try:
                now = self.workers()
                if now.min == target:
                    self._request("PATCH", self._rest, {"workers": {"min": before, "max": now.max}})
                elif now.min != before:
                    say(f"Someone else has set the active workers of {self.id} to {now.min}: that stays.")
            except EndpointError as error:
                first = f"{reason}\n" if isinstance(reason, EndpointError | Problems) else ""
                raise EndpointError(
                    f"{first}{error}\nThe endpoint {self.id} still keeps {target} active workers, which cost "
                    "money while they are idle. On its page at RunPod, under Edit Endpoint, set Active "
                    f"workers to {before}."
                ) from reason

    def _request(self, method: str, url: str, data: Any = None) -> dict[str, Any]:
        host = url.split("/")[2]

        def send() -> requests.Response:
            # A redirect would take the key elsewhere.
            return self._session.request(method, url, json=data, timeout=TIMEOUT, allow_redirects=False)

        try:
            # A job must not be queued twice.
            once = url.endswith("/run")
            response = send() if once else repeat_broken(send, requests.exceptions.ChunkedEncodingError)
        except requests.RequestException as error:
            # Without the exception itself, which says nothing that a user could act on.
            todo = "check the network, and RUNPOD_ENDPOINT_BASE_URL if it is set."
            message = f"{host} cannot be reached, or the connection broke: {todo}"
            raise NoAnswer(message, _may_have_arrived(error)) from None
        if not response.ok or response.is_redirect:
            self._refuse(response, host)
        try:
            answer = response.json()
        except requests.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise EndpointError(f"{host} does not answer as RunPod does: check the addresses in RUNPOD_.")
        return answer

    def _refuse(self, response: requests.Response, host: str) -> NoReturn:
        status = response.status_code
        if status == 429 or status >= 500:
            # These two say that the request was not served.
            raise NoAnswer(f"{host} is overloaded or down (HTTP status {status}).", status not in (429, 503))
        if status in (401, 403):
            raise EndpointError(
                f"{host} refuses the key in {KEY} (HTTP status {status}): check it and its permissions."
            )
        if status == 404 and re.search("/(status|cancel)/", response.url):
            raise EndpointError(
                "The platform does not know this job, or no longer: it keeps jobs for 30 minutes."
            )
        if status == 404:
            raise EndpointError(f"There is no endpoint {self.id} for this key: check --endpoint.")
        raise EndpointError(f"{host} refuses the request (HTTP status {status}){_reason(response)}")


class _Bearer(AuthBase):
    """The key, set here and not as a header, which a .netrc would replace."""

    def __init__(self, key: str):
        self._key = key

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = f"Bearer {self._key}"
        return r


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM raises KeyboardInterrupt; further ones do not interrupt the clean-up."""
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
    """The block runs to its end; a Ctrl-C or SIGTERM that arrives meanwhile takes effect after it."""
    received: list[int] = []
    try:
        with _handling(lambda number, _: received.append(number)):
            yield
    finally:
        if received:
            signal.raise_signal(received[0])


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread gets signals.
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, old in before.items():
        # A shell has its background processes ignore them: that stays.
        if old is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _may_have_arrived(error: requests.RequestException) -> bool:
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    # A proxy's error holds the one of the connection to the proxy.
    return not isinstance(getattr(reason, "original_error", reason), ConnectTimeoutError)


def _state(answer: dict[str, Any]) -> JobState:
    job, status, worker = (str(answer.get(name) or "") for name in ("id", "status", "workerId"))
    return JobState(job, status, answer.get("output"), _message(answer.get("error")), worker)


def _message(error: Any) -> str:
    """A job's error without the traceback that RunPod's worker library adds to it."""
    with contextlib.suppress(TypeError, ValueError):
        error = json.loads(error)
    if isinstance(error, dict):
        error = error.get("error_message", error)
    return str(error) if error else ""


def _reason(response: requests.Response) -> str:
    try:
        answer = response.json()
        text = answer.get("error") or answer.get("detail") or answer.get("message")
    except (requests.JSONDecodeError, AttributeError):
        text = None
    return f": {text[:300]}" if isinstance(text, str) else "."
