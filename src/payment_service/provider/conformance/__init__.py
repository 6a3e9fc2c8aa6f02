"""What every payment provider must pass, this service's own and those of other packages.

Each check is an async function of a `ProviderHarness`, by its name in `CHECKS`; it raises NotConforming with what is wrong. None needs
a test framework. With pytest and pytest-asyncio:

    @pytest.mark.parametrize("name", CHECKS)
    async def test_acme_conforms(name: str, harness: ProviderHarness) -> None:
        check = CHECKS[name]
        await check(harness)

docs/providers.md says what to write for a harness.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.provider.conformance import events, intents, outcomes, refunds
from payment_service.provider.conformance.harness import NotConforming, ProviderHarness

if TYPE_CHECKING:
    from payment_service.provider.conformance.harness import Check

__all__ = ["CHECKS", "NotConforming", "ProviderHarness"]

CHECKS: Final[dict[str, Check]] = {
    check.__name__: check for module in (intents, outcomes, refunds, events) for check in module.CHECKS
}
