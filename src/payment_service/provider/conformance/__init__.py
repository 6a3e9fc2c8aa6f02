"""What every payment provider must pass, this service's own and those of other packages.

Each check is an async function of a `Counterpart`, by its name in `CHECKS`; it raises NotConforming with what is wrong. None needs
a test framework. With pytest and pytest-asyncio:

    @pytest.mark.parametrize("name", CHECKS)
    async def test_acme_conforms(name: str, counterpart: Counterpart) -> None:
        check = CHECKS[name]
        await check(counterpart)

docs/providers.md says what to write for a counterpart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.provider.conformance import creating, ending, refunding, telling
from payment_service.provider.conformance.counterpart import Counterpart, NotConforming

if TYPE_CHECKING:
    from payment_service.provider.conformance.counterpart import Check

__all__ = ["CHECKS", "Counterpart", "NotConforming"]

CHECKS: Final[dict[str, Check]] = {
    check.__name__: check for module in (creating, ending, refunding, telling) for check in module.CHECKS
}
