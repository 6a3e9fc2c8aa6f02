"""Check an operator's claim about a parked operation against the provider first: a typo would be irreversible."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from payment_service.crash_points import reached
from payment_service.domain.payment import IntentFact, Status
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.provider.calls import attempt
from payment_service.provider.port import OWN_INTENT, Blocked, Call, Done, Kind, Transient, Unknown

if TYPE_CHECKING:
    from payment_service.db.attention import ParkedOperation
    from payment_service.domain.facts import AnyFact
    from payment_service.domain.payment import Payment
    from payment_service.domain.refund import Refund, RefundListFact
    from payment_service.flows.state.context import Context
    from payment_service.provider.port import Provider, Request

# Providers keep to PROVIDER_TIMEOUT_S themselves. This limit ends the wait at a prompt for one that does not.
LOOK_UP_LIMIT_S: Final = 60.0
# The status of an intent after the call has succeeded.
_DONE_AS: Final = {Kind.CAPTURE: Status.SUCCEEDED, Kind.CANCEL: Status.CANCELED}


async def read_provider(context: Context, payment: Payment, operation: ParkedOperation) -> AnyFact:
    """Read the intent of an operation, or all refunds of the payment's own intent. Raise Refusal if it cannot be read
    now.

    This single call of an operator does not use the budget, because Stripe's limit exceeds our rate.
    """
    provider = context.provider_of(payment)
    call = Call(
        kind=Kind.RETRIEVE,
        operation_id=operation.id,
        payment_id=payment.id,
        request=_request(provider, payment, operation),
        idempotency_key="",
        source=f"resolved:{operation.id}",
        refuse_late=lambda: None,
    )
    reached("look_up.call.before")
    outcome = await attempt(provider, call, limit_s=LOOK_UP_LIMIT_S)
    reached("look_up.call.after")
    match outcome:
        case Done(fact=fact) if fact is not None:
            return fact
        case Blocked(code=code):
            message = f"{provider.name} rejects the API key ({code}), so nothing was changed: use the same key as the service."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)
        case Transient(code=code) | Unknown(code=code):
            message = (
                f"{provider.name} cannot be read now ({code}), so nothing was changed: run the same command again."
            )
            raise Refusal(RefusalReason.NOT_YET, message, retry_after_s=1)
        case _:
            code = getattr(outcome, "code", "nothing")
            message = f"{provider.name} does not return it ({code}), so nothing was changed: check it at the provider."
            raise Refusal(RefusalReason.NOT_ALLOWED, message)


def check_against_refunds(refund: Refund, provider_id: str, lookup: RefundListFact) -> RefundListFact:
    """Return the list with our id on the refund that the operator named. Raise Refusal if it does not match."""
    found = next((one for one in lookup.refunds if one.provider_refund_id == provider_id), None)
    if found is None:
        message = f"The provider has no refund {provider_id} of this payment, so nothing was changed: compare the id."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if found.refund_id not in {None, refund.id}:
        message = f"{provider_id} carries the id of another refund, {found.refund_id}, so nothing was changed: compare the id."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if found.amount != refund.amount:
        message = f"{provider_id} is for {found.amount}, but {refund.amount} was requested, so nothing was changed: compare the id."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    named = replace(found, refund_id=refund.id)
    return replace(lookup, refunds=tuple(named if one is found else one for one in lookup.refunds))


def check_against_intent(operation: ParkedOperation, provider_id: str, lookup: AnyFact | None) -> IntentFact:
    """Return the intent as read. Raise Refusal if it is another one, or if the call was not done."""
    if not isinstance(lookup, IntentFact):
        raise Refusal(RefusalReason.NOT_ALLOWED, "It needs no attention any more: `show` displays its state.")
    if lookup.intent_id != provider_id:
        message = f"The operation is about {lookup.intent_id}, not {provider_id}, so nothing was changed: use that id."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    if lookup.status is not _DONE_AS[operation.kind]:
        message = f"{provider_id} is {lookup.status} at the provider, so the {operation.kind} did not happen: retry it."
        raise Refusal(RefusalReason.NOT_ALLOWED, message)
    return lookup


def _request(provider: Provider, payment: Payment, operation: ParkedOperation) -> Request:
    if OWN_INTENT in operation.request.path:
        if payment.provider_payment_id is None:
            raise Refusal(
                RefusalReason.NOT_ALLOWED,
                "The payment has no intent yet, so the call cannot have happened: retry it.",
            )
        return provider.retrieve_request(payment.provider_payment_id)
    return provider.lookup_request(operation.request)
