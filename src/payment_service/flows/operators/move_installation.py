"""Move a deployment name to this database, or this database to another account, as an operator decided (I18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db import installation as installations
from payment_service.flows.requests.idempotency import ChangeResult, change_once
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.account_claims import AccountClaims, ClaimState

if TYPE_CHECKING:
    from payment_service.db.pool import Connection
    from payment_service.flows.requests.idempotency import ChangeRequest
    from payment_service.flows.state.context import Context
    from payment_service.provider.account_claims import ClaimAnswer

_PERMISSION = "The key may not change the claim: use a key with the permission Products write."


async def move_installation(context: Context, change_request: ChangeRequest) -> ChangeResult:
    """Take the name at the account, then store the account. Repeating it is safe. Raise Refusal."""
    provider = next((one for one in context.providers.by_name.values() if isinstance(one, AccountClaims)), None)
    if provider is None:
        message = "No configured provider has accounts: there is nothing to move."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    installation = await installations.claim(context.pool, context.deployment)
    answer = await provider.claim(installation, move=True)
    _require_claimed(answer)

    async def work(connection: Connection) -> ChangeResult:
        await installations.move(connection, account=answer.account, livemode=provider.livemode)
        return ChangeResult({"id": str(installation.id), "account": answer.account})

    return await change_once(context.pool, change_request, work)


def _require_claimed(answer: ClaimAnswer) -> None:
    if answer.state is ClaimState.UNAVAILABLE:
        message = f"Stripe did not confirm the move ({answer.detail}). Run the same command again."
        raise Refusal(RefusalReason.NOT_YET, message)
    if answer.state is not ClaimState.HELD:
        raise Refusal(RefusalReason.NOT_ALLOWED, _PERMISSION)
