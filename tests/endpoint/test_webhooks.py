"""Webhooks: addresses that are refused, servers that fail."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from driver.endpoint import webhooks
from driver.endpoint.jobs import Jobs
from driver.endpoint.protocol import parse_request
from driver.fetch.guard import ALLOW_PRIVATE
from story_studio.story.problems import Problems


class Receiver(ThreadingHTTPServer):
    """Takes posts, and answers them with these statuses in turn, and then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.bodies: list[dict[str, str]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhooks, "_PAUSES", (0.0, 0.0, 0.0))
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def end_a_job(address: str) -> None:
    """A job with this webhook ends, and all attempts to deliver it are over."""

    async def run() -> None:
        hooks = webhooks.Webhooks()
        jobs = Jobs(hooks.on_change)
        body = {"input": {"task": "image"}, "webhook": address}
        jobs.stop(jobs.submit(parse_request(json.dumps(body).encode()), "image"))
        await asyncio.gather(*hooks._tasks)

    asyncio.run(run())


def test_a_private_address_is_refused_unless_it_is_allowed(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}/secret-path?token=secret"
    monkeypatch.delenv(ALLOW_PRIVATE, raising=False)
    end_a_job(address)
    assert receiver.bodies == []
    assert "private address" in caplog.text and "secret" not in caplog.text
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    end_a_job(address)
    assert [body["status"] for body in receiver.bodies] == ["CANCELLED"]


def test_it_is_tried_three_times(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setenv(ALLOW_PRIVATE, "1")
    receiver.statuses = [500, 302]
    end_a_job(f"http://127.0.0.1:{receiver.server_port}/")
    assert len(receiver.bodies) == 3 and "given up" not in caplog.text
    receiver.statuses = [500] * 9
    end_a_job(f"http://127.0.0.1:{receiver.server_port}/")
    assert len(receiver.bodies) == 6 and "given up" in caplog.text


@pytest.mark.parametrize("webhook", ["", "ftp://host/x", "file:///etc/passwd", "host/x", "x\nhttp://host"])
def test_what_is_no_address_is_refused_as_such(webhook: str) -> None:
    body = json.dumps({"input": {}, "webhook": webhook}).encode()
    with pytest.raises(Problems, match="webhook: is not an http or https address: begin it with https://"):
        parse_request(body)
