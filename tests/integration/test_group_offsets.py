"""The offsets of the consumer group are set back only while nobody is in the group."""

from __future__ import annotations

import pytest

from payment_service.config.config import Config
from payment_service.flows.operators.recover import Incomplete
from payment_service.kafka.recovery import OffsetChange, set_offsets
from tests.support.kafka import ORDERS, Topics, group_id

pytestmark = pytest.mark.kafka


def test_a_group_with_a_member_is_refused_and_set_back_when_it_has_left(config: Config, topics: Topics) -> None:
    group = group_id()
    ours = config.model_copy(update={"kafka_group_id": group})
    topics.produce([{"order_id": str(number)} for number in range(3)], partition=0)
    topics.commit(group, 3, "")
    change = OffsetChange(topic=ORDERS, partition=0, committed=3, offset=1)
    with topics.member(group), pytest.raises(Incomplete, match=f"{group} has members"):
        set_offsets(ours, [change])
    assert topics.committed(group) == 3
    set_offsets(ours, [change])
    assert topics.committed(group) == 1
