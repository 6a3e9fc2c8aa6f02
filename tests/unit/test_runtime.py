"""A failed start ends within the grace period too."""

from __future__ import annotations

from payment_service.runtime import Service
from tests.support.flows import config_for


async def test_a_failed_start_stops_within_the_shutdown_grace_period() -> None:
    """Example: a port is in use while the broker is unavailable. Without a limit the relay would wait for acknowledgements."""
    config = config_for("postgresql://x@127.0.0.1:9/x", "http://127.0.0.1:9")
    service = Service(config, None, None, frozenset())  # type: ignore[arg-type]
    given: list[float] = []

    async def stop(grace_s: float) -> None:
        given.append(grace_s)

    await service._within_grace(stop)
    await service._providers.close()
    assert given == [config.shutdown_grace_s]
