"""A forward proxy that is the only way to `https://api.stripe.test`: it answers CONNECT, and stands for Stripe behind it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from base64 import b64encode
from types import TracebackType
from typing import Self

from tests.support.certificates import Certificate

HOST = "api.stripe.test"
BASE = f"https://{HOST}"


class Proxy:
    """Accept CONNECT with `login` (user:password; empty: any), and pass what comes on to the sandbox's port.

    `status`: the answer to CONNECT. `seen`: the request lines.
    """

    def __init__(self, certificate: Certificate, sandbox_port: int, *, login: str = "", status: int = 200) -> None:
        self.seen: list[str] = []
        self.status = status
        self._login = login
        self._sandbox_port = sandbox_port
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        """The value of HTTPS_PROXY."""
        login = f"{self._login}@" if self._login else ""
        return f"http://{login}127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        with client, contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.seen.append(head.split(b"\r\n", 1)[0].decode())
            expected = f"Proxy-Authorization: Basic {b64encode(self._login.encode()).decode()}".lower()
            allowed = not self._login or expected in head.decode().lower()
            status = self.status if allowed else 407
            client.sendall(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
            if status != 200:
                return
            with (
                self._tls.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(("127.0.0.1", self._sandbox_port)) as sandbox,
            ):
                back = threading.Thread(target=_pump, args=(sandbox, inner), daemon=True)
                back.start()
                _pump(inner, sandbox)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
