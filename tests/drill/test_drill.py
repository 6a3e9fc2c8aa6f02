"""Each fault makes its alert fire in time, in a real Prometheus with the shipped rules; the alert ends with the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.drill import DRILLS, RESOLVES_WITHIN_S, Drill
from tests.support.eventually import eventually
from tests.support.prometheus import prometheus
from tests.support.shop import Shop

pytestmark = [pytest.mark.prometheus, pytest.mark.timeout(600)]


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.title)
def test_a_fault_is_told_in_time_and_by_its_cause(drill: Drill, shop: Shop, tmp_path: Path) -> None:
    service = shop.serve()
    with prometheus([f"127.0.0.1:{service.metrics_port}"], tmp_path) as server:
        eventually(server.scraped, timeout_s=60)
        steps = drill.fault(shop, service)
        next(steps)
        assert drill.names in server.wait_firing(drill.alert, drill.within_s)
        if drill.resolves:
            next(steps)
            server.wait_resolved(drill.alert, RESOLVES_WITHIN_S)
        steps.close()  # type: ignore[attr-defined]
