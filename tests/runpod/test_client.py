"""The endpoint's client against a platform on loopback that fails as the test wants."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driver.runpod import client as endpoints
from driver.runpod import transport
from driver.runpod.client import Endpoint, EndpointError, NoAnswer, stoppable, undisturbed
from story_studio.story.problems import Problems
from tests.runpod_platform import ENDPOINT, KEY, Platform

JOB = {"task": "image", "prompt": "a lamp"}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    with Platform() as platform:
        for name, value in platform.client_environment().items():
            monkeypatch.setenv(name, value)
        yield platform


@pytest.fixture
def endpoint(platform: Platform) -> Endpoint:
    return Endpoint(ENDPOINT)


def work(platform: Platform, *bodies: dict[str, Any]) -> str:
    """Takes the next job like a worker, and posts these bodies."""
    (job,) = platform.take("hand", 1, lambda: True)
    for body in bodies:
        platform.post("hand", job["id"], body)
    return job["id"]


def ignore(_: str) -> None:
    pass


def min_workers(platform: Platform) -> int:
    return platform.endpoint["workers"]["min"]


def test_a_job_has_its_input_and_limits(platform: Platform, endpoint: Endpoint) -> None:
    job = endpoint.submit(JOB, 90.5, 3600)
    given = platform.bodies[job]
    assert given == {"input": JOB, "policy": {"executionTimeout": 90_500, "ttl": 3_600_000}}
    assert endpoint.status(job).status == "IN_QUEUE"
    assert endpoint.health()["jobs"]["inQueue"] == 1
    assert endpoint.cancel(job).status == endpoint.status(job).status == "CANCELLED"


def test_progress_and_end_come_through_lost_connections_and_refusals(
    platform: Platform, endpoint: Endpoint
) -> None:
    job = endpoint.submit(JOB, 60, 60)
    states = endpoint.follow(job)
    assert next(states).status == "IN_QUEUE"
    platform.drop_next(1)
    platform.fail_next(1, 503)
    platform.fail_next(1, 429)
    work(platform, {"status": "IN_PROGRESS", "output": {"phase": "stills"}})
    state = next(states)
    assert (state.status, state.output, state.worker) == ("IN_PROGRESS", {"phase": "stills"}, "hand")
    platform.fail_next(1, 502)
    platform.post("hand", job, {"output": {"made": 1}})
    assert [(state.status, state.output, state.ended) for state in states] == [
        ("COMPLETED", {"made": 1}, True)
    ]


def test_a_response_that_breaks_off_is_requested_again(platform: Platform, endpoint: Endpoint) -> None:
    platform.break_next(2)
    assert endpoint.health()["jobs"]["inQueue"] == 0
    assert len(platform.asked) == 3


def test_a_job_is_not_queued_twice_when_the_response_breaks_off(
    platform: Platform, endpoint: Endpoint
) -> None:
    platform.break_next(1)
    with pytest.raises(EndpointError, match="may"):
        endpoint.submit(JOB, 60, 60)
    assert len(platform.jobs) == 1


def test_several_jobs_are_followed_to_the_end_of_each(platform: Platform, endpoint: Endpoint) -> None:
    jobs = [endpoint.submit(JOB, 60, 60) for _ in range(3)]
    work(platform, {"output": 1})
    work(platform, {"error": "no room"})
    platform.stop(platform.jobs[jobs[2]], "TIMED_OUT")
    ends = {state.id: (state.status, state.error) for state in endpoint.follow(*jobs) if state.ended}
    assert ends == dict(zip(jobs, [("COMPLETED", ""), ("FAILED", "no room"), ("TIMED_OUT", "")], strict=True))


def test_a_handler_s_exception_is_shown_without_its_traceback(platform: Platform, endpoint: Endpoint) -> None:
    job = endpoint.submit(JOB, 60, 60)
    work(
        platform, {"error": '{"error_type": "KeyError", "error_message": "no lamp", "error_traceback": "T"}'}
    )
    assert endpoint.status(job).error == "no lamp"


def test_a_requeued_job_is_still_followed(platform: Platform, endpoint: Endpoint) -> None:
    job = endpoint.submit(JOB, 60, 60)
    states = endpoint.follow(job)
    work(platform)
    assert next(states).status == "IN_PROGRESS"
    platform.requeue(job)
    assert next(states).status == "IN_QUEUE"
    work(platform, {"output": 1})
    assert [state.status for state in states] == ["COMPLETED"]


def test_a_job_is_followed_through_a_long_outage(
    platform: Platform, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [endpoint.submit(JOB, 60, 60) for _ in range(2)]
    work(platform, {"output": 1})
    work(platform, {"output": 2})
    # A longer outage than the retries of a single request cover.
    monkeypatch.setattr(transport, "RETRY", transport.RETRY.new(total=0))
    platform.fail_next(1, 500)
    platform.drop_next(2)
    states = Endpoint(ENDPOINT).follow(*jobs)
    assert {state.id: state.output for state in states} == dict(zip(jobs, (1, 2), strict=True))


def test_it_gives_up_after_the_maximum_silence(
    platform: Platform, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = endpoint.submit(JOB, 60, 60)
    monkeypatch.setattr(endpoints, "MAX_SILENCE", 1.0)
    monkeypatch.setattr(transport, "RETRY", transport.RETRY.new(total=0))
    platform.fail_next(100, 500)
    with pytest.raises(NoAnswer, match=f"HTTP status 500.*{job} continues there"):
        list(Endpoint(ENDPOINT).follow(job))


def test_a_job_is_not_submitted_twice(platform: Platform, endpoint: Endpoint) -> None:
    platform.drop_next(1, handled=True)
    with pytest.raises(EndpointError, match="The job may have been queued"):
        endpoint.submit(JOB, 60, 60)
    assert len(platform.jobs) == 1
    platform.fail_next(1, 502)
    with pytest.raises(EndpointError, match="HTTP status 502.* The job may have been queued"):
        endpoint.submit(JOB, 60, 60)
    assert len(platform.asked) == 2
    # These say that the request was not carried out.
    platform.fail_next(1, 429)
    platform.fail_next(1, 503)
    endpoint.submit(JOB, 60, 60)
    assert len(platform.jobs) == 2


@pytest.mark.parametrize("unreachable", ["RUNPOD_ENDPOINT_BASE_URL", "HTTP_PROXY"])
def test_a_job_that_cannot_have_arrived_is_reported_as_such(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, unreachable: str
) -> None:
    monkeypatch.setattr(endpoints, "RETRY_ONCE", transport.RETRY_ONCE.new(total=1))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(unreachable, "http://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="cannot be reached") as caught:
        Endpoint(ENDPOINT).submit(JOB, 60, 60)
    assert not caught.value.received and "queued" not in str(caught.value)


def test_retry_after_is_heeded(platform: Platform, endpoint: Endpoint) -> None:
    platform.retry_after = "1"
    platform.fail_next(1, 429)
    begun = time.monotonic()
    endpoint.health()
    # Without the header the first retry is immediate.
    assert time.monotonic() - begun >= 1
    assert len(platform.asked) == 2


def test_a_wrong_key_or_id_is_reported_at_once_and_without_the_key(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EndpointError, match="no endpoint elsewhere .* check --endpoint"):
        Endpoint("elsewhere").health()
    with pytest.raises(EndpointError, match="does not know this job"):
        Endpoint(ENDPOINT).status("gone-u1")
    monkeypatch.setenv("RUNPOD_API_KEY", "secret-but-wrong")
    with pytest.raises(EndpointError, match="refuses the key in RUNPOD_API_KEY") as caught:
        list(Endpoint(ENDPOINT).follow("some-u1"))
    assert "secret-but-wrong" not in "".join(traceback.format_exception(caught.value))
    assert len(platform.asked) == 3
    monkeypatch.delenv("RUNPOD_API_KEY")
    with pytest.raises(Problems) as problems:
        Endpoint("../../v1")
    assert [problem.where for problem in problems.value.problems] == ["RUNPOD_API_KEY", "--endpoint"]


def test_a_netrc_does_not_replace_the_key(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert Endpoint(ENDPOINT).health()["jobs"]["inQueue"] == 0


def test_a_job_that_is_too_large_is_not_sent(platform: Platform, endpoint: Endpoint) -> None:
    with pytest.raises(Problems, match=r"is 10\.\d MB, and the platform accepts 10"):
        endpoint.submit({"image": "x" * 10_000_000}, 60, 60)
    assert platform.asked == []


def test_workers_are_raised_and_released(platform: Platform, endpoint: Endpoint) -> None:
    said: list[str] = []
    with endpoint.raised(2, said.append):
        assert min_workers(platform) == 2
    assert (platform.scales, said) == ([2, 0], [])
    # No more than the endpoint may have.
    with endpoint.raised(9, said.append):
        assert min_workers(platform) == 3
    assert platform.endpoint["workers"] == {"min": 0, "max": 3, "idleTimeout": 5}


def test_a_minimum_that_is_higher_stays(platform: Platform, endpoint: Endpoint) -> None:
    platform.endpoint["workers"]["min"] = 2
    with endpoint.raised(1, ignore):
        assert min_workers(platform) == 2
    assert platform.scales == [] and min_workers(platform) == 2


def test_a_change_by_someone_else_stays(platform: Platform, endpoint: Endpoint) -> None:
    said: list[str] = []
    with endpoint.raised(1, said.append):
        platform.endpoint["workers"]["min"] = 3
    assert min_workers(platform) == 3
    assert "Someone else has set" in said[0]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_workers_are_released_after_errors(
    platform: Platform, endpoint: Endpoint, error: type[BaseException]
) -> None:
    with pytest.raises(error), endpoint.raised(1, ignore):
        platform.drop_next(1)
        platform.fail_next(1, 503)
        raise error
    assert platform.scales == [1, 0]


def test_a_raise_whose_response_was_lost_is_undone(platform: Platform, endpoint: Endpoint) -> None:
    with endpoint.raised(1, ignore):
        pass
    platform.scales.clear()
    meet = platform.next_fault

    def lose(asked: str) -> int | None:
        # The response to PATCH is lost after it took effect.
        return meet(asked) or (1 if asked.startswith("PATCH") and not platform.scales else None)

    platform.next_fault = lose
    with endpoint.raised(1, ignore):
        assert min_workers(platform) == 1
    assert platform.scales == [1, 1, 0]


def test_workers_that_cannot_be_released_are_reported_with_what_to_do(
    platform: Platform, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "RETRY", transport.RETRY.new(total=1))
    with pytest.raises(EndpointError) as caught, Endpoint(ENDPOINT).raised(2, ignore):
        platform.fail_next(100, 500)
        raise EndpointError("The job was lost.")
    said = str(caught.value)
    assert "The job was lost." in said
    assert f"{ENDPOINT} still keeps 2 active workers" in said and "set Active workers to 0" in said


def test_without_permission_to_raise_workers_it_is_only_slower(
    platform: Platform, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    platform.fail_next(1, 403)
    with endpoint.raised(1, said.append):
        assert min_workers(platform) == 0
    assert "are not kept ready" in said[0] and KEY not in said[0]
    assert platform.scales == []


def test_sigterm_releases_the_workers_and_a_second_ctrl_c_does_not_interrupt_that(
    platform: Platform, endpoint: Endpoint
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), endpoint.raised(1, ignore):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(5)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
    assert platform.scales == [1, 0]
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_undisturbed_block_ends_before_ctrl_c_takes_effect() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), stoppable():
        with undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)
        done.append(2)
    assert done == [1]
