"""Serve a shop's own web pages from another origin than the sandbox's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = "text/html; charset=utf-8"


class ShopPages:
    """Serves the texts in `pages` by path on `localhost`, which is another site than 127.0.0.1 to a browser.

    `answers` are called for their path, and return a status and JSON, as the shop's server does.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str]] = {}
        self.answers: dict[str, Callable[[], tuple[int, str]]] = {}
        shop = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                status, (kind, text) = 200, shop.pages.get(path, (HTML, ""))
                if path in shop.answers:
                    kind = "application/json"
                    status, text = shop.answers[path]()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_POST = do_GET  # noqa: N815 - the name that the library calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        """The origin in the browser."""
        return f"http://localhost:{self._server.server_port}"

    def put(self, path: str, text: str, kind: str = HTML) -> str:
        """Serve `text` at `path` and return the address."""
        self.pages[path] = (kind, text)
        return self.url + path

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
