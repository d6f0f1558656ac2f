"""A TCP relay in front of a server, whose connections can be cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Relay:
    """A TCP relay in front of a server whose connections can be cut."""

    def __init__(self, port: int):
        self._port, self._pairs = port, []
        self._to_client: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for end in self._pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._pairs.clear()

    def lose_server(self) -> None:
        """As if the server died: what it has sent still arrives, and new connections are refused."""
        self._refuse()
        for server in self._pairs[1::2]:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RD)
        # Until the client can see it, a request on an open connection would still be answered.
        for thread in self._to_client:
            thread.join(30)

    def close(self) -> None:
        self._refuse()
        self.cut()

    def _refuse(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._pairs += [client, server]
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
                to_client = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                self._to_client.append(to_client)
                to_client.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
