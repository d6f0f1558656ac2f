"""HTTP to a ComfyUI server: its address, the login at a proxy before it, and retries if the proxy fails."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth
from requests.utils import DEFAULT_CA_BUNDLE_PATH

HEADERS = "STORY_STUDIO_SERVER_HEADERS"
"""The environment variable with headers for a server that somebody else runs."""
TIMEOUT = (5, 60)
"""Seconds to connect, and between two pieces of a response."""
_RETRY_SECONDS = 30.0
"""Seconds for which a proxy may say that its server does not respond."""
_OWN_HEADERS = ("accept", "accept-encoding", "connection", "content-length")
"""Headers that belong to an HTTP request and not to a websocket's."""
T = TypeVar("T")


class ComfyError(Exception):
    """A request to the server failed. The message says what to do."""


class Unreachable(ComfyError):
    """The server does not answer."""


def headers_from_environment() -> dict[str, str]:
    """The headers in HEADERS, one `Name: value` a line, such as a login's token.

    Raises:
        ComfyError: a line is not a header. The message has no value, which may be a secret.
    """
    headers = {}
    for number, line in enumerate(os.environ.get(HEADERS, "").splitlines(), start=1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line.strip():
            continue
        if not colon or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ComfyError(
                f"Line {number} of {HEADERS} is not a header: write `Name: value`, such as "
                "`Authorization: Bearer TOKEN`, one on each line."
            )
        if not value.isascii() or not value.isprintable():
            raise ComfyError(
                f"Line {number} of {HEADERS}: the value may have printable ASCII characters only."
            )
        headers[name] = value
    return headers


class Connection:
    """HTTP to a server at an address, which may have a path and a login if the server is behind a proxy.

    Without a login in the address, that of the user's netrc file is used.

    Args:
        url: the address, such as https://user:password@host/path.
        headers: sent to this host with each request, and not to another to which it redirects.
        alive: whether the server's process is running, where that is known: a dead one is not waited for.

    Attributes:
        url: the address without the login and without a slash at its end.
        is_local: whether it is on this machine.
        session: what sends the requests.

    Raises:
        ComfyError: `url` is not such an address. No message has the login.
    """

    def __init__(self, url: str, headers: Mapping[str, str], alive: Callable[[], bool]):
        self.url, login = _split(url)
        self.is_local = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        self.alive = alive
        self.session = _Session(headers)
        # A proxy from the environment would look for the loopback address on its own machine.
        self.session.trust_env = not self.is_local
        self.session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        if login:
            self.session.auth = HTTPBasicAuth(*login)
        elif any(name.lower() == "authorization" for name in headers):
            # Otherwise a login from the netrc file would replace it.
            self.session.auth = lambda request: request
        self._answered = False

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request; its response may be that of a failure.

        Raises:
            Unreachable: there is no response, or only that of a proxy whose server does not respond.
            ComfyError: a request that changes something is redirected.
        """
        # A POST that follows a redirect becomes a GET.
        follow = method in ("GET", "HEAD")
        try:
            response = self.session.request(
                method, self.url + path, timeout=TIMEOUT, allow_redirects=follow, **options
            )
        except requests.RequestException as error:
            raise Unreachable(self.no_answer(error)) from None
        self._answered = True
        if response.status_code >= 502 or response.status_code == 429:
            self.check(response)
        if response.is_redirect:
            raise ComfyError(
                f"ComfyUI at {self.url} redirects {path} to {_host(response.headers['Location'])}: use the "
                "address where ComfyUI is, and the login that it wants."
            )
        return response

    def retrying(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, which is repeated for half a minute while the server is Unreachable.

        A server that has not answered yet, or whose process has ended, is not waited for.
        """
        end: float | None = None
        while True:
            try:
                return attempt()
            except Unreachable:
                end = end or time.monotonic() + _RETRY_SECONDS
                if not self._answered or not self.alive() or time.monotonic() > end:
                    raise
            time.sleep(1)

    def check(self, response: requests.Response) -> None:
        """Raises ComfyError, or Unreachable, for the response of a failure."""
        if response.ok:
            return
        path, status = urlsplit(response.url).path, response.status_code
        what = f"ComfyUI at {self.url} answers {path} with status {status}"
        if status in (401, 403):
            # Without the text, in which a proxy may repeat what it was sent.
            raise ComfyError(
                f"{what}: it wants a login. Give user and password in ~/.netrc or in the address "
                f"(https://user:password@host), or a token in the environment variable {HEADERS}."
            )
        if status == 413:
            raise ComfyError(
                f"{what}: the proxy before it limits uploads to less (nginx: client_max_body_size)."
            )
        what = f"{what}: {response.text[:200]}"
        # 502 and above come from a proxy whose ComfyUI does not respond; 429, if it had too many requests.
        raise Unreachable(what) if status >= 502 or status == 429 else ComfyError(what)

    def no_answer(self, error: Exception) -> str:
        """The message for a request without a response."""
        if isinstance(error, requests.exceptions.SSLError):
            return (
                f"The certificate of ComfyUI at {self.url} is not trusted: name the file of the authority "
                "that signed it in the environment variable REQUESTS_CA_BUNDLE."
            )
        return f"ComfyUI at {self.url} does not answer ({type(error).__name__}): check that it is running."

    def socket_options(self) -> dict[str, Any]:
        """Options of a websocket that logs in as the requests do, and trusts the same certificates."""
        request = self.session.prepare_request(requests.Request("GET", self.url))
        verify = self.session.verify
        bundle = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
        return {
            "header": [
                f"{name}: {value.decode() if isinstance(value, bytes) else value}"
                for name, value in request.headers.items()
                if name.lower() not in _OWN_HEADERS
            ],
            # ComfyUI refuses an origin other than the host's name, which a proxy may have changed.
            "suppress_origin": True,
            # The login must not follow to another host.
            "redirect_limit": 0,
            "sslopt": {"ca_cert_path" if os.path.isdir(bundle) else "ca_certs": bundle},
            "http_no_proxy": ["*"] if self.is_local else None,
        }


class _Session(requests.Session):
    """Sends headers to one host only: requests itself removes just `Authorization` from a redirect."""

    def __init__(self, headers: Mapping[str, str]):
        super().__init__()
        self.headers.update(headers)
        self._private = tuple(headers)

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        if self.should_strip_auth(response.request.url, prepared_request.url):
            for name in self._private:
                prepared_request.headers.pop(name, None)
        super().rebuild_auth(prepared_request, response)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else parts.path


def _split(url: str) -> tuple[str, tuple[Any, Any] | None]:
    """An address without its login, and the login in UTF-8, which requests would not choose by itself."""
    parts = urlsplit(url)
    userinfo, _, host = parts.netloc.rpartition("@")
    # What follows the last @ is no login, however the address was meant.
    shown = re.split("[?#]", url.rpartition("@")[2])[0]
    try:
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        valid = False
    if not valid:
        raise ComfyError(
            f"{shown!r} is not the address of a ComfyUI server: write it like http://127.0.0.1:8188"
        )
    if "@" in parts.path:
        raise ComfyError(
            f"The login in the address of {shown!r} has a character that ends the host's name: write / as "
            "%2F, # as %23 and ? as %3F."
        )
    if parts.query or parts.fragment:
        raise ComfyError(
            f"The address {shown!r} of a ComfyUI server may have no ? and no #: a token belongs in the "
            f"environment variable {HEADERS}, and in a password ? is written as %3F, # as %23."
        )
    name, _, password = userinfo.partition(":")
    login = (unquote(name).encode(), unquote(password).encode()) if userinfo else None
    return parts._replace(netloc=host).geturl().rstrip("/"), login
