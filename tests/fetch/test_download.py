"""Downloads from a real HTTP server: what is fetched, and the errors when it is not."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import ssl
import sys
import threading
import traceback
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import requests.adapters
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from driver.fetch.download import DownloadError, download
from tests.fetch.tools import Reader, Site

pytestmark = pytest.mark.usefixtures("allowed")
SECRET = "hidden-from-all"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/voice.mp3", "voice.mp3"),
        ("/a/my%20voice.mp3?key=x.png#y.png", "my voice.mp3"),
        ("/日本.wav", "日本.wav"),
        ("/" + "日" * 200 + ".flac", "日" * 31 + ".flac"),
        ("/a%00b%0a.png", "a_b_.png"),
        ("/%2e%2e", "download"),
        ("/.hidden", "hidden"),
        ("/", "download"),
        ("", "download"),
    ],
)
def test_a_file_is_named_after_its_address(pages: Site, tmp_path: Path, path: str, name: str) -> None:
    pages.pages = {requests.Request("GET", pages.url + path).prepare().path_url.partition("?")[0]: _sound}
    found = download(pages.url + path, tmp_path)
    assert found.relative_to(tmp_path) == Path(name)
    assert found.read_bytes() == b"sound"
    assert pages.asked[0][1]["accept-encoding"] == "identity"


def _sound(reader: Reader) -> None:
    reader.answer(body=b"sound")


def test_an_existing_file_is_replaced_and_not_written_to(pages: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"of another job")
    (tmp_path / "voice.mp3").hardlink_to(tmp_path / "elsewhere")
    assert download(f"{pages.url}/voice.mp3", tmp_path).read_bytes() == b"sound"
    assert (tmp_path / "elsewhere").read_bytes() == b"of another job"


def test_a_body_of_unknown_length_is_fetched(pages: Site, tmp_path: Path) -> None:
    def chunked(reader: Reader) -> None:
        reader.protocol_version = "HTTP/1.1"
        reader.begin(Transfer_Encoding="chunked")
        for piece in (b"so", b"u" * 200_000, b"nd"):
            reader.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        reader.wfile.write(b"0\r\n\r\n")

    def until_closed(reader: Reader) -> None:
        reader.begin()
        reader.wfile.write(b"sound")

    pages.pages |= {"/chunked": chunked, "/closed": until_closed}
    assert download(f"{pages.url}/chunked", tmp_path).read_bytes() == b"so" + b"u" * 200_000 + b"nd"
    assert download(f"{pages.url}/closed", tmp_path).read_bytes() == b"sound"


@pytest.mark.parametrize("status", [204, 206, 300, 304, 401, 404, 500, 503])
def test_other_statuses_are_errors(pages: Site, tmp_path: Path, status: int) -> None:
    pages.pages["/a"] = lambda reader: reader.answer(
        status, b"" if status in (204, 304) else b"an error page"
    )
    with pytest.raises(DownloadError, match=f"^http://127.0.0.1/a answers with HTTP status {status}"):
        download(f"{pages.url}/a", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://example.com/a.mp3",
        "gopher://example.com/a",
        "http:///a.mp3",
        "HTTP+unix://%2Frun%2Fdocker.sock/a",
        "http://[::1",
        "http://[not-an-address]/a",
        "://",
    ],
)
def test_only_web_addresses_are_fetched(address: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not an http or https address"):
        download(address, tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:99999/a",
        "http://127.0.0.1:port/a",
        "http://a..b/a",
        f"http://{'x' * 64}.example/a",
        "http://\ud800/a",
        "http://127.0.0.1:1/\ud800",
        "http://no-such-name.invalid/a",
        "http://127.0.0.1:1/a",
    ],
)
def test_unreachable_addresses_are_errors(address: str, tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match="cannot be reached, or the connection broke: check the address"
    ) as caught:
        download(address, tmp_path)
    str(caught.value).encode()


def test_five_redirects_are_followed(pages: Site, tmp_path: Path) -> None:
    for left in range(1, 7):
        to = f"/{left - 1}" if left > 1 else "voice.mp3"
        pages.pages[f"/{left}"] = lambda reader, to=to: reader.answer(302, Location=to)
    assert download(f"{pages.url}/5", tmp_path).read_bytes() == b"sound"
    with pytest.raises(DownloadError, match="/6 redirects more than 5 times"):
        download(f"{pages.url}/6", tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_name_stays_after_a_redirect(pages: Site, tmp_path: Path, status: int) -> None:
    to = f"{pages.url.replace('127.0.0.1', 'localhost')}/voice.mp3?signature=x"
    pages.pages["/scene.wav"] = lambda reader: reader.answer(status, Location=to)
    assert download(f"{pages.url}/scene.wav", tmp_path).name == "scene.wav"
    assert [path for path, _ in pages.asked] == ["/scene.wav", "/voice.mp3?signature=x"]


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://[::1", "/\udcff", "data:,x"]
)
def test_redirects_lead_to_web_addresses_only(pages: Site, tmp_path: Path, to: str) -> None:
    def redirect(reader: Reader) -> None:
        reader.wfile.write(
            b"HTTP/1.0 302 Found\r\nLocation: " + to.encode(errors="surrogateescape") + b"\r\n\r\n"
        )

    pages.pages["/a"] = redirect
    with pytest.raises(DownloadError, match="/a cannot be reached"):
        download(f"{pages.url}/a", tmp_path)


def test_a_login_in_the_address_is_for_its_host_only(pages: Site, tmp_path: Path) -> None:
    local = pages.url.replace("127.0.0.1", "localhost")
    pages.pages["/a"] = lambda reader: reader.answer(302, Location=f"{local}/voice.mp3")
    pages.pages["/b"] = lambda reader: reader.answer(302, Location="/a")
    download(f"{pages.url.replace('://', f'://me:{SECRET}@')}/b", tmp_path)
    assert [(path, "authorization" in headers) for path, headers in pages.asked] == [
        ("/b", True),
        ("/a", True),
        ("/voice.mp3", False),
    ]


def test_every_module_of_the_http_library_keeps_its_addresses_to_itself() -> None:
    # Importing it lowers the level of the whole package.
    import runpod  # noqa: F401

    modules = [name for name in sys.modules if name.startswith("urllib3.")]
    loggers = {name for name in modules if hasattr(sys.modules[name], "log")}
    assert "urllib3.connection" in loggers
    assert {name for name in loggers if logging.getLogger(name).isEnabledFor(logging.WARNING)} == set()


@pytest.mark.parametrize(
    "path", ["gone", "cut", "loop", "elsewhere", "headers", "silent.invalid", "voice.mp3"]
)
def test_secrets_are_never_shown(
    pages: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.DEBUG)

    def odd(reader: Reader) -> None:
        # urllib3 would log a warning with the address.
        reader.wfile.write(b"HTTP/1.0 404 Not Found\r\nA: b\r\nno header\r\n\r\n")

    pages.pages |= {
        "/cut": lambda reader: reader.answer(body=b"x", Content_Length="2"),
        "/loop": lambda reader: reader.answer(302, Location=f"/loop?{SECRET}"),
        "/elsewhere": lambda reader: reader.answer(302, Location=f"http://a:{SECRET}@127.0.0.1:1/?{SECRET}"),
        "/headers": odd,
    }
    host = pages.url.removeprefix("http://") if ".invalid" not in path else path
    address = f"http://{SECRET}:{SECRET}@{host}/{path}?signature={SECRET}#{SECRET}"
    shown = ""
    try:
        download(address, tmp_path / "not there" if path == "voice.mp3" else tmp_path)
    except (DownloadError, FileNotFoundError) as error:
        shown = "".join(traceback.format_exception(error)) + repr(error.__context__)
    assert shown and SECRET not in shown
    logged = [*(record.getMessage() for record in caplog.records), caplog.text]
    assert SECRET not in "\n".join(logged)


def test_the_environment_s_logins_and_proxies_are_not_used(
    pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert download(f"{pages.url}/voice.mp3", tmp_path).read_bytes() == b"sound"
    assert "authorization" not in pages.asked[0][1]


def test_certificates_are_verified(pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Site("127.0.0.1") as secure:
        secure.pages["/voice.mp3"] = lambda reader: reader.answer(body=b"sound")
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        threading.Thread(target=ThreadingHTTPServer.serve_forever, args=(secure, 0.05), daemon=True).start()
        address = f"https://127.0.0.1:{secure.server_port}/voice.mp3"
        with pytest.raises(DownloadError, match="cannot be reached"):
            download(address, tmp_path)
        assert secure.asked == []
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
        assert download(address, tmp_path).read_bytes() == b"sound"
        with pytest.raises(DownloadError, match="cannot be reached"):
            download(address.replace("127.0.0.1", "localhost"), tmp_path)
        secure.shutdown()


def _certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    whom = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    made = builder.add_extension(whom, critical=False).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    return path


def test_a_folder_that_cannot_be_written_is_not_the_address_s_fault(pages: Site, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        download(f"{pages.url}/voice.mp3", tmp_path / "not there")
