"""How long rows are kept that other modules than the maintenance must know. A server imports this without its SQL toolkit."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# Published records are kept for questions and for `outbox republish`. Kafka has them, too.
OUTBOX_KEPT: Final = timedelta(days=7)
