"""A reverse proxy in front of a ComfyUI server, with the habits of those that people have."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from typing import Any, Literal

import aiohttp
from aiohttp import web

Sockets = Literal["pass", "refuse", "swallow", "cut"]
_HOP_BY_HOP = {"connection", "host", "transfer-encoding", "content-length", "content-encoding", "upgrade"}


class Proxy:
    """Passes requests on, in a thread of its own. As a context manager it runs within the block.

    Like a proxy that is set up in one line, it passes the `Origin` of a request on, but not its `Host`.

    Args:
        port: of the server.
        host: an address of this machine.
        prefix: the path under which the server is, such as /comfy.
        login: headers without which a request is refused.
        sockets: what happens to websockets: `swallow` opens them and passes no message, `cut` closes them
            after half a second.
        context: for HTTPS.

    Attributes:
        answer: called with each request; the status that it returns is the answer, 0 passes the request on,
            a negative one, too, and then answers with that status.
        redirect: the address that every request is redirected to, if any.
        largest_body: the bytes of the largest request that is passed on.
        requests: method, path and headers of each request, in order.
        opened: how many websockets were opened.
    """

    def __init__(
        self,
        port: int,
        host: str = "127.0.0.1",
        prefix: str = "",
        login: dict[str, str] | None = None,
        sockets: Sockets = "pass",
        context: ssl.SSLContext | None = None,
    ):
        self._upstream, self._host, self._prefix = f"http://127.0.0.1:{port}", host, prefix
        self._login, self._sockets, self._context = login or {}, sockets, context
        self.answer: Callable[[web.BaseRequest], int] = lambda _: 0
        self.redirect, self.largest_body = "", 2**40
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.opened = 0
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        self.port = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self._context else ''}://{self._host}:{self.port}{self._prefix}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def paths(self) -> list[str]:
        """The paths of all requests so far, without the prefix."""
        return [path for _, path, _ in self.requests]

    async def _run(self) -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, self._host, 0, ssl_context=self._context)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.removeprefix(self._prefix)
        self.requests.append((request.method, path, dict(request.headers)))
        if not request.path.startswith(f"{self._prefix}/"):
            return web.Response(status=404, text="nothing here")
        if any(request.headers.get(name) != value for name, value in self._login.items()):
            return web.Response(status=401, text=f"refused: {dict(request.headers)}")
        if self.redirect:
            return web.Response(status=302, headers={"Location": self.redirect + path})
        if path == "/ws":
            return await self._socket(request)
        if int(request.headers.get("Content-Length", 0)) > self.largest_body:
            return web.Response(status=413, text="too large")
        status = self.answer(request)
        if status > 0:
            return web.Response(status=status, text="the server does not respond")
        response = await self._pass(request, path)
        return web.Response(status=-status, text="the response was lost") if status else response

    async def _pass(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        # Not `read`, which allows a megabyte.
        body = await request.content.read()
        query = f"?{request.query_string}" if request.query_string else ""
        async with self._client.request(
            request.method, f"{self._upstream}{path}{query}", headers=headers, data=body
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            if request.method == "HEAD" and answer.ok:
                kept["Content-Length"] = answer.headers["Content-Length"]
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _socket(self, request: web.BaseRequest) -> web.StreamResponse:
        if self._sockets == "refuse":
            return web.Response(status=403)
        url = f"{self._upstream}/ws?{request.query_string}"
        origin = request.headers.get("Origin")
        try:
            server = await self._client.ws_connect(url, headers={"Origin": origin} if origin else {})
        except aiohttp.WSServerHandshakeError as error:
            return web.Response(status=error.status)
        client: Any = web.WebSocketResponse()
        await client.prepare(request)
        self.opened += 1
        if self._sockets == "cut":
            self._loop.call_later(0.5, lambda: self._loop.create_task(server.close()))
        async for message in server:
            if self._sockets == "swallow":
                continue
            if message.type == aiohttp.WSMsgType.TEXT:
                await client.send_str(message.data)
            elif message.type == aiohttp.WSMsgType.BINARY:
                await client.send_bytes(message.data)
        await client.close()
        return client
