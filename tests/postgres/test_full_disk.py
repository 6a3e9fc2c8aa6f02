"""A full disk is named by `/ready` and `doctor` before an order meets it, and space is all that is needed afterwards."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from payment_service_demo.embedded.process import WorkFolder
from tests.postgres.conftest import shop_on
from tests.support.command import failed_check, run
from tests.support.eventually import eventually
from tests.support.kafka import Topics
from tests.support.service import ServiceProcess
from tests.support.shop import ask
from tests.support.system_postgres import SystemPostgres

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(120)]

DISK_MB: Final = 256


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Mount a small disk for a server."""
    work = WorkFolder("full-disk")
    work.path.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0777", "tmpfs", str(work.path / "disk")]
    (work.path / "disk").mkdir()
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        work.remove()
        pytest.skip("needs root, and a kernel that lets it mount a tmpfs")
    yield work.path / "disk"
    subprocess.run(["umount", work.path / "disk"], check=True)
    work.remove()


def test_a_full_disk_is_named_until_it_has_space(
    small_disk: Path, migrated_folder: Path, topics: Topics, tmp_path: Path
) -> None:
    with (
        SystemPostgres(copy_of=migrated_folder, data=small_disk / "data", settings={"fsync": "off"}) as server,
        shop_on(server.dsn, direct=server.dsn, topics=topics, folder=tmp_path) as shop,
    ):
        service = shop.serve()
        shop.order("before")
        shop.wait_status("pending", "before")
        fill(small_disk / "filler")
        eventually(lambda: "no space" in database_check(service))
        assert ask(f"{service.url}/health")[0] == 200
        assert "free or extend the disk" in failed_check(run("doctor", env=service.env), "database")
        (small_disk / "filler").unlink()
        eventually(lambda: database_check(service) == "ok")
        shop.order("after")
        shop.pay("before", "after")
        shop.wait_status("succeeded")
        shop.wait_quiet()
        shop.check()


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file:
        for size in (1_048_576, 4_096):
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                all(file.write(bytes(size)) for _ in iter(int, 1))


def database_check(service: ServiceProcess) -> str:
    return str(json.loads(ask(f"{service.url}/ready")[1])["checks"]["database"])
