"""Check a run offline, from the provider's ledger, the database and the topics, never from the processes' own output.

Our rows and topics are compared by the engine of `payment-service verify`, which has its own tests. Every other invariant is a
function from the evidence to its violations, so that a test can also show each violation it detects.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from payment_service.db.placements import Place
from payment_service.db.pool import open_pool
from payment_service.domain.differences import Difference
from payment_service.flows.comparisons.rows import compare_rows
from payment_service.flows.comparisons.topics import Offsets, TopicRecord, compare_topics
from tests.support.flows import config_for
from tests.support.kafka import ANNOUNCEMENTS, CANCELLED_DEAD_LETTERS, DEAD_LETTERS, ORDERS, Record, Topics
from tests.support.sandbox import SandboxProcess

Row = Mapping[str, Any]

TABLES: Final = (
    "payments",
    "operations",
    "payment_events",
    "outbox_pending",
    "quarantine",
)
_OUR_STATUS: Final = {
    "requires_confirmation": "pending",
    "requires_action": "requires_action",
    "processing": "processing",
    "requires_capture": "authorized",
    "succeeded": "succeeded",
    "canceled": "canceled",
}


# The share of each effect in the sum of refunds, including pending ones.
_GIVEN_BACK: Final = {"refund.created": 1, "refund.failed": -1, "refund.canceled": -1}


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, and its subject."""

    invariant: str
    about: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence collected after a run.

    `published`: every record of `payments.*` and of the dead letter topics.
    `differences`: those between our own rows, and between the topics and the outbox.
    `orders`: the records of `orders.created`.
    `delivered`: the ids of the provider's events that were answered 2xx.
    """

    ledger: Sequence[Row]
    intents: Sequence[Row]
    delivered: Sequence[str]
    tables: Mapping[str, Sequence[Row]]
    differences: Sequence[Difference]
    orders: Sequence[Record]
    published: Sequence[Record]


def gather(
    *, sandbox: SandboxProcess, dsn: str, topics: Topics, orders: int, sent_types: Sequence[str] = ()
) -> Evidence:
    """Collect the evidence.

    `orders`: how many records the test wrote to `orders.created`.
    `sent_types`: the types of events sent, if not all.
    """
    sent = {"types": list(sent_types)} if sent_types else {}
    published = topics.read_all([*ANNOUNCEMENTS, DEAD_LETTERS, CANCELLED_DEAD_LETTERS])
    return Evidence(
        ledger=sandbox.ledger(),
        intents=list_all(sandbox, "payment_intents"),
        delivered=[event["id"] for event in list_all(sandbox, "events", delivery_success=True, **sent)],
        tables=_tables(dsn),
        differences=asyncio.run(_compare(dsn, published)),
        orders=topics.read_count(orders, topics=[ORDERS]) if orders else [],
        published=published,
    )


async def _compare(dsn: str, published: Sequence[Record]) -> list[Difference]:
    pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
    try:
        found = [difference async for difference in compare_rows(pool)]
        topics = compare_topics(pool, ReadRecords(published), deployment="default")
        return [*found, *[difference async for difference in topics]]
    finally:
        pool.terminate()


class ReadRecords:
    """Records that were read before, as the comparison with the topics needs them."""

    def __init__(self, published: Sequence[Record]) -> None:
        self._records = {record.place: record for record in map(_topic_record, published)}

    async def starts(self, since: datetime) -> Offsets:
        """Return the first offset of each partition since a time."""
        since_ms = since.timestamp() * 1000
        recent = [place for place, record in self._records.items() if record.timestamp_ms >= since_ms]
        return {(place.topic, place.partition): place.offset for place in sorted(recent, reverse=True)}

    async def read_from(self, offsets: Offsets) -> tuple[Sequence[TopicRecord], Offsets]:
        """Return all records from these offsets on."""
        wanted = (
            at for at in sorted(self._records) if at.offset >= offsets.get((at.topic, at.partition), at.offset + 1)
        )
        return [self._records[at] for at in wanted], {}

    async def read_at(self, places: Collection[Place]) -> Mapping[Place, TopicRecord | None]:
        """Return the records at places."""
        return {place: self._records[place] for place in places if place in self._records}


def _topic_record(record: Record) -> TopicRecord:
    return TopicRecord(
        place=Place(record.topic, record.partition, record.offset),
        timestamp_ms=record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers.items()),
    )


def list_all(sandbox: SandboxProcess, kind: str, **filters: object) -> list[dict[str, Any]]:
    """Return every object of a kind that the sandbox's API lists."""
    listed = getattr(sandbox.client().v1, kind).list({"limit": 100, **filters})
    return [found.to_dict() for found in listed.auto_paging_iter()]


def _tables(dsn: str) -> dict[str, list[Row]]:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        return {
            name: list(connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))) for name in TABLES
        }


def violations(evidence: Evidence) -> list[Violation]:
    """Return every violation of every invariant. The list is empty after a correct run."""
    return [found for judge in JUDGES for found in judge(evidence)]


def one_charge_per_order(evidence: Evidence) -> Iterator[Violation]:
    """I1: at most one captured charge per order, and no payable intent besides its payments' own."""
    captured = Counter(order_of(entry) for entry in evidence.ledger if entry["effect"] == "charge.captured")
    yield from (Violation("I1", order, f"captured {times} times") for order, times in captured.items() if times > 1)
    made: dict[str, list[str]] = defaultdict(list)
    for entry in evidence.ledger:
        if entry["effect"] == "intent.created":
            made[order_of(entry)].append(entry["payment_intent"])
    canceled = {entry["payment_intent"] for entry in evidence.ledger if entry["effect"] == "intent.canceled"}
    own: dict[str, set[str | None]] = defaultdict(set)
    for row in evidence.tables["payments"]:
        own[row["order_id"]].add(row["provider_payment_id"])
    ids = {str(row["id"]): row["order_id"] for row in evidence.tables["payments"]}
    epochs: Counter[str] = Counter()
    for row in evidence.tables["operations"]:
        if row["kind"] == "create":
            epochs[ids[str(row["payment_id"])]] += row["epoch"]
    for order, intents in made.items():
        if len(intents) > epochs[order]:
            yield Violation("I1", order, f"{len(intents)} intents in {epochs[order]} epochs")
        if strays := set(intents) - canceled - own[order]:
            yield Violation("I1", order, f"{sorted(strays)} could be paid beside {own[order]}")


def every_record_is_accounted_for(evidence: Evidence) -> Iterator[Violation]:
    """I2: every order record has a payment or is in quarantine."""
    paid_for = {row["order_id"] for row in evidence.tables["payments"]}
    kept = {
        (row["record_topic"], row["record_partition"], row["record_offset"]) for row in evidence.tables["quarantine"]
    }
    for record in evidence.orders:
        if _order_id(record) not in paid_for and (record.topic, record.partition, record.offset) not in kept:
            yield Violation(
                "I2", f"{record.topic}-{record.partition}@{record.offset}", "neither payment nor quarantine"
            )


def provider_agrees(evidence: Evidence) -> Iterator[Violation]:
    """I3: the provider's state equals ours for each payment that has an intent."""
    intents = {intent["id"]: intent for intent in evidence.intents}
    for row in evidence.tables["payments"]:
        if row["provider_payment_id"] is None:
            continue
        intent = intents.get(row["provider_payment_id"])
        if intent is None:
            yield Violation("I3", row["order_id"], f"the provider has no {row['provider_payment_id']}")
            continue
        theirs = (our_status(intent), intent["amount_received"])
        if theirs != (row["status"], row["captured"]):
            yield Violation("I3", row["order_id"], f"{theirs} there, {(row['status'], row['captured'])} here")


def our_status(intent: Row) -> str:
    """Translate the status of an intent, as the API shows it, to ours."""
    if intent["status"] == "requires_payment_method":
        return "declined" if intent["last_payment_error"] else "pending"
    return _OUR_STATUS[intent["status"]]


def nothing_is_unfinished(evidence: Evidence) -> Iterator[Violation]:
    """I3: no work is left. A parked item is a violation too, because no fault injected here needs an operator."""
    ids = {row["id"]: row["order_id"] for row in evidence.tables["payments"]}
    for row in evidence.tables["operations"]:
        if row["state"] not in {"done", "refused"}:
            detail = f"{row['kind']} is {row['state']}: {row['outcome']} {row['outcome_code']}"
            yield Violation("I3", ids[row["payment_id"]], detail)
    for row in evidence.tables["payment_events"]:
        if not row["processed"]:
            yield Violation("I3", row["provider_event_id"], f"not applied: {row['result']} {row['parked_reason']}")
    for row in evidence.tables["payments"]:
        if row["status"] == "created":
            yield Violation("I3", row["order_id"], "has no intent")
    for row in evidence.tables["outbox_pending"]:
        yield Violation("I3", str(row["aggregateid"]), "has an unpublished record")


def our_data_agrees(evidence: Evidence) -> Iterator[Violation]:
    """I4, I5, I7, I9: rows and topics do not contradict each other."""
    yield from (Violation(found.code, found.subject, found.detail) for found in evidence.differences)


def sums_hold(evidence: Evidence) -> Iterator[Violation]:
    """I7: the captured amount and the currency equal those of the ledger."""
    received: Counter[str] = Counter()
    currencies: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.ledger:
        currencies[order_of(entry)].add(entry["currency"])
        if entry["effect"] == "charge.captured":
            received[entry["payment_intent"]] += entry["amount"]
    for row in evidence.tables["payments"]:
        intent = row["provider_payment_id"]
        if intent and row["captured"] != received[intent]:
            yield Violation("I7", row["order_id"], f"captured {row['captured']}, the ledger {received[intent]}")
        if not currencies[row["order_id"]] <= {row["currency"]}:
            yield Violation("I7", row["order_id"], f"{row['currency']} here, {currencies[row['order_id']]} there")


def refunds_agree(evidence: Evidence) -> Iterator[Violation]:
    """I7: the refunded and reserved amounts equal those of the ledger."""
    given: Counter[str] = Counter()
    for entry in evidence.ledger:
        given[entry["payment_intent"]] += entry["amount"] * _GIVEN_BACK.get(entry["effect"], 0)
    for row in evidence.tables["payments"]:
        ours, theirs = row["refunded"] + row["reserved"], given[row["provider_payment_id"] or ""]
        if row["provider_payment_id"] and ours != theirs:
            yield Violation("I7", row["order_id"], f"{ours} returned here, {theirs} there")


def answered_is_stored(evidence: Evidence) -> Iterator[Violation]:
    """I8: an event that was answered 2xx is in the database."""
    stored = {row["provider_event_id"] for row in evidence.tables["payment_events"]}
    yield from (
        Violation("I8", event, "answered 2xx and not stored") for event in evidence.delivered if event not in stored
    )


JUDGES: Final[Sequence[Callable[[Evidence], Iterator[Violation]]]] = (
    one_charge_per_order,
    every_record_is_accounted_for,
    provider_agrees,
    nothing_is_unfinished,
    our_data_agrees,
    sums_hold,
    refunds_agree,
    answered_is_stored,
)


def order_of(entry: Row) -> str:
    return str(entry["metadata"].get("order_id"))


def _order_id(record: Record) -> str | None:
    try:
        value = record.json()
    except ValueError:
        return None
    order_id = value.get("order_id") if isinstance(value, dict) else None
    return order_id if isinstance(order_id, str) else None
