"""A real server behind a proxy: logins, websockets that do not work, failures that pass, secrets kept."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import ssl
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from driver.cli import main
from driver.comfy.client import Comfy
from driver.comfy.connection import HEADERS, ComfyError, Unreachable, headers_from_environment
from driver.comfy.errors import Stuck
from driver.comfy.events import Executed, Executing, Finished, Progress
from driver.comfy.process import Server
from driver.terminal import FAILED, OK
from tests.comfy.proxy import Proxy, Sockets

WriteStory = Callable[..., Path]
NODES = """
import time

import comfy.model_management
import comfy.utils

class Slow:
    INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",), "steps": ("INT",)}})
    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "run", "test"
    SHOWS = True

    def run(self, image, steps):
        bar = comfy.utils.ProgressBar(steps)
        for _ in range(steps):
            time.sleep(0.1)
            comfy.model_management.throw_exception_if_processing_interrupted()
            if self.SHOWS:
                bar.update(1)
        return (image,)

class Hanging(Slow):
    SHOWS = False

NODE_CLASS_MAPPINGS = {"Slow": Slow, "Hanging": Hanging}
"""
SECRET = "s3cr/t:p@ss wörd"
QUOTED = "s3cr%2Ft%3Ap%40ss%20w%C3%B6rd"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("proxied")
    (workspace / "custom_nodes").mkdir()
    (workspace / "custom_nodes" / "slow.py").write_text(NODES)
    with Server(workspace, workspace / "output", extra_flags=("--cpu",)) as server:
        yield server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of this machine are reached directly, also those that do not look like it."""
    monkeypatch.setenv("no_proxy", "*")


def slow(steps: int, node: str = "Slow") -> dict[str, dict[str, Any]]:
    colour = uuid.uuid4().int % 0xFFFFFF
    image = {"width": 64, "height": 32, "batch_size": 1, "color": colour}
    return {
        "1": {"class_type": "EmptyImage", "inputs": image},
        "2": {"class_type": node, "inputs": {"image": ["1", 0], "steps": steps}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "image"}},
    }


def steps(events: list[Any]) -> list[float]:
    return [event.value for event in events if isinstance(event, Progress) and event.node == "2"]


def succeeded(events: list[Any]) -> bool:
    return isinstance(events[-1], Finished) and events[-1].status == "success"


def secrets(text: str) -> list[str]:
    return [part for part in (SECRET, QUOTED, BASIC, BASIC[6:], "s3cr") if part in text]


@pytest.mark.parametrize(
    ("sockets", "seconds", "quiet", "warns"),
    [("pass", 4, None, False), ("cut", 4, None, False), ("refuse", 16, 10, True), ("swallow", 28, 22, True)],
)
def test_a_prompt_shows_progress_and_finishes(
    server: Server, sockets: Sockets, seconds: int, quiet: float | None, warns: bool
) -> None:
    warnings: list[str] = []
    with Proxy(server.port, sockets=sockets) as proxy:
        comfy = Comfy(proxy.url, say=warnings.append)
        # A prompt without a sign of life would be given up before its end.
        events = list(comfy.run(slow(10 * seconds), quiet=quiet))
        again = list(comfy.run(slow(30)))
    assert succeeded(events) and succeeded(again)
    assert Executing("2") in events
    assert len(steps(events)) >= 2 and steps(events) == sorted(set(steps(events)))
    assert len(warnings) == warns
    assert not warns or f"The websocket of ComfyUI at {proxy.url} does not work" in warnings[0]
    assert not warns or warnings[0].endswith("progress is asked for every few seconds.")
    assert (proxy.opened > 0) == (sockets != "refuse")


def test_a_prompt_that_hangs_is_noticed_without_a_websocket(server: Server) -> None:
    with Proxy(server.port, sockets="refuse") as proxy:
        comfy, prompt_id = Comfy(proxy.url), str(uuid.uuid4())
        with pytest.raises(Stuck, match="no sign of life"):
            list(comfy.run(slow(3000, "Hanging"), prompt_id=prompt_id, quiet=5))
        assert comfy.cancel(prompt_id)


def test_a_server_without_progress_is_not_taken_to_hang(server: Server) -> None:
    """As of a node pack that is older."""
    warnings: list[str] = []
    with Proxy(server.port, sockets="refuse") as proxy:
        proxy.answer = lambda request: 404 if "/story_studio/" in request.path else 0
        events = list(Comfy(proxy.url, say=warnings.append).run(slow(100), quiet=6))
    assert [type(event) for event in events] == [Executed, Finished]
    assert len(warnings) == 1
    assert "status 403" in warnings[0] and warnings[0].endswith("progress is unknown until it has finished.")


def test_a_refused_websocket_is_not_tried_all_the_time(server: Server) -> None:
    with Proxy(server.port, sockets="refuse") as proxy:
        prompt_id = str(uuid.uuid4())
        list(Comfy(proxy.url).run(slow(150), prompt_id=prompt_id))
    assert 2 <= proxy.paths().count("/ws") < proxy.paths().count(f"/history/{prompt_id}")


LOGINS: dict[str, tuple[dict[str, str], str, str]] = {
    "in the address": ({"Authorization": BASIC}, f"me:{QUOTED}@", ""),
    "token": ({"Authorization": "Bearer s3cr-token"}, "", "Authorization: Bearer s3cr-token"),
    "cookie": ({"Cookie": "session=s3cr"}, "", "Cookie: session=s3cr"),
    "two headers": (
        {"CF-Access-Client-Id": "me", "CF-Access-Client-Secret": "s3cr"},
        "",
        "CF-Access-Client-Id: me\n\n cf-access-client-secret:s3cr\n",
    ),
    "address and header": ({"Authorization": BASIC, "X-Key": "s3cr"}, f"me:{QUOTED}@", "X-Key: s3cr"),
}


@pytest.mark.parametrize("name", LOGINS)
def test_socket_and_requests_log_in(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    login, userinfo, headers = LOGINS[name]
    monkeypatch.setenv(HEADERS, headers)
    with Proxy(server.port, login=login, prefix="/comfy") as proxy:
        address = proxy.url.replace("://", f"://{userinfo}") + "/"
        comfy = Comfy(address, headers=headers_from_environment())
        assert not secrets(comfy.url)
        events = list(comfy.run(slow(10)))
    assert len(steps(events)) > 3 and succeeded(events)
    assert proxy.opened == 1


def test_a_login_from_netrc(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.2 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    basic = "Basic " + base64.b64encode(b"me:s3cret").decode()
    with Proxy(server.port, "127.0.0.2", login={"Authorization": basic}) as proxy:
        assert len(steps(list(Comfy(proxy.url).run(slow(10))))) > 3
        assert proxy.opened == 1
    with Proxy(server.port, "127.0.0.2", login={"Authorization": "Bearer mine"}) as proxy:
        # A header of the user's own is not replaced.
        Comfy(proxy.url, headers={"authorization": "Bearer mine"}).stats()


def test_a_certificate_of_their_own(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    for host in ("127.0.0.1", "127.0.0.2"):
        with Proxy(server.port, host, context=context) as proxy:
            monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
            with pytest.raises(Unreachable, match="not trusted.*REQUESTS_CA_BUNDLE"):
                Comfy(proxy.url).stats()
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            assert len(steps(list(Comfy(proxy.url).run(slow(10))))) > 3
            assert proxy.opened == 1


@pytest.mark.parametrize(("status", "sockets"), [(502, "refuse"), (429, "pass")])
def test_a_render_survives_a_proxy_whose_server_is_gone_for_moments(
    server: Server, status: int, sockets: Sockets, write_story: WriteStory, tmp_path: Path
) -> None:
    """Every second request fails, uploads, submission and downloads included."""
    story = write_story([0.5, 0.6], "draft", project_id=f"flaky_{status}_{sockets}")
    with Proxy(server.port, sockets=sockets) as proxy:
        proxy.answer = lambda _: status if len(proxy.requests) % 2 else 0
        assert main(["render", str(story), "--server", proxy.url, "--output", str(tmp_path / "out")]) == OK
        submitted = [
            headers for method, path, headers in proxy.requests if (method, path) == ("POST", "/prompt")
        ]
    assert 1 <= len(submitted) <= 2
    assert {path.name for path in (tmp_path / "out").rglob("*.mp4")} >= {"film.mp4", "scene_1_video.mp4"}


def test_a_prompt_whose_response_is_lost_runs_once(server: Server) -> None:
    with Proxy(server.port) as proxy:
        lost = iter([-504])
        proxy.answer = lambda request: next(lost, 0) if request.path == "/prompt" else 0
        events = list(Comfy(proxy.url).run(slow(20)))
        assert succeeded(events)
        assert proxy.paths().count("/prompt") == 1


def test_a_proxy_that_limits_uploads_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(bytes(2**20))
    with Proxy(server.port) as proxy:
        proxy.largest_body = 2**20
        with pytest.raises(
            ComfyError, match="/upload/image with status 413: the proxy.*client_max_body_size"
        ):
            Comfy(proxy.url).upload(tmp_path / "voice.wav", "voice.wav")


def test_results_arrive_while_the_rest_is_rendered(
    server: Server, write_story: WriteStory, tmp_path: Path
) -> None:
    """Also without a websocket."""
    story = write_story([60.0, 60.0], "draft", project_id="long")
    with Proxy(server.port, sockets="refuse") as proxy:
        assert main(["render", str(story), "--server", proxy.url, "--output", str(tmp_path / "out")]) == OK
    paths = proxy.paths()
    last = len(paths) - paths[::-1].index("/story_studio/progress")
    assert "/view" in paths[paths.index("/prompt") : last]


@pytest.mark.parametrize("name", ["in the address", "token"])
def test_no_message_and_no_file_has_the_login(
    name: str,
    server: Server,
    write_story: WriteStory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither when the login is right, nor when it is wrong and the proxy repeats it."""
    caplog.set_level("DEBUG")
    login, userinfo, headers = LOGINS[name]
    monkeypatch.setenv(HEADERS, headers)
    story = write_story([0.5], "draft", project_id="login")
    output = str(tmp_path / "out")
    for expected, required in ((OK, login), (FAILED, {"Authorization": "another"})):
        with Proxy(server.port, login=required, sockets="refuse") as proxy:
            address = proxy.url.replace("://", f"://{userinfo}")
            assert main(["render", str(story), "--server", address, "--output", output]) == expected
    captured = capfd.readouterr()
    assert "it wants a login" in " ".join(captured.err.split())
    written = [path.read_bytes().decode(errors="ignore") for path in tmp_path.rglob("*") if path.is_file()]
    for text in (captured.out, captured.err, caplog.text, *written):
        assert not secrets(text)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"me:{SECRET}@host:8188", "not the address"),
        ("https://me:s3cr/t@host", "not the address"),
        ("https://me:123/s3cr@host", "write / as %2F"),
        ("https://me:s3cr?t@host", "not the address"),
        ("https://me:12?s3cr@host", r"in a password \? is written as %3F"),
        ("https://host/?token=s3cr", "a token belongs in the environment variable"),
        ("https://host/#s3cr", "a token belongs"),
        ("https://me:s3cr@host:port", "not the address"),
        ("https://me:s3cr@", "not the address"),
    ],
)
def test_an_address_that_is_refused_shows_no_password(address: str, reason: str) -> None:
    with pytest.raises(ComfyError, match=reason) as caught:
        Comfy(address)
    assert not secrets(str(caught.value))


@pytest.mark.parametrize("line", ["s3cr", "Bearer s3cr", "a b: s3cr", ": s3cr", "X: s3crét", "X: s3cr\x07"])
def test_a_line_that_is_no_header_is_named_and_not_shown(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEADERS, f"X-Fine: 1\n{line}")
    with pytest.raises(ComfyError, match=f"^Line 2 of {HEADERS}") as caught:
        headers_from_environment()
    assert not secrets(str(caught.value))


def test_a_login_does_not_follow_to_another_host(server: Server) -> None:
    headers = {"X-Key": "s3cr", "Authorization": "Bearer s3cr"}
    with Proxy(server.port, "127.0.0.2") as elsewhere, Proxy(server.port) as proxy:
        proxy.redirect = elsewhere.url
        comfy = Comfy(proxy.url, headers=headers)
        comfy.stats()
        with pytest.raises(ComfyError, match="redirects /prompt to http://127.0.0.2: use the address"):
            list(comfy.run(slow(1)))
        assert elsewhere.requests and not any(secrets(str(sent)) for *_, sent in elsewhere.requests)
        assert any(secrets(str(sent)) for *_, sent in proxy.requests)


def _certificate(folder: Path) -> Path:
    """A certificate for the addresses of this machine, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    hosts = [x509.IPAddress(ipaddress.ip_address(host)) for host in ("127.0.0.1", "127.0.0.2")]
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False).sign(
        key, hashes.SHA256()
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate"
    pem = serialization.Encoding.PEM
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *form))
    return path
