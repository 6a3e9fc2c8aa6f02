"""Compare the audit with its hash chain, and the chain with heads that were published. It only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.db import audit_chain
from payment_service.domain.audit_chain import Fault, Head, Tampering, Verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from payment_service.db.pool import Connection, Pool


class AuditComparison:
    """A comparison of the whole audit. `head` and `waiting` (entries that the next seal covers) are known at its end."""

    def __init__(self, connection: Connection | Pool, heads: Iterable[Head] = ()) -> None:
        self._connection = connection
        self._verifier = Verifier(heads)
        self.waiting = 0

    @property
    def head(self) -> Head:
        """Return the last link so far."""
        return self._verifier.last

    async def faults(self) -> AsyncIterator[Fault]:
        """Return every fault, in the order of the chain; then entries outside of it."""
        async for link in audit_chain.links(self._connection):
            for fault in self._verifier.take(link):
                yield fault
        for fault in self._verifier.end():
            yield fault
        async for one in audit_chain.unsealed(self._connection):
            if one.waits:
                self.waiting += 1
            else:
                detail = f"entry {one.audit_id} has no link: it was inserted past the service, or its link was deleted"
                yield Fault(Tampering.INSERTED, None, one.audit_id, detail)
