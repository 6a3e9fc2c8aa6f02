"""Check a run offline, from the provider's ledger, the database and the topics, never from the processes' own output.

Every invariant is a function from the evidence to its violations, so that a test can also show each violation it detects.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from tests.support.kafka import ANNOUNCEMENTS, CANCELLED_DEAD_LETTERS, DEAD_LETTERS, ORDERS, Record, Topics
from tests.support.sandbox import SandboxProcess

Row = Mapping[str, Any]

TABLES: Final = (
    "payments",
    "operations",
    "payment_events",
    "payment_history",
    "outbox",
    "outbox_pending",
    "parked_aggregates",
    "quarantine",
    "refunds",
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
    `orders`: the records of `orders.created`.
    `delivered`: the ids of the provider's events that were answered 2xx.
    """

    ledger: Sequence[Row]
    intents: Sequence[Row]
    delivered: Sequence[str]
    tables: Mapping[str, Sequence[Row]]
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
    return Evidence(
        ledger=sandbox.ledger(),
        intents=list_all(sandbox, "payment_intents"),
        delivered=[event["id"] for event in list_all(sandbox, "events", delivery_success=True, **sent)],
        tables=_tables(dsn),
        orders=topics.read_count(orders, topics=[ORDERS]) if orders else [],
        published=topics.read_all([*ANNOUNCEMENTS, DEAD_LETTERS, CANCELLED_DEAD_LETTERS]),
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
    captured = Counter(_order(entry) for entry in evidence.ledger if entry["effect"] == "charge.captured")
    yield from (Violation("I1", order, f"captured {times} times") for order, times in captured.items() if times > 1)
    made: dict[str, list[str]] = defaultdict(list)
    for entry in evidence.ledger:
        if entry["effect"] == "intent.created":
            made[_order(entry)].append(entry["payment_intent"])
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


def published_once(evidence: Evidence) -> Iterator[Violation]:
    """I4: one outbox row per record, each published, and nothing published that is not in the outbox."""
    rows = {_outbox_name(row): row for row in evidence.tables["outbox"]}
    if len(rows) != len(evidence.tables["outbox"]):
        yield Violation("I4", "outbox", "two rows publish the same event")
    unpublished = {row["position"] for row in evidence.tables["outbox_pending"]}
    seen = {_record_name(record): record for record in evidence.published}
    for name, row in rows.items():
        if row["position"] in unpublished or name not in seen:
            yield Violation("I4", name, f"{row['type']} was not published")
    for record in evidence.published:
        row = rows.get(_record_name(record), {})
        if (row.get("type"), row.get("key"), row.get("payload")) != (record.topic, record.key, record.value):
            yield Violation("I4", _record_name(record), f"{record.topic} has what the outbox has not")
    in_history = Counter(
        (row["payment_id"], row["sequence"], row["published_topic"]) for row in evidence.tables["payment_history"]
    )
    written = Counter((row["aggregateid"], row["sequence"], row["type"]) for row in rows.values() if row["sequence"])
    for missing in (in_history - written) + (written - in_history):
        if missing[1] is not None:
            yield Violation("I4", str(missing[0]), f"history and outbox differ at {missing[1:]}")


def in_order(evidence: Evidence) -> Iterator[Violation]:
    """I5: first occurrences of a payment's records have the sequences 1..n, by partition order and time of sending."""
    first: dict[str, Record] = {}
    for record in evidence.published:
        if record.sequence:
            first.setdefault(_record_name(record), record)
    by_payment: dict[str, list[Record]] = defaultdict(list)
    for record in first.values():
        by_payment[(record.key or b"").decode()].append(record)
    for payment, records in by_payment.items():
        yield from (Violation("I5", payment, detail) for detail in _disorder(records))
    positions = [(row["aggregateid"], row["position"], row["sequence"]) for row in evidence.tables["outbox"]]
    for payment_id, before, after in _neighbours(row for row in positions if row[2]):
        if before >= after:
            yield Violation("I5", str(payment_id), f"written as {after} after {before}")


def _disorder(records: Sequence[Record]) -> Iterator[str]:
    """Describe every disorder among the records of one payment, given in the order of their topics."""
    numbers = sorted(record.sequence for record in records)
    if numbers != list(range(1, len(records) + 1)):
        yield f"numbered {numbers}"
    for topic in {record.topic for record in records}:
        of_topic = [record.sequence for record in records if record.topic == topic]
        if of_topic != sorted(of_topic):
            yield f"{topic} has {of_topic}"
        if len({record.partition for record in records if record.topic == topic}) > 1:
            yield f"{topic} has it on several partitions"
    sent = [record.timestamp_ms for record in sorted(records, key=lambda record: record.sequence)]
    if sent != sorted(sent):
        yield f"sent at {sent}"


def sums_hold(evidence: Evidence) -> Iterator[Violation]:
    """I7: 0 ≤ refunded ≤ captured ≤ amount, in one currency, and captured equals the ledger."""
    received: Counter[str] = Counter()
    currencies: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.ledger:
        currencies[_order(entry)].add(entry["currency"])
        if entry["effect"] == "charge.captured":
            received[entry["payment_intent"]] += entry["amount"]
    for row in evidence.tables["payments"]:
        if not 0 <= row["refunded"] <= row["captured"] <= row["amount"]:
            yield Violation("I7", row["order_id"], f"{row['refunded']} of {row['captured']} of {row['amount']}")
        intent = row["provider_payment_id"]
        if intent and row["captured"] != received[intent]:
            yield Violation("I7", row["order_id"], f"captured {row['captured']}, the ledger {received[intent]}")
        if not currencies[row["order_id"]] <= {row["currency"]}:
            yield Violation("I7", row["order_id"], f"{row['currency']} here, {currencies[row['order_id']]} there")


def refunds_agree(evidence: Evidence) -> Iterator[Violation]:
    """I7: each refund at the provider has one row, and the sums equal those of the rows and of the ledger."""
    given: Counter[str] = Counter()
    for entry in evidence.ledger:
        given[entry["payment_intent"]] += entry["amount"] * _GIVEN_BACK.get(entry["effect"], 0)
    sums: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in evidence.tables["refunds"]:
        sums[row["payment_id"]][row["status"]] += row["amount"]
    for row in evidence.tables["payments"]:
        of = sums[row["id"]]
        held = of["pending"] + of["requires_action"]
        if (row["refunded"], row["reserved"]) != (of["succeeded"], held):
            yield Violation("I7", row["order_id"], f"{row['refunded']}+{row['reserved']}, its refunds {dict(of)}")
        theirs = given[row["provider_payment_id"] or ""]
        if row["provider_payment_id"] and row["refunded"] + held != theirs:
            yield Violation("I7", row["order_id"], f"{row['refunded']}+{held} given back here, {theirs} there")


def answered_is_stored(evidence: Evidence) -> Iterator[Violation]:
    """I8: an event that was answered 2xx is in the database."""
    stored = {row["provider_event_id"] for row in evidence.tables["payment_events"]}
    yield from (
        Violation("I8", event, "answered 2xx and not stored") for event in evidence.delivered if event not in stored
    )


def applied_once(evidence: Evidence) -> Iterator[Violation]:
    """I9: one row per event, one change per cause, and no change without the state it names."""
    events = Counter(row["provider_event_id"] for row in evidence.tables["payment_events"])
    yield from (Violation("I9", event, f"stored {times} times") for event, times in events.items() if times > 1)
    causes = Counter(
        (row["payment_id"], row["cause"], row["published_topic"]) for row in evidence.tables["payment_history"]
    )
    for (payment, cause, published), times in causes.items():
        if times > 1 and published is not None:
            yield Violation("I9", str(payment), f"{cause} was published {times} times as {published}")


JUDGES: Final[Sequence[Callable[[Evidence], Iterator[Violation]]]] = (
    one_charge_per_order,
    every_record_is_accounted_for,
    provider_agrees,
    nothing_is_unfinished,
    published_once,
    in_order,
    sums_hold,
    refunds_agree,
    answered_is_stored,
    applied_once,
)


def _order(entry: Row) -> str:
    return str(entry["metadata"].get("order_id"))


def _order_id(record: Record) -> str | None:
    try:
        value = record.json()
    except ValueError:
        return None
    order_id = value.get("order_id") if isinstance(value, dict) else None
    return order_id if isinstance(order_id, str) else None


def _outbox_name(row: Row) -> str:
    headers = dict(row["headers"] if not isinstance(row["headers"], str) else json.loads(row["headers"]))
    return headers.get("ce_id") or _place(headers)


def _record_name(record: Record) -> str:
    headers = {name: (value or b"").decode("latin-1") for name, value in record.headers.items()}
    return headers.get("ce_id") or _place(headers)


def _place(headers: Mapping[str, str]) -> str:
    return f"{headers.get('dlq_topic')}-{headers.get('dlq_partition')}@{headers.get('dlq_offset')}"


def _neighbours(rows: Iterable[tuple[Any, int, int]]) -> Iterator[tuple[Any, int, int]]:
    """Yield adjacent sequences per payment, in the order of positions."""
    last: dict[Any, int] = {}
    for payment_id, _position, sequence in sorted(rows, key=lambda row: row[1]):
        yield payment_id, last.get(payment_id, 0), sequence
        last[payment_id] = sequence
