"""The creates of a batch of orders: inserted as claimed where a call may start at once, otherwise as due."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

from payment_service.db import operations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from uuid import UUID

    from payment_service.db.operations import Claimed, NewOperation
    from payment_service.db.pool import Connection
    from payment_service.flows.state.context import Context
    from payment_service.flows.state.reservation import Reservation


class Creates:
    """Around a transaction: reserve calls before it, enqueue within it, start the calls after it. After an error, free them."""

    def __init__(self) -> None:
        self._reservations: dict[str, Reservation] = {}
        self._claimed: list[Claimed] = []
        self._held: dict[str, list[UUID]] = {}
        self.waiting = False

    @classmethod
    async def reserve(cls, context: Context, providers: Sequence[str]) -> Creates:
        """Reserve a call for each of these creates, as far as they may start at once."""
        made = cls()
        try:
            for name, calls in Counter(providers).items():
                if (reservation := await context.reserve_creates(name, calls)) is not None:
                    made._reservations[name] = reservation
                    made._held[name] = []
        except BaseException:
            made._withdraw()
            raise
        return made

    async def enqueue(
        self, connection: Connection, calls: Sequence[NewOperation], *, withdrawn: Mapping[UUID, str]
    ) -> None:
        """Queue the creates. `withdrawn`: payments that are canceled already, with the reason."""
        if not calls:
            return
        workers: dict[UUID, UUID] = {}
        for call in calls:
            reservation = self._reservations.get(call.provider)
            held = self._held.get(call.provider, [])
            if reservation is None or len(held) >= reservation.calls or call.look_first or call.payment_id in withdrawn:
                continue
            workers[call.id] = reservation.worker
            held.append(call.id)
            reservation.reserver.hold([call.id])
        self._claimed = await operations.enqueue(connection, calls, workers)
        self.waiting = len(self._claimed) < len(calls)
        for payment_id, reason in withdrawn.items():
            await operations.withdraw_create(connection, payment_id, reason)

    async def __aenter__(self) -> Self:
        """Begin the transaction."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Start the calls that were committed, or free their slots after an error."""
        if kind is not None:
            self._withdraw()
            return
        for name, reservation in self._reservations.items():
            held = set(self._held[name])
            claimed = [one for one in self._claimed if one.id in held]
            reservation.reserver.begin_reserved(reservation, claimed)

    def _withdraw(self) -> None:
        for name, reservation in self._reservations.items():
            reservation.reserver.withdraw(reservation, self._held[name])
