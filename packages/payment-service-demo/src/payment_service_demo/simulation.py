"""The rest of a store, simulated: place the orders, pay as their customers, and consume the published records."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol, Self, cast
from urllib.parse import quote, urlencode, urlsplit

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from payment_service.contracts.records import ORDERS_CREATED, ORDERS_CREATED_DLQ, TOPICS
from payment_service_demo.environment import DemoError, Environment
from payment_service_demo.received import ReceivedRecord, ReceivedRecords
from payment_service_demo.sample_orders import Sample
from payment_service_events.published_events import Failed, Initiated

BROKER_TIMEOUT_S: Final = 10
REQUEST_TIMEOUT_S: Final = 5
# Wait this long for records before the screen is drawn again.
POLL_S: Final = 0.1
# Query /v1 this often for each order that has not reached its expected state.
QUERY_INTERVAL_S: Final = 0.5
_QUIET: Final[dict[str, Any]] = {"log_level": 0, "error_cb": lambda _error: None}


class Lines(Protocol):
    """The output for progress."""

    def print_line(self, text: str) -> None:
        """Print a line."""


@dataclass(slots=True)
class Progress:
    """The observed progress of one sample order."""

    sample: Sample
    published: dict[int, str] = field(default_factory=dict)  # topics by sequence
    status: str | None = None
    payments: int = 0
    cards_tried: int = 0
    queried_at: float = 0
    payment_id: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of its records, in the order of their sequence."""
        return tuple(topic for _, topic in sorted(self.published.items()))

    @property
    def to_pay(self) -> bool:
        """True when the customer can try the next card: once when the payment exists, and once after each decline."""
        chances = sum(topic in {Initiated.topic, Failed.topic} for topic in self.published.values())
        return self.cards_tried < min(chances, len(self.sample.cards))

    @property
    def finished(self) -> bool:
        """True when both the topics and /v1 show the expected state."""
        payments = 0 if self.sample.status is None else 1
        return (self.topics, self.status, self.payments) == (self.sample.published, self.sample.status, payments)


class Simulation:
    """A simulated store. Call `poll` repeatedly: each call takes about 0.1 s. The end of `with` closes its clients."""

    def __init__(
        self, environment: Environment, lines: Lines, samples: Sequence[Sample], received: ReceivedRecords
    ) -> None:
        self._environment = environment
        self._lines = lines
        self._orders = {sample.order_id: Progress(sample) for sample in samples}
        self._received = received
        self._brokers = environment.env["KAFKA_BROKERS"]
        self._consumer = Consumer(
            {"bootstrap.servers": self._brokers, "group.id": "demo", "enable.auto.commit": False, **_QUIET}
        )

    def __enter__(self) -> Self:
        listed = (
            AdminClient({"bootstrap.servers": self._brokers, **_QUIET}).list_topics(timeout=BROKER_TIMEOUT_S).topics
        )
        # Optional topics may be absent.
        names = [name for name in TOPICS if name != ORDERS_CREATED and name in listed]
        places = [(name, number) for name in names for number in listed[name].partitions]
        # Assign instead of subscribe: a group of one needs no rebalance.
        self._consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for name, number in places])
        return self

    def __exit__(self, *_error: object) -> None:
        self._consumer.close()

    def place_orders(self) -> None:
        """Write the sample orders to `orders.created`. Raises DemoError."""
        producer = Producer({"bootstrap.servers": self._brokers, "acks": "all", **_QUIET})
        for progress in self._orders.values():
            sample = progress.sample
            for _ in range(sample.copies):
                producer.produce(ORDERS_CREATED, key=sample.order_id, value=sample.value())
            self._print(
                sample.order_id, ORDERS_CREATED, f"{sample.total} {sample.currency}; the customer {sample.story}"
            )
        if left := producer.flush(BROKER_TIMEOUT_S):
            message = f"{left} orders could not be written to {ORDERS_CREATED}."
            raise DemoError(message)

    def poll(self) -> None:
        """Take new records, act as the customers, and query /v1 for the status of payments."""
        for message in self._consumer.consume(num_messages=100, timeout=POLL_S):
            if message.error() is None:
                self._take(message)
        for progress in self._orders.values():
            if progress.to_pay:
                self._pay(progress)
            if not progress.finished and time.monotonic() - progress.queried_at > QUERY_INTERVAL_S:
                self._query(progress)

    def rows(self) -> list[Progress]:
        """Return the progress of every order."""
        return list(self._orders.values())

    def all_finished(self) -> bool:
        """Return True when every order is in its expected state."""
        return all(progress.finished for progress in self._orders.values())

    def problems(self) -> list[str]:
        """Return a line for each order that is not in its expected state: expected and actual."""
        return [
            f"{progress.sample.order_id}: expected {_describe(progress.sample.status, progress.sample.published)}; "
            f"found {_describe(progress.status, progress.topics)}{f', {progress.payments} payments' if progress.payments > 1 else ''}"
            for progress in self._orders.values()
            if not progress.finished
        ]

    def _take(self, message: Message) -> None:
        topic = str(message.topic())
        headers = {name: _text(value) for name, value in cast("list[tuple[str, bytes]]", message.headers() or [])}
        value = _object(message.value())
        order_id = _line(value.get("order_id", "(unreadable)"))
        if topic == ORDERS_CREATED_DLQ:
            place = f"{headers.get('dlq_partition')}-{headers.get('dlq_offset')}"
            self._print(order_id, topic, f"refused: {headers.get('dlq_reason')} (record {place})")
        else:
            self._print(order_id, topic, _payment_text(topic, value), headers["ce_sequence"])
        sequence, attempt = (int(headers.get(name, "0")) for name in ("ce_sequence", "ce_attempt"))
        self._received.add(order_id, ReceivedRecord(topic, value, sequence, attempt))
        progress = self._orders.get(order_id)
        if progress is None:
            return
        progress.published[int(headers.get("ce_sequence", "1"))] = topic
        progress.queried_at = 0
        progress.payment_id = value.get("payment_id", "")

    def _pay(self, progress: Progress) -> None:
        """Confirm the payment's intent with the customer's next card, as the page of a shop would."""
        try:
            intent = self._get(f"/v1/payments/{quote(progress.payment_id)}")["provider_payment_id"]
        except (OSError, http.client.HTTPException):
            return  # the next poll retries
        card = progress.sample.cards[progress.cards_tried]
        progress.cards_tried += 1
        status, answer = _call(
            "POST",
            f"{self._environment.sandbox_url}/v1/payment_intents/{quote(intent)}/confirm",
            key=self._environment.env["STRIPE_SECRET_KEY"],
            form={"payment_method": card},
        )
        if status not in {HTTPStatus.OK, HTTPStatus.PAYMENT_REQUIRED}:  # 402: the card was declined
            message = (
                f"The Stripe sandbox answered {status} to a customer's {card}: {answer.get('error', {}).get('message')}"
            )
            raise DemoError(message)

    def _query(self, progress: Progress) -> None:
        progress.queried_at = time.monotonic()
        try:
            payments = self._get(f"/v1/payments?{urlencode({'order_id': progress.sample.order_id})}")["data"]
        except (OSError, http.client.HTTPException):
            return  # retried; if it never answers, the orders do not finish
        progress.payments = len(payments)
        status = payments[-1]["status"] if payments else None
        if status != progress.status:
            self._print(progress.sample.order_id, "/v1/payments", str(status))
        progress.status = status

    def _get(self, path: str) -> Any:
        status, answer = _call("GET", f"{self._environment.service_url}{path}", key=self._environment.api_key)
        if status != HTTPStatus.OK:
            message = f"The service answered {status} to GET {path}: {answer.get('detail') or answer.get('title')}"
            raise DemoError(message)
        return answer

    def _print(self, order_id: str, topic: str, text: str, sequence: str = "") -> None:
        self._lines.print_line(f"{order_id:<10}{topic:<20}{f'#{sequence}' if sequence else '':<4}{text}")


def _payment_text(topic: str, value: Mapping[str, Any]) -> str:
    money = f"{value['amount']} {value['currency']}"
    match topic.removeprefix("payments."):
        case "failed":
            return f"{money}: {value['reason']}{'' if value['final'] else ' (may still be paid)'}"
        case "succeeded":
            return f"{money} by {value['payment_method']}"
        case _:
            return money


def _describe(status: str | None, topics: Sequence[str]) -> str:
    return f"{status or 'no payment'} and {' → '.join(topics) or 'nothing published'}"


def _object(value: object) -> dict[str, Any]:
    """Read a record's JSON object. A dead letter holds whatever was sent, so it may not be one."""
    try:
        read = json.loads(_text(value) or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _line(value: object) -> str:
    """Return foreign text as one short line without control characters, safe for a terminal."""
    return "".join(character if character.isprintable() else "?" for character in str(value))[:40]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _call(method: str, url: str, *, key: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Make one request. Raises OSError or HTTPException when no response arrives."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=REQUEST_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {key}"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, None if form is None else urlencode(form), headers)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        return response.status, answer if isinstance(answer, dict) else {}
    finally:
        connection.close()
