"""A real S3 server, SeaweedFS, on loopback; and a proxy in front of it that fails on demand."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import requests
from botocore.config import Config

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret/key+only"
READER_KEY, READER_SECRET = "test-reader-key", "test-reader/secret+only"
BUCKET = "films"


class Proxy(ThreadingHTTPServer):
    """An HTTP proxy to one server. Signatures stay valid, because it leaves the Host header alone.

    Attributes:
        url: its address.
        refusals: how many more requests it answers with 503; -1 for all of them.
        cuts: how many more bodies of requests and responses it cuts in the middle.
        flips: how many more request bodies it damages.
        seconds: how long it waits before each response.
        asked: method and path of each request since it was last cleared.
    """

    daemon_threads = True

    def __init__(self, target: str):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.url = urlsplit(target), f"http://127.0.0.1:{self.server_port}"
        self.refusals = self.cuts = self.flips = 0
        self.seconds = 0.0
        self.asked: list[str] = []
        self._lock = threading.Lock()

    def take(self, fault: str) -> bool:
        """Whether the next request is to have this fault."""
        with self._lock:
            left = getattr(self, fault)
            if left > 0:
                setattr(self, fault, left - 1)
            return left != 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _relay(self) -> None:
        proxy = self.server
        proxy.asked.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(proxy.seconds)
        if proxy.take("refusals"):
            return self._answer(503, {}, b"")
        if body and proxy.take("cuts"):
            self.close_connection = True
            return
        if body and proxy.take("flips"):
            body = bytes([body[0] ^ 1]) + body[1:]
        target = http.client.HTTPConnection(proxy.target.hostname or "", proxy.target.port, timeout=60)
        target.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection"):
                target.putheader(name, value)
        target.endheaders(body)
        response = target.getresponse()
        data = response.read()
        target.close()
        self._answer(response.status, dict(response.getheaders()), data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        length = headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
        for name, value in {**headers, "Content-Length": length or "0"}.items():
            if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if len(data) > 2**16 and self.server.take("cuts"):
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def log_message(self, format: str, *args: object) -> None:
        pass


class S3Server:
    """A running SeaweedFS with one bucket, `films`.

    Attributes:
        url: its address.
        client: a separate client, for what a test does behind the store's back.
    """

    def __init__(self, url: str):
        self.url = url
        self.client = boto3.Session().client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
            config=Config(signature_version="s3v4"),
        )

    @contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """A proxy in front of it."""
        with Proxy(self.url) as proxy:
            threading.Thread(target=proxy.serve_forever, daemon=True).start()
            yield proxy
            proxy.shutdown()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Runs one that keeps its files in `folder`; with the owner's key, and one that may only read."""
    keys = [
        ("owner", ACCESS_KEY, SECRET_KEY, ["Admin", "Read", "Write", "List"]),
        ("reader", READER_KEY, READER_SECRET, [f"Read:{BUCKET}", f"List:{BUCKET}"]),
    ]
    identities = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, key, secret, actions in keys
    ]
    (folder / "keys.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    ports = _free_ports(8)
    parts = ("s3", "filer", "volume", "master")
    flags = [f"-{part}.port={ports.pop()}" for part in parts] + [
        f"-{part}.port.grpc={ports.pop()}" for part in parts
    ]
    flags += ["-s3", f"-s3.config={folder / 'keys.json'}", "-s3.autoCreateBucket=false"]
    flags += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.localSocket={folder / 's3.sock'}"]
    flags += [f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=0"]
    flags += [f"-filer.localSocket={folder / 'filer.sock'}", "-master.telemetry=false"]
    command = [str(Path(sys.executable).with_name("weed")), "-logtostderr=true", "server", *flags]
    url = f"http://127.0.0.1:{flags[0].rpartition('=')[2]}"
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait(url, process, folder / "log")
            server = S3Server(url)
            server.client.create_bucket(Bucket=BUCKET)
            yield server
        finally:
            process.kill()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if requests.get(f"{url}/healthz", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"SeaweedFS does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
