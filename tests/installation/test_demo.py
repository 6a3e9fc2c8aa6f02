"""The demo shows the expected records, detects missing ones, and leaves nothing running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from payment_service_demo.embedded.process import free_port
from payment_service_demo.sample_orders import SAMPLES
from tests.support.eventually import eventually
from tests.support.kafka import Topics

pytestmark = pytest.mark.timeout(180)

COMMAND = Path(sys.executable).with_name("payment-service")
TIMEOUT_S = 150  # it takes ten seconds on an idle machine

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for all files of the demo. As root, PostgreSQL runs as `nobody` and must be able to enter it."""
    path = Path(tempfile.mkdtemp(prefix="test-demo-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        env = {"PATH": os.environ["PATH"], "TMPDIR": str(folder)}
        env |= {name: str(free_port()) for name in ("SERVICE_PORT", "METRICS_PORT")}
        process = subprocess.Popen(
            [COMMAND, "demo", *arguments], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError("\n".join([*lines, process.stderr.read() if process.stderr else ""]))


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of processes with this folder in their environment or arguments."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in arguments + environment:
            found.append(arguments.replace(b"\0", b" ").decode())
    return found


def test_every_sample_order_reaches_its_expected_state(start: Start, folder: Path) -> None:
    process = start("--once")
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, ""), output
    for sample in SAMPLES:
        # Records of two topics may arrive in either order: sort them by sequence.
        lines = re.findall(rf"{sample.order_id}\s+((?:payments|orders)\.\S+) +(#\d+)?", output)
        published = sorted((number, topic) for topic, number in lines if topic != "orders.created")
        assert [topic for _, topic in published] == list(sample.published)
    assert processes_of(folder) == []
    assert list(folder.iterdir()) == []


def test_without_the_relay_it_times_out_and_fails(start: Start, folder: Path) -> None:
    """Its lines come from the topics: the database alone does not count."""
    process = start("--once", "--serve-only", "intake,dispatch,http", "--patience-s", "15")
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1, output
    for sample in SAMPLES:
        assert f"{sample.order_id}: expected" in errors
        assert not re.search(rf"{sample.order_id}\s+payments\.", output)
    assert "found pending and nothing published" in errors
    assert "waiting for order-1" in output
    assert processes_of(folder) == []


def test_the_demo_runs_until_interrupted_and_leaves_nothing_running(start: Start, folder: Path) -> None:
    process = start()
    lines = read_until(process, "Ctrl-C")
    addresses = re.findall(r"^(API documentation|Health|Metrics) +(\S+)", "\n".join(lines), re.MULTILINE)
    assert len(addresses) == 3
    for _, address in addresses:
        with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310 - a local address
            assert response.status == 200
    (shop,) = re.findall(r"pay or be declined: +(\S+)$", "\n".join(lines), re.MULTILINE)
    with urllib.request.urlopen(shop, timeout=10) as response:  # noqa: S310 - a local address
        assert b"Two wool blankets" in response.read()
    (key,) = re.findall(r"^API key +(\S+)$", "\n".join(lines), re.MULTILINE)
    (url,) = re.findall(r"'(http://\S+/v1/payments\?order_id=order-1)'", "\n".join(lines))
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - a local address
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - a local address
        assert b'"succeeded"' in response.read()
    (brokers,) = re.findall(r"^Kafka +(\S+)$", "\n".join(lines), re.MULTILINE)
    Topics(brokers).produce([None, b"\xef\xbb\xbf{}", b"[1]", b"[" * 100_000, b'{"order_id": "\x1b[2J", "total": 1}'])
    refused = [line for _ in range(5) for line in read_until(process, "refused: ")]
    assert "\x1b" not in "".join(refused)
    assert processes_of(folder)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, "")
    assert processes_of(folder) == []
    assert list(folder.iterdir()) == []


def test_killing_the_demo_ends_all_its_processes(start: Start, folder: Path) -> None:
    process = start()
    read_until(process, "done      payment-service serve")
    assert len(processes_of(folder)) > 3
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    eventually(lambda: processes_of(folder) == [])
