"""The conformance suite that every payment provider must pass, including providers of other packages.

`CHECKS` holds the checks by name. A check is an async function of a `ProviderHarness` that raises NotConforming with
the reason. The suite needs no test framework. With pytest and pytest-asyncio:

    @pytest.mark.parametrize("name", CHECKS)
    async def test_acme_conforms(name: str, harness: ProviderHarness) -> None:
        check = CHECKS[name]
        await check(harness)

It may import the port and `domain`, but no provider. Start with `harness.py`. `docs/providers.md` shows how to write a
harness.
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
