"""Run nginx with the files of deploy/nginx, changing only the addresses."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from payment_service_demo.embedded.process import ChildProcess, free_port, listens

FILES: Final = Path(__file__).parents[2] / "deploy" / "nginx"
WEBHOOK_RATE: Final = "rate=500r/s"
START_TIMEOUT_S: Final = 20


@contextmanager
def nginx(folder: Path, *services: int, webhook_rate: str = WEBHOOK_RATE) -> Iterator[int]:
    """Run nginx in front of the services on these ports of 127.0.0.1, and yield its own port.

    `webhook_rate` lets tests reach a limit on a slow machine.
    """
    folder.mkdir(exist_ok=True)
    for file in FILES.glob("*.conf"):
        shutil.copy(file, folder)
    text = (folder / "nginx.conf").read_text()
    assert text.count(WEBHOOK_RATE) == 1
    (folder / "nginx.conf").write_text(text.replace(WEBHOOK_RATE, webhook_rate))
    port = free_port()
    (folder / "listen.conf").write_text(f"listen 127.0.0.1:{port};\n")
    (folder / "upstream.conf").write_text("".join(f"server 127.0.0.1:{service};\n" for service in services))
    command = [os.environ["NGINX_BIN"], "-e", "stderr", "-p", f"{folder}/", "-c", f"{folder}/nginx.conf"]
    # A killed master leaves its workers running.
    child = ChildProcess(command, log=folder / "nginx.log", death_signal=signal.SIGTERM)
    try:
        child.wait_until(lambda: listens(port), timeout_s=START_TIMEOUT_S, name="nginx")
        yield port
    finally:
        child.stop()
