"""Limits of refunds per API key: the largest refund, and number and sum per day (UTC, by the database's clock)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db import api_keys
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service_events.money import Money

if TYPE_CHECKING:
    from payment_service.db.api_keys import RefundCount, RefundLimits
    from payment_service.db.audit import Actor
    from payment_service.db.pool import Connection


class NeedsApproval(Refusal):
    """The refund exceeds what its requester may make alone. `amount` is what was asked for."""

    def __init__(self, why: str, amount: Money) -> None:
        super().__init__(RefusalReason.NEEDS_APPROVAL, f"{why}: a second person must approve.")
        self.amount = amount


async def require_within_limits(connection: Connection, actor: Actor, amount: Money) -> None:
    """Count a refund of this amount against the actor's key, in the refund's transaction. Raise Refusal above a limit,
    and NeedsApproval above the largest refund, which a person may approve.

    Limits are read here and not from the cache, and the count is locked until the commit. So concurrent refunds at two replicas
    cannot both take what is left. A refund that fails later stays counted. A key that was revoked refunds nothing from then on,
    although authentication accepts it for some seconds.
    """
    if actor.key_id is None:
        return
    limits = await api_keys.refund_limits(connection, actor.key_id)
    if limits is None:
        raise Refusal(RefusalReason.FORBIDDEN, "This API key was revoked or has expired: use another key.")
    _require_allowed(limits, amount)
    if limits.per_day is not None or limits.amounts_per_day:
        count = await api_keys.count_refund(connection, limits.family, amount.currency.code, amount.minor)
        _require_left(limits, count, amount)


def _require_allowed(limits: RefundLimits, amount: Money) -> None:
    code = amount.currency.code
    for allowed in filter(None, (limits.amounts_max, limits.amounts_per_day)):
        if code not in allowed:
            others = ", ".join(sorted(allowed))
            message = f"This API key refunds only {others}, not {code}: use a key with a limit for {code}."
            raise Refusal(RefusalReason.FORBIDDEN, message)
    if limits.amounts_max and amount.minor > limits.amounts_max[code]:
        largest = Money(limits.amounts_max[code], amount.currency)
        raise NeedsApproval(f"This API key refunds at most {largest} at a time", amount)


def _require_left(limits: RefundLimits, count: RefundCount, amount: Money) -> None:
    until = f"The limit starts again at {count.until:%Y-%m-%dT%H:%MZ}."
    if limits.per_day is not None and count.refunds > limits.per_day:
        message = f"This API key has reached its number of refunds per day, {limits.per_day}. {until}"
        raise Refusal(RefusalReason.TOO_MANY, message, retry_after_s=count.left_s)
    code = amount.currency.code
    if limits.amounts_per_day and count.amount > limits.amounts_per_day[code]:
        day = Money(limits.amounts_per_day[code], amount.currency)
        left = Money(max(0, day.minor - (count.amount - amount.minor)), amount.currency)
        message = f"This API key refunds at most {day} a day, and {left} are left today. {until}"
        raise Refusal(RefusalReason.TOO_MANY, message, retry_after_s=count.left_s)
