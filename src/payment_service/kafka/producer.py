"""A Kafka producer with its own threads: the event loop hands records over, and delivery reports come back in batches."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Client

from payment_service.kafka.broker_status import BrokerStatus
from payment_service.rate_limiter import LineFolder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from confluent_kafka import Message

    from payment_service.config.config import Config
    from payment_service.db.outbox import OutboxRow

log = structlog.get_logger(__name__)

# Long enough for a broker's failover. After it the outcome is unknown and the record is sent again.
MESSAGE_TIMEOUT_MS: Final = 15_000
REQUEST_TIMEOUT_MS: Final = 10_000
LINGER_MS: Final = 3  # collects the records of about one network round trip
# A broker refuses a batch above the topic's limit as a whole. With small batches, only a record that is itself large
# can be refused.
BATCH_LIMIT_BYTES: Final = 65_536
QUEUE_LIMIT_KBYTES: Final = 65_536  # more than the relay ever has in flight
# An unknown topic counts as missing this long after its first use.
TOPIC_PROPAGATION_MS: Final = 2_000
RECONNECT_MAX_MS: Final = 1_000  # maximum delay before a recovered broker is noticed
POLL_S: Final = 0.1
IDLE_POLL_S: Final = 1.0  # without records, only errors of connections are reported
LOG_INTERVAL_S: Final = 60.0  # how often the same error is logged
LIBRARY_LOG_LEVEL: Final = 2  # the error callback reports what matters, once
CLOSE_S: Final = 2.0

_TOPIC_ERRORS: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - the library's names for its own findings begin so
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
    }
)
_RECORD_ERRORS: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError._INVALID_ARG,  # noqa: SLF001
    }
)


class FailureScope(Enum):
    """The scope of a failed delivery, and so of the records that have to wait."""

    BROKER = auto()  # every record, until the broker recovers
    TOPIC = auto()  # aggregates whose next record goes to this topic
    RECORD = auto()  # this record's aggregate, until an operator has looked at it


class DeliveryReport(NamedTuple):
    """The outcome of one record. With `failure` None, all in-sync replicas have it at this partition and offset."""

    position: int
    failure: FailureScope | None = None
    reason: str = ""
    refused_here: bool = False  # by the client, so this record is at fault and not another in its batch
    partition: int = -1
    offset: int = -1


class RecordProducer(Protocol):
    """The producer interface that the relay needs."""

    @property
    def failed(self) -> bool:
        """Return True if the producer cannot be used any more."""

    def send(self, row: OutboxRow) -> None:
        """Hand over a record; its report follows later."""

    def drain_reports(self) -> list[DeliveryReport]:
        """Return the reports since the last call."""

    async def close(self) -> None:
        """Drop unacknowledged records; their late reports are lost."""


class Producer:
    """librdkafka's idempotent producer with acks=all. It calls `notify` in `loop` when reports are ready.

    `now` is the database's clock. It dates the records, because hosts take over from each other and may disagree.
    """

    def __init__(
        self,
        config: Config,
        *,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[], None],
        now: Callable[[], datetime],
        broker_status: BrokerStatus | None = None,
    ) -> None:
        self._loop = loop
        self._now = now
        self._broker_status = broker_status or BrokerStatus()
        self._notify = notify
        self._reports: deque[DeliveryReport] = deque()
        self._notified = False
        self._closing = threading.Event()
        self._sent = threading.Event()
        self._failure: str | None = None
        self._lines = LineFolder(every_s=LOG_INTERVAL_S)
        self._client = Client(self._settings(config), logger=logging.getLogger("librdkafka"))
        self._thread = threading.Thread(target=self._poll, name="producer-poll", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Return True if the library has failed or a record timed out in it; a new producer is needed.

        After a time-out the library may wait forever, for example for a broker that no longer exists.
        """
        return self._failure is not None

    def send(self, row: OutboxRow) -> None:
        """Hand over a record. A refusal by the client is reported like one by the broker."""
        try:
            self._client.produce(
                row.topic,
                key=row.key,
                value=row.value,
                headers=row.header_list(),
                timestamp=int(self._now().timestamp() * 1000),
                on_delivery=partial(self._on_delivery, row.position),
            )
        except KafkaException as error:
            self._report(_report(row.position, error.args[0], context=True))
        except BufferError:
            self._report(DeliveryReport(row.position, FailureScope.BROKER, "_QUEUE_FULL"))
        except (TypeError, ValueError):
            self._report(DeliveryReport(row.position, FailureScope.RECORD, "_INVALID_ARG", refused_here=True))
        self._sent.set()

    def drain_reports(self) -> list[DeliveryReport]:
        """Return the reports since the last call."""
        self._notified = False
        reports = []
        while self._reports:
            reports.append(self._reports.popleft())
        return reports

    async def close(self) -> None:
        """Drop unacknowledged records. The broker may still write some: consumers detect such duplicates by `ce_id`."""
        self._client.purge()
        self._closing.set()
        self._sent.set()
        await self._loop.run_in_executor(None, self._thread.join, CLOSE_S)

    def _settings(self, config: Config) -> dict[str, Any]:
        return {
            "compression.type": "none",  # some clients cannot read LZ4, Snappy or zstd; records have 300 bytes
            **config.kafka_properties,
            "bootstrap.servers": config.kafka_brokers,
            "client.id": config.kafka_client_id,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_LIMIT_BYTES,
            "message.timeout.ms": MESSAGE_TIMEOUT_MS,
            "request.timeout.ms": REQUEST_TIMEOUT_MS,
            "queue.buffering.max.kbytes": QUEUE_LIMIT_KBYTES,
            "topic.metadata.propagation.max.ms": TOPIC_PROPAGATION_MS,
            "reconnect.backoff.max.ms": RECONNECT_MAX_MS,
            "log_level": LIBRARY_LOG_LEVEL,
            "error_cb": self._on_error,
        }

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._client.poll(POLL_S if len(self._client) else 0)
            if not len(self._client):
                self._sent.wait(IDLE_POLL_S)
                self._sent.clear()
        self._client.flush(0)

    def _on_error(self, error: KafkaError) -> None:
        self._broker_status.record_error(error)
        if error.fatal():
            self._fail(error)
        elif (more := self._lines.fields(error.name())) is not None:
            log.warning("producer_error", reason=error.name(), detail=error.str()[:300], **more)

    def _fail(self, error: KafkaError) -> None:
        if self._failure is None:
            self._failure = error.name()
            log.error("producer_failed", reason=error.name(), detail=error.str()[:300])
            self._wake()

    def _on_delivery(self, position: int, error: KafkaError | None, message: Message) -> None:
        if error is not None and (error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT):  # noqa: SLF001
            self._fail(error)
        if error is None:
            self._broker_status.record_success()
        self._report(_delivered(position, message) if error is None else _report(position, error))

    def _report(self, report: DeliveryReport) -> None:
        self._reports.append(report)
        if not self._notified:
            # Waking the loop costs more than a report, so wake it once until it has collected them all.
            self._notified = True
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for reports
            self._loop.call_soon_threadsafe(self._notify)


def _delivered(position: int, message: Message) -> DeliveryReport:
    partition, offset = message.partition(), message.offset()
    return DeliveryReport(
        position, partition=-1 if partition is None else partition, offset=-1 if offset is None else offset
    )


def _report(position: int, error: KafkaError, *, context: bool = False) -> DeliveryReport:
    code = error.code()
    if code in _TOPIC_ERRORS:
        return DeliveryReport(position, FailureScope.TOPIC, error.name())
    if code in _RECORD_ERRORS:
        return DeliveryReport(position, FailureScope.RECORD, error.name(), refused_here=context)
    return DeliveryReport(position, FailureScope.BROKER, error.name())
