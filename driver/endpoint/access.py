"""Who may use the local endpoint: not the pages of a browser, and only with the key where one is set."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from ..fetch.guard import is_loopback


class Access:
    """Decides about requests, before anything of their body is read.

    Args:
        host: the address that the endpoint listens on.
        key: that clients must send; empty if they need none, which is for loopback alone.
    """

    def __init__(self, host: str, key: str):
        self._host, self._key = host, key.encode()

    def refusal(self, request: web.BaseRequest) -> tuple[int, str] | None:
        """The HTTP status and the reason for which a request is refused, or None."""
        # With a key a foreign name is harmless, and may be that of a proxy.
        if not self._key and not self._is_own(request.headers.get("Host", "")):
            return 403, "The Host header names another machine: use the address that the endpoint shows."
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
            return 403, "Pages in a browser may not use this endpoint: call it from a program."
        if self._key and not self._has_key(request.headers.get("Authorization", "")):
            return 401, "Unauthorized: send the endpoint's key as Authorization: Bearer KEY."
        if request.body_exists and request.method == "POST" and request.content_type != "application/json":
            return 415, "The body must be JSON: send the header Content-Type: application/json."
        return None

    def _is_own(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return name == self._host.lower() or is_loopback(name)

    def _has_key(self, header: str) -> bool:
        scheme, _, rest = header.strip().partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else header.strip()
        # Bytes, because for text only ASCII is accepted.
        return hmac.compare_digest(key.encode(errors="surrogateescape"), self._key)


def json_error(status: int, error: str) -> web.Response:
    """An error as RunPod answers it."""
    return web.json_response({"error": error}, status=status)


def guarded(access: Access | None):
    """The middleware of an application: refuses what `access` does, and answers errors as JSON."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if access and (refusal := access.refusal(request)):
            return json_error(*refusal)
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return json_error(400, "The request body is too large.")
        except web.HTTPException as error:
            response = json_error(error.status, _REASONS.get(error.status, error.reason))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response

    return middleware


_REASONS = {404: "There is no such path: see /openapi.json.", 405: "This path takes another method."}
