"""Test reads in a process of their own, which a record may kill, and the consumer's use of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from payment_service.config.config import Config
from payment_service.contracts.incoming import InboundRecord
from payment_service.db.pool import Pool
from payment_service.domain.order import Order, Reason, Rejected
from payment_service.kafka.consumer import OrderConsumer
from payment_service.kafka.isolated_process import Finished, Task
from payment_service.kafka.isolated_reads import Died, IsolatedReads
from payment_service.kafka.reader_marks import ReaderMarks
from tests.support.bombs import CODECS, bomb, produce_packed
from tests.support.consumer import BatchReceiver, Start, order
from tests.support.kafka import ORDERS, PARTITIONS, Topics


def unread(records: list[InboundRecord]) -> list[int]:
    """Return the offsets of the records that were not read."""
    return [r.offset for r in records if isinstance(r.decoded, Rejected) and r.decoded.reason == Reason.UNREADABLE]


def good(records: list[InboundRecord]) -> list[int]:
    return [r.offset for r in records if isinstance(r.decoded, Order)]


def read_all(config: Config, until: int = 1_000) -> tuple[list[InboundRecord], int]:
    """Read partition 0 in isolation. Return the records and the offset that follows."""
    steps = list(IsolatedReads(config, ORDERS, 0).read(0, until))
    return [record for record, _ in steps if record is not None], steps[-1][1]


@pytest.mark.kafka
@pytest.mark.timeout(180)
@pytest.mark.parametrize("codec", CODECS)
async def test_a_bomb_ends_no_read_and_a_good_order_behind_it_is_read(
    group_config: Config, topics: Topics, codec: str
) -> None:
    """It unpacks to hundreds of megabytes, or to more than an order may have."""
    [offset] = bomb(topics, codec)
    topics.produce([order(2)], partition=0)
    records, following = await asyncio.to_thread(read_all, group_config)
    assert good(records) == [1]
    assert following == 2
    [rejected] = [r for r in records if isinstance(r.decoded, Rejected)]
    assert rejected.offset == offset
    reason = Reason.TOO_LARGE if codec == "snappy" else Reason.UNREADABLE
    assert isinstance(rejected.decoded, Rejected)
    assert rejected.decoded.reason == reason


@pytest.mark.kafka
@pytest.mark.timeout(180)
@pytest.mark.usefixtures("exact_ends")
async def test_an_order_in_front_of_a_bomb_is_read(group_config: Config, topics: Topics) -> None:
    """The embedded broker returns both in one fetch, however small the limit."""
    topics.produce([order(1)], partition=0)
    bomb(topics, "gzip")
    topics.produce([order(2)], partition=0)
    records, following = await asyncio.to_thread(read_all, group_config)
    assert (good(records), unread(records), following) == ([0, 2], [1], 3)


@pytest.mark.kafka
@pytest.mark.timeout(180)
async def test_a_batch_of_bombs_is_set_aside_to_its_last_record(group_config: Config, topics: Topics) -> None:
    """No record of the batch can be read alone, because a batch is unpacked as a whole."""
    topics.produce([order(1)], partition=0)
    assert bomb(topics, "zstd", records=5) == [1, 2, 3, 4, 5]
    topics.produce([order(2)], partition=0)
    records, following = await asyncio.to_thread(read_all, group_config)
    assert (good(records), unread(records), following) == ([0, 6], [1, 2, 3, 4, 5], 7)


@pytest.mark.parametrize(("first", "size"), [(3, 1), (3, 2), (3, 5), (0, 17), (9, 1), (2, 8)])
def test_the_end_of_a_deadly_batch_is_found_by_halving(group_config: Config, first: int, size: int) -> None:
    """A process that dies tells nothing about the batch. The records around it are read."""
    until = 30
    runs = 0

    def run(task: Task) -> Iterator[object]:
        nonlocal runs
        runs += 1
        for offset in range(task.offset, until):
            if first <= offset < first + size:
                yield Died(offset, decoding=False)
                return
            yield InboundRecord(
                topic=ORDERS, partition=0, offset=offset, timestamp_ms=1, key=None, value=None, decoded=_ORDER
            )
        yield Finished(until)

    steps = list(IsolatedReads(group_config, ORDERS, 0, run=run).read(0, until))  # type: ignore[arg-type]
    records = [record for record, _ in steps if record is not None]
    assert unread(records) == list(range(first, first + size))
    assert [r.offset for r in records] == list(range(until))
    assert runs <= 3 + 2 * size.bit_length() + 2


def test_a_single_death_sets_nothing_aside(group_config: Config) -> None:
    """A process can be killed for reasons that have nothing to do with a record."""
    deaths = iter([True, False])

    def run(task: Task) -> Iterator[object]:
        if next(deaths):
            yield Died(task.offset, decoding=False)
            return
        yield Finished(task.until)

    steps = list(IsolatedReads(group_config, ORDERS, 0, run=run).read(5, 9))  # type: ignore[arg-type]
    assert steps == [(None, 9)]


def test_a_broker_that_does_not_answer_sets_nothing_aside(
    group_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("payment_service.kafka.isolated_process.SILENCE_S", 0.1)
    away = group_config.model_copy(update={"kafka_brokers": "127.0.0.1:9"})
    assert list(IsolatedReads(away, ORDERS, 0).read(0, 9)) == []


@pytest.mark.invariant("I10")
@pytest.mark.kafka
@pytest.mark.timeout(120)
async def test_a_batch_that_the_client_cannot_unpack_stops_nobody(topics: Topics, member: Start) -> None:
    """The client reports the same error for ever, and never moves past the batch."""
    produce_packed(topics, [json.dumps(order(n)).encode() for n in range(3)], "zstd")
    bomb(topics, "zstd")
    topics.produce([order(3)], partition=0)
    topics.produce([order(4)], partition=1)
    receiver = BatchReceiver()
    member(receiver)
    await receiver.wait_for(6, timeout_s=60)
    assert unread(receiver.accepted) == [3]
    assert {p for p in receiver.positions if p[1] == 0} == {(ORDERS, 0, n) for n in range(5)}


@pytest.mark.invariant("I2")
@pytest.mark.kafka
@pytest.mark.timeout(120)
async def test_a_reader_that_died_makes_the_next_one_read_in_isolation(
    config: Config, pool: Pool, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only once, and only after a death: a reader that ended left nothing to suspect."""
    topics.produce([order(n) for n in range(20)], key=lambda o: o["order_id"])
    logged: list[str] = []
    monkeypatch.setattr(OrderConsumer, "_read_isolated", _counting(OrderConsumer._read_isolated, logged))
    marks = ReaderMarks(pool, asyncio.get_running_loop())
    partitions = [(ORDERS, number) for number in range(PARTITIONS)]
    assert await asyncio.to_thread(marks.begin, partitions) == set()
    for isolated in (PARTITIONS, 0):
        receiver = BatchReceiver()
        logged.clear()
        consumer = OrderConsumer(
            config.model_copy(update={"kafka_session_timeout_ms": 2_000, "kafka_group_id": f"g-{isolated}"}),
            receiver.accept,
            asyncio.get_running_loop(),
            marks=ReaderMarks(pool, asyncio.get_running_loop()),
        )
        consumer.start()
        await receiver.wait_for(20, timeout_s=60)
        await asyncio.to_thread(consumer.stop)
        assert len(logged) == isolated
        assert await pool.fetchval("SELECT count(*) FROM partition_readers WHERE ended_at IS NULL") == 0


async def test_only_partitions_whose_reader_died_are_suspected(pool: Pool) -> None:
    """A replica that takes over partitions in a rebalance suspects none."""
    loop = asyncio.get_running_loop()
    first, second, third = (ReaderMarks(pool, loop) for _ in range(3))
    assert await asyncio.to_thread(first.begin, [(ORDERS, 0), (ORDERS, 1)]) == set()
    await asyncio.to_thread(first.end, [(ORDERS, 1)])
    assert await asyncio.to_thread(second.begin, [(ORDERS, 0), (ORDERS, 1)]) == {(ORDERS, 0)}
    await asyncio.to_thread(first.end, [(ORDERS, 0)])  # late: another consumer reads it
    assert await asyncio.to_thread(third.begin, [(ORDERS, 0), (ORDERS, 2)]) == {(ORDERS, 0)}
    assert await asyncio.to_thread(third.begin, [(ORDERS, 0)]) == set()


def _counting(method: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        calls.append(str(arguments[-1]))
        return method(*arguments)

    return counted


_ORDER = Order(order_id="o", user_id="", amount=None, recorded_at=None)  # type: ignore[arg-type]
