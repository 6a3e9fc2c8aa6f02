"""A producer in threads of its own: records go in from the event loop, reports of their delivery come back in batches."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as Client

from payment_service.kafka.broker_status import BrokerStatus
from payment_service.rate_limiter import RateLimiter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from confluent_kafka import Message

    from payment_service.config.config import Config
    from payment_service.db.outbox import OutboxRow

log = structlog.get_logger(__name__)

# Long enough for a broker that fails over; after it the outcome is unknown and the record is sent again.
MESSAGE_TIMEOUT_MS: Final = 15_000
REQUEST_TIMEOUT_MS: Final = 10_000
LINGER_MS: Final = 3  # what waits for company is what came within a round trip
# A batch above a topic's limit is refused whole. With small batches only a record that is itself large can be refused.
BATCH_LIMIT_BYTES: Final = 65_536
QUEUE_LIMIT_KBYTES: Final = 65_536  # above what the relay ever has in hand
# So soon after its first mention an unknown topic is believed to be missing.
TOPIC_PROPAGATION_MS: Final = 2_000
RECONNECT_MAX_MS: Final = 1_000  # how late the return of a broker may be noticed
POLL_S: Final = 0.1
LOG_INTERVAL_S: Final = 10.0  # how often the same trouble is logged
LIBRARY_LOG_LEVEL: Final = 2  # what is of use comes through the error callback, once
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


class Fault(Enum):
    """Whose fault it is that a record was not acknowledged, and so who waits."""

    BROKER = auto()  # everybody, until it is back
    TOPIC = auto()  # aggregates whose next record goes there
    RECORD = auto()  # its aggregate, until a person has looked


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one record. `fault` None: the broker has it, on all replicas in sync, at this partition and offset."""

    position: int
    fault: Fault | None = None
    reason: str = ""
    refused_here: bool = False  # by the client, so the record itself and not its neighbours in a batch
    partition: int = -1
    offset: int = -1


class RecordProducer(Protocol):
    """What the relay needs of a producer."""

    @property
    def failed(self) -> bool:
        """Whether it can't be used any more."""

    def send(self, row: OutboxRow) -> None:
        """Hand a record over; its report comes later."""

    def take_reports(self) -> list[Report]:
        """Give the reports that came since the last call."""

    async def close(self) -> None:
        """Drop what is not acknowledged; reports that come late are lost."""


class Producer:
    """librdkafka's idempotent producer, acks=all. `notify` is called in `loop` when there are reports."""

    def __init__(
        self,
        config: Config,
        *,
        loop: asyncio.AbstractEventLoop,
        notify: Callable[[], None],
        broker_status: BrokerStatus | None = None,
    ) -> None:
        self._loop = loop
        self._broker_status = broker_status or BrokerStatus()
        self._notify = notify
        self._reports: deque[Report] = deque()
        self._notified = False
        self._closing = threading.Event()
        self._failure: str | None = None
        self._news = RateLimiter(burst=1, every_s=LOG_INTERVAL_S)
        self._client = Client(self._settings(config), logger=logging.getLogger("librdkafka"))
        self._thread = threading.Thread(target=self._poll, name="producer-poll", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether the library has given up, or a record timed out in it; a new producer is needed.

        After a time-out the library may be waiting for something that never comes, such as a broker that remembers it.
        """
        return self._failure is not None

    def send(self, row: OutboxRow) -> None:
        """Hand a record over. What the client itself refuses is reported like what the broker refuses."""
        try:
            self._client.produce(
                row.topic,
                key=row.key,
                value=row.value,
                headers=row.header_list(),
                on_delivery=partial(self._on_delivery, row.position),
            )
        except KafkaException as error:
            self._report(_report(row.position, error.args[0], context=True))
        except BufferError:
            self._report(Report(row.position, Fault.BROKER, "_QUEUE_FULL"))
        except (TypeError, ValueError) as error:
            self._report(Report(row.position, Fault.RECORD, type(error).__name__, refused_here=True))

    def take_reports(self) -> list[Report]:
        """Give the reports that came since the last call."""
        self._notified = False
        reports = []
        while self._reports:
            reports.append(self._reports.popleft())
        return reports

    async def close(self) -> None:
        """Drop what is not acknowledged. The broker may still write some of it: a duplicate, which readers know by `ce_id`."""
        self._client.purge()
        self._closing.set()
        await self._loop.run_in_executor(None, self._thread.join, CLOSE_S)

    def _settings(self, config: Config) -> dict[str, Any]:
        return {
            **config.kafka_properties,
            "bootstrap.servers": config.kafka_brokers,
            "client.id": config.kafka_client_id,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": LINGER_MS,
            "batch.size": BATCH_LIMIT_BYTES,
            "compression.type": "lz4",
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
            self._client.poll(POLL_S)
        self._client.flush(0)

    def _on_error(self, error: KafkaError) -> None:
        self._broker_status.failed(error)
        if error.fatal():
            self._fail(error)
        elif self._news.allows(error.name()):
            log.warning("producer_error", reason=error.name(), detail=error.str()[:300])

    def _fail(self, error: KafkaError) -> None:
        if self._failure is None:
            self._failure = error.name()
            log.error("producer_failed", reason=error.name(), detail=error.str()[:300])
            self._wake()

    def _on_delivery(self, position: int, error: KafkaError | None, message: Message) -> None:
        if error is not None and (error.fatal() or error.code() == KafkaError._MSG_TIMED_OUT):  # noqa: SLF001
            self._fail(error)
        if error is None:
            self._broker_status.works()
        self._report(_delivered(position, message) if error is None else _report(position, error))

    def _report(self, report: Report) -> None:
        self._reports.append(report)
        if not self._notified:
            # Waking the loop costs more than a report, so it is done once for all that come until it looks.
            self._notified = True
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._notify)


def _delivered(position: int, message: Message) -> Report:
    partition, offset = message.partition(), message.offset()
    return Report(position, partition=-1 if partition is None else partition, offset=-1 if offset is None else offset)


def _report(position: int, error: KafkaError, *, context: bool = False) -> Report:
    code = error.code()
    if code in _TOPIC_ERRORS:
        return Report(position, Fault.TOPIC, error.name())
    if code in _RECORD_ERRORS:
        return Report(position, Fault.RECORD, error.name(), refused_here=context)
    return Report(position, Fault.BROKER, error.name())
