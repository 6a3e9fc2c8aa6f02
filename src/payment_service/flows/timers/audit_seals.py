"""Seal the audit into its hash chain within seconds, and publish the head in the log ([decision 17](docs/decisions/0017-audit-chain.md)).

The log leaves the database. So its owner cannot rewrite entries whose head was published, and `audit verify --heads` finds it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

from payment_service.db import audit_chain
from payment_service.domain.audit_chain import hash_text
from payment_service.loop import Loop

if TYPE_CHECKING:
    from payment_service.db.pool import Pool

log = structlog.get_logger(__name__)

# The head is also published without new entries, so that logs of any hour contain it.
PUBLISH_INTERVAL_S: Final = 3_600.0


class AuditSeals:
    """Seals the entries that wait."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._published_s = -PUBLISH_INTERVAL_S
        self.loop = Loop("audit_seals", self.seal_once)

    async def seal_once(self) -> int:
        """Seal a batch, and log the head after it. Return the number of entries."""
        sealed, head = await audit_chain.seal(self._pool)
        now_s = time.monotonic()
        if sealed or (head.position and now_s - self._published_s >= PUBLISH_INTERVAL_S):
            log.info("audit_head", position=head.position, hash=hash_text(head.hash), sealed=sealed)
            self._published_s = now_s
        return sealed
