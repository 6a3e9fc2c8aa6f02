"""Run a relay in its own process, to be killed or paused: `python -m tests.support.relay_process`."""

from __future__ import annotations

import asyncio
import signal

from payment_service.config.config import Config
from tests.support.outbox import opened, relaying


async def main() -> None:
    """Run the relay until SIGTERM."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    config = Config.from_environment()
    async with opened(config) as pool, relaying(config, pool):
        await stopping.wait()


if __name__ == "__main__":
    asyncio.run(main())
