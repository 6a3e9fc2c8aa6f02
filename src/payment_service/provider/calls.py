"""Call a provider, which may be third-party code, so that the caller always gets an outcome in time."""

from __future__ import annotations

import asyncio
from traceback import extract_tb
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from payment_service.provider.port import Outcome, TooLate, Transient, Unknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from uuid import UUID

    from payment_service.domain.payment import IntentFact
    from payment_service.provider.listed_objects import ListedObject, ListedPage, NoObject, ObjectKind, Reconcilable
    from payment_service.provider.port import Call, Checkout, EventPage, Provider, RecentEvents

T = TypeVar("T")

log = structlog.get_logger(__name__)

# Providers keep to the time limit themselves. Calls of one that does not are aborted after this grace, to free their
# slot.
GRACE_S: Final = 2.0
# A listing has at most a thousand pages, each within the limit of a call.
LISTING_LIMIT_S: Final = 600.0


async def attempt(provider: Provider, call: Call, *, limit_s: float) -> Outcome:
    """Make one attempt within `limit_s`. Return Unknown if the provider raises, hangs or returns no outcome. Raise
    TooLate.
    """
    try:
        async with asyncio.timeout(limit_s + GRACE_S):
            answer: object = await provider.send(call)
    except TooLate:
        raise
    except TimeoutError:
        return _unknown(provider, "no_answer_in_time", operation_id=call.operation_id)
    except Exception as error:  # noqa: BLE001 - third-party code may raise anything, so the result is unknown
        return _unknown(provider, _raised(error), operation_id=call.operation_id)
    if not isinstance(answer, Outcome):
        return _unknown(provider, f"no_outcome:{type(answer).__name__}", operation_id=call.operation_id)
    return answer


async def list_intents(
    provider: Provider, *, created_from: int, created_to: int, limit: int
) -> Mapping[UUID, tuple[IntentFact | None, ...]] | None:
    """List the intents of a window. Return None if the list is incomplete, for whatever reason."""
    try:
        async with asyncio.timeout(LISTING_LIMIT_S):
            return await provider.find_intents(created_from=created_from, created_to=created_to, limit=limit)
    except Exception as error:  # noqa: BLE001 - as above
        log.error("provider_failed", provider=provider.name, code=_raised(error))
        return None


async def read_checkout(provider: Provider, intent_id: str, *, limit_s: float) -> Checkout | Transient:
    """Read how a customer pays an intent, within `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            return await provider.checkout(intent_id)
    except TimeoutError:
        return Transient(code="timeout", retry_after_s=0)
    except Exception as error:  # noqa: BLE001 - as above
        log.error("provider_failed", provider=provider.name, code=_raised(error))
        return Transient(code="raised", retry_after_s=0)


async def read_events(
    provider: RecentEvents, *, created_from: int, created_to: int | None, after: str, limit_s: float
) -> EventPage | Transient:
    """Read a page of the provider's latest events, within `limit_s`."""
    return await _read_within(
        provider.recent_events(created_from=created_from, created_to=created_to, after=after), limit_s
    )


async def list_objects(
    provider: Reconcilable, kind: ObjectKind, *, created_from: int, created_to: int, after: str, limit_s: float
) -> ListedPage | Transient:
    """List a page of a provider's objects, within `limit_s`."""
    return await _read_within(
        provider.list_objects(kind, created_from=created_from, created_to=created_to, after=after), limit_s
    )


async def read_object(
    provider: Reconcilable, kind: ObjectKind, object_id: str, *, limit_s: float
) -> ListedObject | NoObject | Transient:
    """Read one object of a provider, within `limit_s`."""
    return await _read_within(provider.read_object(kind, object_id), limit_s)


async def _read_within(reading: Awaitable[T], limit_s: float) -> T | Transient:
    try:
        async with asyncio.timeout(limit_s + GRACE_S):
            return await reading
    except TimeoutError:
        return Transient(code="timeout", retry_after_s=0)
    except Exception as error:  # noqa: BLE001 - as above
        log.error("provider_failed", code=_raised(error))
        return Transient(code="raised", retry_after_s=0)


def _unknown(provider: Provider, code: str, **more: object) -> Unknown:
    log.error("provider_failed", provider=provider.name, code=code, **more)
    return Unknown(code=code[:100])


def _raised(error: Exception) -> str:
    """Return the type and origin of an error without its text, which may contain a provider's secrets."""
    frames = extract_tb(error.__traceback__)
    return f"raised:{type(error).__name__}" + (f" at {frames[-1].name}:{frames[-1].lineno}" if frames else "")
