"""The rest of the store, in small: places the orders, pays as their customers, and listens to what is announced."""

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

from payment_service.contracts.records import (
    ORDERS_CREATED,
    ORDERS_CREATED_DLQ,
    PAYMENTS_FAILED,
    PAYMENTS_INITIATED,
    TOPICS,
)
from payment_service_demo.heard import Heard, Told
from payment_service_demo.sample_orders import Sample
from payment_service_demo.stage import DemoError, Stage

BROKER_TIMEOUT_S: Final = 10
REQUEST_TIMEOUT_S: Final = 5
# How long to wait for records before the screen is drawn again.
POLL_S: Final = 0.1
# /v1 is asked this often about orders that have not settled.
ASK_INTERVAL_S: Final = 0.5
_QUIET: Final[dict[str, Any]] = {"log_level": 0, "error_cb": lambda _error: None}


class Lines(Protocol):
    """Where the store says what it sees."""

    def say(self, text: str) -> None:
        """Show a line."""


@dataclass(slots=True)
class Progress:
    """What is known of one sample order."""

    sample: Sample
    announced: dict[int, str] = field(default_factory=dict)  # topics by sequence
    status: str | None = None
    payments: int = 0
    tried: int = 0  # cards
    asked_at: float = 0
    payment_id: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that announced it, in the order of their sequence."""
        return tuple(topic for _, topic in sorted(self.announced.items()))

    @property
    def to_pay(self) -> bool:
        """Whether the customer can try the next card: once when the payment is there, and once after each decline."""
        invited = sum(topic in {PAYMENTS_INITIATED, PAYMENTS_FAILED} for topic in self.announced.values())
        return self.tried < min(invited, len(self.sample.cards))

    @property
    def settled(self) -> bool:
        """Whether it is as expected, by the topics and by /v1."""
        payments = 0 if self.sample.status is None else 1
        return (self.topics, self.status, self.payments) == (self.sample.announced, self.sample.status, payments)


class Store:
    """Acts in `look`, a tenth of a second at a time; closes its clients at the end of `with`."""

    def __init__(self, stage: Stage, lines: Lines, samples: Sequence[Sample], heard: Heard) -> None:
        self._stage = stage
        self._lines = lines
        self._orders = {sample.order_id: Progress(sample) for sample in samples}
        self._heard = heard
        self._brokers = stage.env["KAFKA_BROKERS"]
        self._consumer = Consumer(
            {"bootstrap.servers": self._brokers, "group.id": "demo", "enable.auto.commit": False, **_QUIET}
        )

    def __enter__(self) -> Self:
        listed = (
            AdminClient({"bootstrap.servers": self._brokers, **_QUIET}).list_topics(timeout=BROKER_TIMEOUT_S).topics
        )
        # Optional topics may not be there.
        names = [name for name in TOPICS if name != ORDERS_CREATED and name in listed]
        places = [(name, number) for name in names for number in listed[name].partitions]
        # Assigned, not subscribed: a group of one needs no broker to hand out its partitions.
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
            self._say(sample.order_id, ORDERS_CREATED, f"{sample.total} {sample.currency}; the customer {sample.story}")
        if left := producer.flush(BROKER_TIMEOUT_S):
            message = f"{left} orders could not be written to {ORDERS_CREATED}."
            raise DemoError(message)

    def look(self) -> None:
        """Take what was announced, let customers act on it, and ask /v1 how payments stand."""
        for message in self._consumer.consume(num_messages=100, timeout=POLL_S):
            if message.error() is None:
                self._take(message)
        for progress in self._orders.values():
            if progress.to_pay:
                self._pay(progress)
            if not progress.settled and time.monotonic() - progress.asked_at > ASK_INTERVAL_S:
                self._ask(progress)

    def rows(self) -> list[Progress]:
        """Give what is known of every order."""
        return list(self._orders.values())

    def all_settled(self) -> bool:
        """Whether every order is as expected."""
        return all(progress.settled for progress in self._orders.values())

    def problems(self) -> list[str]:
        """Say of every order that is not as expected what was expected and what is."""
        return [
            f"{progress.sample.order_id}: expected {_describe(progress.sample.status, progress.sample.announced)}; "
            f"found {_describe(progress.status, progress.topics)}{f', {progress.payments} payments' if progress.payments > 1 else ''}"
            for progress in self._orders.values()
            if not progress.settled
        ]

    def _take(self, message: Message) -> None:
        topic = str(message.topic())
        headers = {name: _text(value) for name, value in cast("list[tuple[str, bytes]]", message.headers() or [])}
        value = _object(message.value())
        order_id = _line(value.get("order_id", "(unreadable)"))
        if topic == ORDERS_CREATED_DLQ:
            place = f"{headers.get('dlq_partition')}-{headers.get('dlq_offset')}"
            self._say(order_id, topic, f"refused: {headers.get('dlq_reason')} (record {place})")
        else:
            self._say(order_id, topic, _say_payment(topic, value), headers["ce_sequence"])
        sequence, attempt = (int(headers.get(name, "0")) for name in ("ce_sequence", "ce_attempt"))
        self._heard.note(order_id, Told(topic, value, sequence, attempt))
        progress = self._orders.get(order_id)
        if progress is None:
            return
        progress.announced[int(headers.get("ce_sequence", "1"))] = topic
        progress.asked_at = 0
        progress.payment_id = value.get("payment_id", "")

    def _pay(self, progress: Progress) -> None:
        """Confirm the payment's intent with the customer's next card, as the shop's page would."""
        try:
            intent = self._get(f"/v1/payments/{quote(progress.payment_id)}")["provider_payment_id"]
        except (OSError, http.client.HTTPException):
            return  # tried again
        card = progress.sample.cards[progress.tried]
        progress.tried += 1
        status, answer = _call(
            "POST",
            f"{self._stage.sandbox_url}/v1/payment_intents/{quote(intent)}/confirm",
            key=self._stage.env["STRIPE_SECRET_KEY"],
            form={"payment_method": card},
        )
        if status not in {HTTPStatus.OK, HTTPStatus.PAYMENT_REQUIRED}:  # 402: the card was declined
            message = f"The Stripe emulator answered {status} to a customer's {card}: {answer.get('error', {}).get('message')}"
            raise DemoError(message)

    def _ask(self, progress: Progress) -> None:
        progress.asked_at = time.monotonic()
        try:
            payments = self._get(f"/v1/payments?{urlencode({'order_id': progress.sample.order_id})}")["data"]
        except (OSError, http.client.HTTPException):
            return  # asked again; if it never answers, the orders don't settle
        progress.payments = len(payments)
        status = payments[-1]["status"] if payments else None
        if status != progress.status:
            self._say(progress.sample.order_id, "/v1/payments", str(status))
        progress.status = status

    def _get(self, path: str) -> Any:
        status, answer = _call("GET", f"{self._stage.service_url}{path}", key=self._stage.api_key)
        if status != HTTPStatus.OK:
            message = f"The service answered {status} to GET {path}: {answer.get('detail') or answer.get('title')}"
            raise DemoError(message)
        return answer

    def _say(self, order_id: str, topic: str, text: str, sequence: str = "") -> None:
        self._lines.say(f"{order_id:<10}{topic:<20}{f'#{sequence}' if sequence else '':<4}{text}")


def _say_payment(topic: str, value: Mapping[str, Any]) -> str:
    money = f"{value['amount']} {value['currency']}"
    match topic.removeprefix("payments."):
        case "failed":
            return f"{money}: {value['reason']}{'' if value['final'] else ' (may still be paid)'}"
        case "succeeded":
            return f"{money} by {value['payment_method']}"
        case _:
            return money


def _describe(status: str | None, topics: Sequence[str]) -> str:
    return f"{status or 'no payment'} and {' → '.join(topics) or 'nothing announced'}"


def _object(value: object) -> dict[str, Any]:
    """Read a record's JSON object; a dead letter is whatever was sent, so it may be none."""
    try:
        read = json.loads(_text(value) or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _line(value: object) -> str:
    """Show what somebody sent as one short line that a terminal can be trusted with."""
    return "".join(character if character.isprintable() else "?" for character in str(value))[:40]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _call(method: str, url: str, *, key: str, form: Mapping[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Make one request. Raises OSError or HTTPException when there is no answer."""
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
