"""Test `serve --workers`: one port, one fate, and no worker that outlives its parent."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.service import ServiceProcess
from tests.support.shop import Shop

pytestmark = pytest.mark.timeout(120)


def workers_of(service: ServiceProcess) -> list[psutil.Process]:
    """Return the workers once both have started."""
    eventually(lambda: len(service.logs("started")) == 2)
    found = psutil.Process(service.pid).children()
    assert len(found) == 2
    return found


def test_two_workers_take_orders_and_webhooks_and_stop_together(shop: Shop) -> None:
    orders = [f"o-{i}" for i in range(20)]
    service = shop.serve_workers(2)
    found = workers_of(service)
    ports = {line["metrics_port"] for line in service.logs("started")}
    assert ports == {service.metrics_port, service.metrics_port + 1}
    shop.order(*orders)
    shop.wait_status("pending")
    shop.pay(*orders)
    shop.wait_status("succeeded")
    shop.wait_quiet()
    service.stop()
    assert not any(worker.is_running() for worker in found)
    assert shop.count("workers") == 0
    shop.check()


def test_a_worker_that_dies_ends_all(shop: Shop) -> None:
    """The supervisor of the service sees the exit code, and starts it again."""
    service = shop.serve_workers(2)
    first, second = workers_of(service)
    first.kill()
    assert service.wait(timeout_s=30) == 128 + signal.SIGKILL
    assert not second.is_running()


def test_workers_end_when_their_parent_was_killed(shop: Shop) -> None:
    service = shop.serve_workers(2)
    found = workers_of(service)
    os.kill(service.pid, signal.SIGKILL)
    service.wait_killed()
    eventually(lambda: not any(worker.is_running() for worker in found), timeout_s=30)
