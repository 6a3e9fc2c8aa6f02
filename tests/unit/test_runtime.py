"""A start that fails half-way ends too."""

from __future__ import annotations

from payment_service.runtime import Service
from tests.support.flows import config_for


async def test_a_start_that_fails_gives_what_had_begun_no_more_time_than_a_stop() -> None:
    """Such as a port in use while the broker is away: without an end, the relay would wait for its acknowledgements."""
    config = config_for("postgresql://x@127.0.0.1:9/x", "http://127.0.0.1:9")
    service = Service(config, None, frozenset())  # type: ignore[arg-type]
    given: list[float] = []

    async def stop(grace_s: float) -> None:
        given.append(grace_s)

    await service._within_grace(stop)
    await service._providers.close()
    assert given == [config.shutdown_grace_s]
