"""Test how a loop gathers work: a busy one shares rounds, and the first item after a pause waits for nobody."""

from __future__ import annotations

import asyncio

from payment_service.loop import Loop

FAR_S = 60.0  # no round of these tests begins by time


async def _started(waiting: list[int], *, enough: int) -> tuple[Loop, asyncio.Queue[list[int]]]:
    rounds: asyncio.Queue[list[int]] = asyncio.Queue()

    async def take() -> int:
        taken = list(waiting)
        waiting.clear()
        if taken:
            rounds.put_nowait(taken)
        return len(taken)

    loop = Loop(
        "gathering",
        take,
        interval_max_s=FAR_S,
        interval_min_s=FAR_S,
        apart_s=FAR_S,
        enough=lambda: len(waiting) >= enough,
    )
    loop.start()
    await asyncio.sleep(0)
    return loop, rounds


def test_the_first_item_after_a_pause_is_taken_at_once_and_those_behind_it_together() -> None:
    async def scenario() -> None:
        waiting: list[int] = []
        loop, rounds = await _started(waiting, enough=3)
        waiting.append(1)
        loop.wake()
        assert await rounds.get() == [1]
        for item in (2, 3):
            waiting.append(item)
            loop.wake()
            await asyncio.sleep(0)
        assert rounds.empty()
        waiting.append(4)
        loop.wake()
        assert await rounds.get() == [2, 3, 4]
        await loop.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_stop_does_not_wait_for_more() -> None:
    async def scenario() -> None:
        waiting = [1]
        loop, rounds = await _started(waiting, enough=3)
        assert await rounds.get() == [1]
        waiting.append(2)
        loop.wake()
        await loop.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))
