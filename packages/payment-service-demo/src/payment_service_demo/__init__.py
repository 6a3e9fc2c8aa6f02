"""`payment-service demo`: sample orders on real parts, from the order's record to the announced payment.

What is shown comes from where the rest of a store would get it: a consumer on the topics, and `/v1`.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import Final

from payment_service import exit_codes
from payment_service_demo.embedded.process import EmbeddedError, tail
from payment_service_demo.heard import Heard
from payment_service_demo.sample_orders import SAMPLES
from payment_service_demo.screen import Screen
from payment_service_demo.shop import Shop
from payment_service_demo.stage import DemoError, Stage, open_stage
from payment_service_demo.store import Store

# Nothing more may come after the last sample has settled: a second payment for an order would come in this time.
QUIET_S: Final = 1.0


def show(*, once: bool, serve_only: str, patience_s: float) -> int:
    """Run the demo and give the exit code: 0 only if every sample order reached the state expected within `patience_s`.

    `serve_only`: the roles that the service runs, all when empty. Without `once` it stays up until it is interrupted.
    """
    screen = Screen(SAMPLES)
    # SIGINT too: a shell that starts a command in the background lets it be ignored, and the demo could not be ended by it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    settled, heard = False, Heard()
    try:
        with ExitStack() as stack:
            stage = open_stage(stack, screen, serve_only)
            store = stack.enter_context(Store(stage, screen, SAMPLES, heard))
            settled = _play(stage, store, screen, patience_s)
            if settled and not once:
                shop = stack.enter_context(Shop(stage, heard))
                screen.say_where(stage, shop.url)
                _stay(stage, store, screen)
    except KeyboardInterrupt:
        screen.say("stopped")
        return exit_codes.DONE if settled else exit_codes.INTERRUPTED
    except (DemoError, EmbeddedError) as error:
        screen.complain(str(error))
        return exit_codes.FAILED
    return exit_codes.DONE if settled else exit_codes.FAILED


def _play(stage: Stage, store: Store, screen: Screen, patience_s: float) -> bool:
    """Place the orders and act as their customers until all have settled, or patience ends."""
    store.place_orders()
    deadline = time.monotonic() + patience_s
    quiet_until: float | None = None
    with screen.live():
        while time.monotonic() < deadline:
            _look(stage, store, screen)
            if not store.all_settled():
                quiet_until = None
            elif quiet_until is None:
                quiet_until = time.monotonic() + QUIET_S
            elif time.monotonic() >= quiet_until:
                screen.say(f"all {len(SAMPLES)} sample orders reached the state expected")
                return True
    for problem in store.problems():
        screen.complain(problem)
    screen.complain(f"Not all sample orders settled within {patience_s:.0f} s.")
    return False


def _stay(stage: Stage, store: Store, screen: Screen) -> None:
    while True:
        _look(stage, store, screen)


def _look(stage: Stage, store: Store, screen: Screen) -> None:
    store.look()
    screen.refresh(store.rows())
    if not stage.service.running:
        message = f"The service ended by itself. The end of its log:\n{tail(stage.service.log)}"
        raise DemoError(message)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
