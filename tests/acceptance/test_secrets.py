"""No secret leaves the process: not in logs, the database, Kafka or metrics."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import psycopg
import pytest
from psycopg import sql

from payment_service.domain.ids import payment_id
from tests.acceptance.test_cli_operator import INSERT_PAYMENT
from tests.support.command import run
from tests.support.kafka import ANNOUNCEMENTS, DEAD_LETTERS
from tests.support.sandbox import API_KEY as SANDBOX_KEY
from tests.support.shop import Shop, ask, post, signed

API_KEY = "sk_test_canaryOfTheSuite4242"
WRONG_API_KEY = "sk_test_canaryThatIsNotAccepted"
WEBHOOK_SECRET = "whsec_canaryOfTheSuite4242"
CARD = "4242424242424242"
# A client secret is an intent's id, `_secret_` and more; a signature is 64 hexadecimal digits.
SECRETS = re.compile(rf"sk_test_\w|whsec_\w|canary|_secret_\w|v1=|\b[0-9a-f]{{64}}\b|{CARD}")


@pytest.mark.invariant("I12")
def test_no_secret_leaves_the_process(shop: Shop) -> None:
    """Make the mistakes of strangers, customers and operators, with logs at debug level."""
    changes = {"STRIPE_WEBHOOK_SECRET": f"{WEBHOOK_SECRET},whsec_suite", "LOG_LEVEL": "debug"}
    locked_out = shop.serve(STRIPE_SECRET_KEY=WRONG_API_KEY, **changes)
    shop.sandbox.accept_keys(API_KEY, SANDBOX_KEY)
    shop.order("o-paid", "o-declined", "o-action")
    locked_out.wait_for_log("provider_blocked")
    locked_out.stop()
    service = shop.serve(STRIPE_SECRET_KEY=API_KEY, **changes)
    shop.write(
        [
            f'{{"order_id": "o-card", "card": "{CARD}"'.encode(),
            {"order_id": "o-note", "total": "1", "currency": "eur", "note": f"charge {CARD}"},
            {"order_id": f"o {CARD}", "total": "1", "currency": "eur"},
        ],
        bad=3,
    )
    _show_checkouts(shop, "o-paid", "o-declined", "o-action")
    shop.pay("o-paid")
    shop.pay("o-declined", method="pm_card_chargeDeclined")
    shop.pay("o-action", method="pm_card_authenticationRequired")
    shop.wait_status("succeeded", "o-paid")
    shop.wait_status("declined", "o-declined")
    shop.wait_status("requires_action", "o-action")
    _send_bad_events(shop, shop.webhook_url(service))
    shop.wait_quiet()
    _, metrics = ask(f"{service.metrics_url}/metrics")
    service.stop()
    shop.check()
    topics = [str((r.key, r.value, r.headers)) for r in shop.topics.read_all([*ANNOUNCEMENTS, DEAD_LETTERS])]
    logs = [process.log.read_text() for process in (locked_out, service)]
    rows = _rows(shop.dsn)
    assert len(topics) >= 6
    assert len(rows) > 30
    for text in [*topics, *logs, *rows, metrics]:
        assert [text[max(0, m.start() - 200) : m.end()] for m in SECRETS.finditer(text)] == []


# A card number in any notation: the digits in order, with up to three other characters between two of them.
CANARY = "4000056655665556"
CANARIES = re.compile(r"[\W_]{0,3}".join(CANARY))
NOTATIONS = [
    CANARY,
    *(
        separator.join(re.findall("....", CANARY))
        for separator in (".", "_", "\N{NO-BREAK SPACE}", "  ", "\N{EN DASH}", "/", "\t")
    ),
    CANARY.translate(
        {ord(digit): chr(ord(digit) - ord("0") + ord("\N{FULLWIDTH DIGIT ZERO}")) for digit in "0123456789"}
    ),
    f"{CANARY}1226",
    CANARY.replace("00", "%30%30"),
]
ORDER = {"total": "1", "currency": "eur"}


@pytest.mark.invariant("I12")
def test_no_card_number_is_stored_published_or_logged(shop: Shop) -> None:
    """Plant card numbers wherever text comes in (PCI DSS 3.2), then search all places where it could be."""
    service = shop.serve(LOG_LEVEL="debug")
    shop.order("o-1")
    shop.intent_of("o-1")
    shop.write(
        [
            *({**ORDER, "order_id": f"o-{i}", "user_id": card} for i, card in enumerate(NOTATIONS, 10)),
            *({**ORDER, "order_id": f"o-{i}", "card_id": card} for i, card in enumerate(NOTATIONS, 30)),
            {**ORDER, "order_id": CANARY},
            {**ORDER, "order_id": "o-50", "card": {"id": int(CANARY)}},
            {**ORDER, "order_id": "o-51", "price": float(CANARY)},
            {**ORDER, "order_id": "o-52", CANARY: 1},
            f'{{"order_id": "{CANARY}"'.encode("utf-16"),
        ],
        bad=2 * len(NOTATIONS) + 5,
    )
    headers = {"x-card": CANARY, CANARY: "1"}
    shop.topics.produce([None, {"order_id": "o-60"}], key=lambda _: CANARY, headers=headers)
    shop.expect_bad(2)
    for i, card in enumerate(NOTATIONS):
        assert shop.request_change("refunds", "o-1", {"amount": "1.00", "reason": f"to {card}"}, f"reason-{i}") == 422
    assert shop.request_change("refunds", "o-1", {"amount": "1.00"}, CANARY) == 400
    event = shop.events("payment_intent.created")[0]
    action = {
        "redirect_to_url": {
            "url": f"https://hooks.test/?payment_intent_client_secret={event['data']['object']['id']}_secret_canary"
        }
    }
    subject = {
        **event["data"]["object"],
        "description": NOTATIONS,
        "next_action": action,
        "transfer_group": int(CANARY),
    }
    planted = {**event, "id": "evt_planted", "type": "payment_intent.requires_action", "data": {"object": subject}}
    assert post((shop.webhook_url(service), planted)) == [200]
    shop.wait_quiet()
    _, metrics = ask(f"{service.metrics_url}/metrics")
    service.stop()
    topics = [
        str(
            (
                r.key and r.key.decode("utf-8", "replace"),
                r.value and r.value.decode("utf-8", "replace").replace("\0", ""),
                r.headers,
            )
        )
        for r in shop.topics.read_all([*ANNOUNCEMENTS, DEAD_LETTERS])
    ]
    rows = _rows(shop.dsn)
    assert any("evt_planted" in row for row in rows)
    assert len(topics) > len(NOTATIONS)
    for text in [*topics, *rows, service.log.read_text(), metrics]:
        plain = unicodedata.normalize("NFKC", unquote(text))
        assert [plain[max(0, m.start() - 200) : m.end()] for m in CANARIES.finditer(plain)] == []
        assert SECRETS.search(text) is None


COMMANDS = {
    "reason": ["refund", "o-1", "1.00", "--yes", "--reason", f"to {CANARY}"],
    "key": ["refund", "o-1", "1.00", "--yes", "--key", CANARY],
    "person": ["refund", "o-1", "1.00", "--yes", "--as", CANARY],
    "why": ["refund", "o-1", "1.00", "--yes", "--why", f"card {CANARY}"],
    "cancel reason": ["cancel", "o-1", "--yes", "--reason", CANARY],
    "client of a key": ["keys", "create", "--scope", "read", "--client", CANARY],
    "client with a prefix": ["keys", "create", "--scope", "read", "--client", f"shop-{CANARY}"],
    "person of a login": ["pages", "login", "--person", CANARY],
    "return code": ["bank", "refund", "00000000-0000-4000-8000-000000000000", "--failed", CANARY],
    "note": ["attention", "resolve", "record:1", "--note", CANARY, "--close"],
    "client of a revoked key": ["keys", "revoke", "--client", CANARY],
}


@pytest.mark.invariant("I12")
@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_stores_no_card_number(database_dsn: str, arguments: list[str]) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute(INSERT_PAYMENT, (payment_id("default", "o-1", 1),))
    before = _rows(database_dsn)
    refused = run(*arguments, env={"DB_DSN": database_dsn})
    assert refused.returncode in {2, 4}
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert sorted(set(_rows(database_dsn)) - set(before)) == []


def _show_checkouts(shop: Shop, *order_ids: str) -> None:
    """Request checkouts with their secrets, and let the provider answer once with an error that repeats secrets."""
    for order_id in order_ids:
        intent = shop.intent_of(order_id)
        assert f'"{intent}_secret_' in shop.checkout(order_id)[1]
    error = {"error": {"message": f"No such key: {API_KEY}, nor pi_1_secret_canary"}}
    reads = {"method": "GET", "path_prefix": "/v1/payment_intents/"}
    shop.sandbox.faults({"match": reads, "action": "status", "code": 400, "body": error, "times": 1})
    status, text = shop.checkout(order_ids[0])
    assert (status, SECRETS.findall(text)) == (503, [])


def _send_bad_events(shop: Shop, url: str) -> None:
    """Post an event with an unknown signature, and a signed body with a client secret that is no valid event."""
    event = shop.events("payment_intent.created")[0]
    body, headers = signed(event, "whsec_canaryOfAStranger")
    assert post((url, event), (url, {**event, "id": "", "note": event["data"]["object"]["client_secret"]})) == [
        200,
        400,
    ]
    assert ask(url, body, headers)[0] == 400
    shop.write([], bad=1)  # the correctly signed body is stored in quarantine


def _rows(dsn: str) -> list[str]:
    """Return every row of every table as text, including its bytes."""
    with psycopg.connect(dsn, options="-c bytea_output=escape") as connection:
        names = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return [
            f"{name}{row}"
            for (name,) in names.fetchall()
            for (row,) in connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
        ]
