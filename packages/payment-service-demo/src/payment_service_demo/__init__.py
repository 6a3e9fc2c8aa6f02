"""The command `payment-service demo`: sample orders on real servers, from the order's record to the published payment.

It shows what the rest of a store would see: the records on the topics, and `/v1`. `environment.py` starts the servers, the
Stripe sandbox and the service as child processes. `simulation.py` places the sample orders and pays as their customers.
`shop.py` serves a page on which you buy, and `screen.py` prints. `demo --servers FILE` runs the servers and the sandbox alone,
for a service that you start. The demo may import all packages of this repository; only the command `payment-service demo`
imports it. Start reading in `show`.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from payment_service import exit_codes
from payment_service_demo.embedded.process import EmbeddedError, tail
from payment_service_demo.environment import DemoError, Environment, start_environment, start_servers
from payment_service_demo.received import ReceivedRecords
from payment_service_demo.sample_orders import SAMPLES
from payment_service_demo.screen import Screen
from payment_service_demo.shop import Shop
from payment_service_demo.simulation import Simulation

# A second payment for an order would appear within this time after the last sample order has reached its state.
QUIET_S: Final = 1.0


def show(*, once: bool, serve_only: str, patience_s: float) -> int:
    """Run the demo and return the exit code: 0 only if every sample order reaches its expected state within `patience_s`.

    `serve_only`: the roles that the service runs, all when empty. Without `once` the demo stays up until it is interrupted.
    """
    screen = Screen(SAMPLES)
    _end_by_signals()
    finished, received = False, ReceivedRecords()
    try:
        with ExitStack() as stack:
            environment = start_environment(stack, screen, serve_only)
            simulation = stack.enter_context(Simulation(environment, screen, SAMPLES, received))
            finished = _play(environment, simulation, screen, patience_s)
            if finished and not once:
                shop = stack.enter_context(Shop(environment, received))
                screen.print_addresses(environment, shop.url)
                _stay(environment, simulation, screen)
    except KeyboardInterrupt:
        screen.print_line("stopped")
        return exit_codes.DONE if finished else exit_codes.INTERRUPTED
    except (DemoError, EmbeddedError) as error:
        screen.print_error(str(error))
        return exit_codes.FAILED
    return exit_codes.DONE if finished else exit_codes.FAILED


def lend_servers(settings: Path) -> int:
    """Run PostgreSQL, a broker and the sandbox alone until a signal, and return the exit code.

    The file `settings` holds the settings of a service that uses them, for a shell to source, as long as they run.
    """
    screen = Screen(())
    _end_by_signals()
    try:
        with ExitStack() as stack:
            servers = start_servers(stack, screen)
            stack.callback(settings.unlink, missing_ok=True)
            servers.write_settings(settings)
            screen.print_line(f"the settings of the service are in {settings}; Ctrl-C ends the servers")
            signal.pause()
    except KeyboardInterrupt:
        screen.print_line("stopped")
    except (DemoError, EmbeddedError, OSError) as error:
        screen.print_error(str(error))
        return exit_codes.FAILED
    return exit_codes.DONE


def _end_by_signals() -> None:
    # SIGINT too: a shell ignores it for a command in the background, and Ctrl-C could not end the demo.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _play(environment: Environment, simulation: Simulation, screen: Screen, patience_s: float) -> bool:
    """Place the orders and act as their customers until all reach their state, or `patience_s` ends."""
    simulation.place_orders()
    deadline = time.monotonic() + patience_s
    quiet_until: float | None = None
    with screen.live():
        while time.monotonic() < deadline:
            _refresh(environment, simulation, screen)
            if not simulation.all_finished():
                quiet_until = None
            elif quiet_until is None:
                quiet_until = time.monotonic() + QUIET_S
            elif time.monotonic() >= quiet_until:
                screen.print_line(f"all {len(SAMPLES)} sample orders reached their expected state")
                return True
    for problem in simulation.problems():
        screen.print_error(problem)
    screen.print_error(f"Not all sample orders reached their expected state within {patience_s:.0f} s.")
    return False


def _stay(environment: Environment, simulation: Simulation, screen: Screen) -> None:
    while True:
        _refresh(environment, simulation, screen)


def _refresh(environment: Environment, simulation: Simulation, screen: Screen) -> None:
    simulation.poll()
    screen.refresh(simulation.rows())
    if not environment.service.running:
        message = f"The service exited. The end of its log:\n{tail(environment.service.log)}"
        raise DemoError(message)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
