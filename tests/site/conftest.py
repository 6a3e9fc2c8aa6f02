"""Fixtures: the built site on this machine, and pages in Chromium that can reach nothing else."""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.browser.conftest import browser

__all__ = ["browser", "site"]

SITE: Final = Path(__file__).parents[2] / "dist" / "site"
# Only `make test-site` and `make test-browser` install Playwright. Without it, these files cannot be imported.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Serve the built site and return its address."""
    assert (SITE / "index.html").exists(), "The site is not built: scripts/build-site builds it."
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
