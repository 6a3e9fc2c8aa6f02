"""Logs hold one JSON object per line and never a secret."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from payment_service.telemetry.logs import configure_logs, mask

Lines = Callable[[], list[dict[str, Any]]]

CANARIES = {
    "an API key of Stripe": ("sk_test_51Canary000Secret", "Canary"),
    "a live key": ("sk_live_Canary000Secret", "Canary"),
    "a restricted key": ("rk_live_Canary000Secret", "Canary"),
    "a key of our API": ("psk_Canary000_Secret-x", "Canary"),
    "a webhook secret": ("whsec_Canary000Secret+/=", "Canary"),
    "a client secret": ("pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_CanaryYrKCanary", "Canary"),
    "a signature": ("t=1700000000,v1=" + "5257a869e7ecebeda32affa62cdca3fa" * 2, "5257a869"),
    "a bearer token": ("Authorization: Bearer Canary.000-Secret", "Canary"),
    "a DSN": ("postgresql://payments:Canary@db:5432/payments", "Canary"),
    "a DSN in the other form": ("host=db user=payments password='Canary 2' dbname=x", "Canary"),
    "a card number": ("4242424242424242", "424242424242"),
    "a card number in groups": ("4000 0566 5566 5556", "4000 0566"),
}


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    hooks = sys.excepthook, threading.excepthook
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs("info", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    sys.excepthook, threading.excepthook = hooks


@pytest.fixture
def lines(output: io.StringIO) -> Lines:
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_log_event_is_one_line_with_time_level_and_fields(lines: Lines) -> None:
    structlog.get_logger().info("order_accepted", order_id="A-1", count=3)
    (line,) = lines()
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"], line["order_id"], line["count"]) == ("info", "order_accepted", "A-1", 3)
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == datetime.now(UTC).utcoffset()


def test_events_below_the_log_level_are_not_written(lines: Lines) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("library").info("detail")
    assert lines() == []


@dataclass
class Thing:
    """An object whose representation shows its secret."""

    secret: str


@pytest.mark.invariant("I12")
@pytest.mark.parametrize(("secret", "canary"), CANARIES.values(), ids=CANARIES.keys())
def test_secrets_are_masked_everywhere_in_a_log_line(
    output: io.StringIO, lines: Lines, secret: str, canary: str
) -> None:
    log = structlog.get_logger()
    said = "said " + secret
    log.info(said, text=f"x {secret}", inside={"a": [secret, (secret,)], secret: 1}, odd={secret})
    log.info("object", thing=Thing(secret), raw=secret.encode(), error=ValueError(secret))
    logging.getLogger("library").warning("it was %s", secret)
    with structlog.contextvars.bound_contextvars(request=secret):
        log.info("bound")
    try:
        raise ValueError(secret)
    except ValueError as error:
        log.exception("failed")
        logging.getLogger("library").exception("failed")
        sys.excepthook(type(error), error, error.__traceback__)
    assert len(lines()) == 7
    assert canary not in output.getvalue()


def test_a_card_number_written_as_a_number_is_masked(lines: Lines) -> None:
    structlog.get_logger().info("x", number=4242424242424242, time_ms=1_700_000_000_000)
    assert lines()[0]["number"] == "************4242"
    assert lines()[0]["time_ms"] == 1_700_000_000_000


# Every form of a secret has an underscore or a colon.
@given(st.text(st.characters(exclude_characters="_:")))
def test_text_without_a_secret_is_unchanged(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "pk_test_TYooMQauvdEDq54NiTphI7jx",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "risk_level task_1 payments.succeeded",
        "https://api.stripe.com/v1/payment_intents",
        "2026-11-23T21:19:29.931074Z",
    ],
)
def test_ids_are_not_masked(text: str) -> None:
    assert mask(text) == text


def test_line_breaks_do_not_split_a_log_line(output: io.StringIO) -> None:
    structlog.get_logger().info("a\nb", text="c\r\n\u2028d", thing=Thing("e\nf"))
    assert len(output.getvalue().splitlines()) == 1


def test_libraries_log_json_to_the_same_stream(lines: Lines) -> None:
    for name in ("uvicorn.error", "uvicorn.access", "asyncio", "aiohttp.client", "librdkafka"):
        logging.getLogger(name).warning("hello from %s", name)
    assert {line["library"] for line in lines()} == {
        "uvicorn.error",
        "uvicorn.access",
        "asyncio",
        "aiohttp.client",
        "librdkafka",
    }
    assert {line["event"] for line in lines()} == {"library_log"}


def test_python_warnings_are_logged(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old sk_test_Canary", stacklevel=1)
    assert "Canary" not in lines()[0]["message"]


def test_an_exception_in_a_thread_is_logged(lines: Lines) -> None:
    def fail() -> None:
        message = "sk_test_Canary"
        raise RuntimeError(message)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert lines()[0]["event"] == "crashed"
    assert "Canary" not in lines()[0]["exception"]


def test_a_recursive_object_is_logged(lines: Lines) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    structlog.get_logger().info("x", loop=loop)
    assert lines()[0]["event"] == "x"


def test_lines_of_librdkafka_are_folded_by_kind(lines: Lines) -> None:
    """It writes a line per broker and attempt, each with another text."""
    for n in range(5):
        logging.getLogger("librdkafka").error("%s [%s] %s", "FAIL", "payment-service#producer-1", f"broker {n} is down")
    logging.getLogger("librdkafka").error("%s [%s] %s", "MAXPOLL", "payment-service#consumer-1", "too slow")
    assert [line["message"].split()[0] for line in lines()] == ["FAIL", "MAXPOLL"]
