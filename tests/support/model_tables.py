"""The model's tables as its sketch has them, and rows in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

TABLES: Final = """
    CREATE TABLE payments (
        id uuid PRIMARY KEY, order_id uuid, provider text DEFAULT 'stripe', provider_payment_id text, amount numeric, currency text,
        status text, payment_method_id text, payment_method_type text, metadata jsonb, created_at timestamptz, updated_at timestamptz);
    CREATE INDEX payments_of_order ON payments (order_id);
    CREATE INDEX payments_by_time ON payments (created_at);
    CREATE TABLE payment_events (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), payment_id uuid, event_type text, provider_event_id text, payload jsonb,
        processed boolean, processed_at timestamptz, created_at timestamptz);
    CREATE INDEX payment_events_of_payment ON payment_events (payment_id)
"""
_INSERT: Final = """
    INSERT INTO payments (id, order_id, provider, provider_payment_id, amount, currency, status, payment_method_type, metadata, created_at, updated_at)
    VALUES (%(id)s, %(order_id)s, %(provider)s, %(provider_payment_id)s, %(amount)s, %(currency)s, %(status)s, 'card', NULL,
            now() - %(days)s * interval '1 day', now() - %(days)s * interval '1 day')
"""
_FILL: Final = """
    INSERT INTO payments
    SELECT gen_random_uuid(), gen_random_uuid(), 'stripe', 'pi_' || i, i / 100.0, 'usd',
           (ARRAY['pending', 'succeeded', 'failed', 'refunded', 'partially_refunded'])[i %% 5 + 1], NULL, 'card', NULL, now(), now()
    FROM generate_series(1, %s) i
"""


class ModelTables:
    """The tables `payments` and `payment_events` of the model in a database that has nothing else."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.execute(TABLES)

    def pay(self, order_id: UUID | None = None, **row: Any) -> UUID:
        """Insert a payment of 19.99 usd that succeeded, unless `row` says otherwise; `days`: how old it is."""
        payment_id = uuid4()
        values = {
            "id": payment_id,
            "order_id": order_id or uuid4(),
            "provider": "stripe",
            "provider_payment_id": f"pi_{payment_id.hex}",
            "amount": "19.99",
            "currency": "usd",
            "status": "succeeded",
            "days": 40,
            **row,
        }
        with psycopg.connect(self.dsn) as connection:
            connection.execute(_INSERT, values)
        return payment_id

    def tell(self, payment_id: UUID, event: Mapping[str, Any], *, processed: bool = True) -> None:
        """Insert an event of a payment, as the provider sent it."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "INSERT INTO payment_events (payment_id, event_type, provider_event_id, payload, processed, created_at) "
                "VALUES (%s, %s, %s, %s, %s, now())",
                [payment_id, event.get("type"), event.get("id"), json.dumps(event), processed],
            )

    def fill(self, rows: int) -> None:
        """Insert many payments, each of an order of its own, of all statuses in turn, over 0.01, 0.02, … usd."""
        self.execute(_FILL, rows)

    def execute(self, statement: str, *arguments: object) -> None:
        """Run a statement."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode(), arguments)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()
