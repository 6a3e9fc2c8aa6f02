"""Wake the loops that have new work: in this process, or in others if it has no such loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db.wakeups import CANCELLATIONS, DISPATCH, RELAY, Wakeups

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payment_service.config.config import Config
    from payment_service.flows.calls.dispatch import Dispatcher
    from payment_service.flows.state.reservation import Reservation
    from payment_service.flows.timers.cancelled_orders import CancelledOrders
    from payment_service.kafka.relay import Relay


class Wakes:
    """The loops of this process, and the signals to and from other processes. `connect` names the loops."""

    def __init__(self) -> None:
        self._relay: Relay | None = None
        self._dispatchers: Sequence[Dispatcher] = ()
        self._cancelled_orders: CancelledOrders | None = None
        self._wakeups: Wakeups | None = None

    def connect(
        self,
        config: Config,
        *,
        relay: Relay | None,
        dispatchers: Sequence[Dispatcher],
        cancelled_orders: CancelledOrders,
    ) -> Wakeups:
        """Name the loops of this process; return the signals, to be started."""
        self._relay, self._dispatchers, self._cancelled_orders = relay, dispatchers, cancelled_orders
        received: dict[str, Callable[[], None]] = {}
        if relay is not None:
            received[RELAY] = relay.wake
        if dispatchers:
            received |= {DISPATCH: self._wake_dispatchers, CANCELLATIONS: cancelled_orders.wake}
        self._wakeups = Wakeups(config, received)
        return self._wakeups

    def relay(self) -> None:
        """Wake our relay if it publishes, or else the process that does."""
        if self._relay is not None and self._relay.leads:
            self._relay.wake()
        else:
            self._send(RELAY)

    def dispatcher(self) -> None:
        """Wake our dispatchers, and those of other processes if we have none or they have no free slot."""
        self._wake_dispatchers()
        if not any(dispatcher.has_free_slots for dispatcher in self._dispatchers):
            self._send(DISPATCH)

    def cancellations(self) -> None:
        """Wake the loop of canceled orders, here or in another process."""
        if self._dispatchers and self._cancelled_orders is not None:
            self._cancelled_orders.wake()
        else:
            self._send(CANCELLATIONS)

    async def reserve_creates(self, provider: str, calls: int) -> Reservation | None:
        """Reserve calls of our dispatcher, if it has free slots and tokens."""
        dispatcher = next((one for one in self._dispatchers if one.provider_name == provider), None)
        return await dispatcher.reserve(calls) if dispatcher is not None else None

    def _wake_dispatchers(self) -> None:
        for dispatcher in self._dispatchers:
            dispatcher.wake()

    def _send(self, name: str) -> None:
        if self._wakeups is not None:
            self._wakeups.send(name)
