"""Stripe's manner on the wire, one fact a row: what clients may send, and what they are told."""

from __future__ import annotations

import gzip
import socket
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
import stripe

from tests.sandbox.plain import FORM, GOOD, INTENTS, ask, create
from tests.support.sandbox import API_KEY, SandboxProcess


@pytest.fixture
def intent(sandbox: SandboxProcess) -> dict[str, Any]:
    return create(sandbox).json


def test_every_answer_names_its_request_and_the_version(sandbox: SandboxProcess) -> None:
    heard = create(sandbox)

    assert heard.headers["request-id"].startswith("req_")
    assert heard.headers["stripe-version"] == "2026-08-26.dahlia"
    assert heard.headers["content-type"] == "application/json"
    assert "no-store" in heard.headers["cache-control"]


@pytest.mark.parametrize(
    "version", ["2026-08-26.dahlia", "2019-02-19", "2026-10-28.endive", "2025-03-31.basil; beta=v1"]
)
def test_any_well_formed_version_is_taken_and_repeated(sandbox: SandboxProcess, version: str) -> None:
    """Though the answer is in the one version that is spoken."""
    heard = create(sandbox, Stripe_Version=version)
    assert (heard.status, heard.headers["stripe-version"]) == (200, version.partition(";")[0])
    assert "amount_details" in heard.json


@pytest.mark.parametrize("version", ["latest", "2026", "26-08-26", "2026-08-26.DAHLIA"])
def test_a_version_that_is_none_is_400(sandbox: SandboxProcess, version: str) -> None:
    heard = create(sandbox, Stripe_Version=version)
    assert (heard.status, heard.error["type"]) == (400, "invalid_request_error")


def test_a_connected_account_is_taken_and_repeated(sandbox: SandboxProcess) -> None:
    heard = create(sandbox, Stripe_Account="acct_1NotOurs")
    assert (heard.status, heard.headers["stripe-account"]) == (200, "acct_1NotOurs")


@pytest.mark.parametrize("account", ["me", "cus_1", "acct_", "acct_1 acct_2"])
def test_what_is_no_account_is_403(sandbox: SandboxProcess, account: str) -> None:
    heard = create(sandbox, Stripe_Account=account)
    assert (heard.status, heard.error["code"]) == (403, "account_invalid")
    assert "stripe-account" not in heard.headers


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "credentials",
    [basic(f"{API_KEY}:"), basic(f"{API_KEY}:any"), basic(API_KEY), f"bearer {API_KEY}", "Bearer sk_test_x"],
)
def test_a_key_comes_by_bearer_or_as_the_user_of_basic(sandbox: SandboxProcess, credentials: str) -> None:
    assert create(sandbox, Authorization=credentials).status == 200


@pytest.mark.parametrize(
    "credentials", [None, "", "Bearer", "Basic ~~~", basic(":secret"), f"Digest {API_KEY}", API_KEY]
)
def test_without_a_key_it_is_401(sandbox: SandboxProcess, credentials: str | None) -> None:
    heard = create(sandbox, Authorization=credentials)
    assert (heard.status, heard.error["type"]) == (401, "invalid_request_error")
    assert heard.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unheard_of"),
        ("GET", "/v2/core/events"),
        ("GET", "/v1/payment_intents/"),
        ("GET", "/v1/payment_intents/search?query=status:'succeeded'"),
        ("GET", "/v1/customers/search"),
        ("PUT", INTENTS),
        ("PATCH", INTENTS),
        ("DELETE", INTENTS),
        ("PURGE", INTENTS),
        ("POST", "/v1/events"),
    ],
)
def test_an_unknown_url_is_404_and_says_where_to_read_on(sandbox: SandboxProcess, method: str, path: str) -> None:
    """With or without a key, as at Stripe."""
    heard = ask(sandbox, method, path, Authorization=None)
    assert (heard.status, heard.error["type"]) == (404, "invalid_request_error")
    assert heard.error["message"].startswith(f"Unrecognized request URL ({method}: {path.partition('?')[0]})")
    assert "docs/sandbox.md" in heard.error["message"]


def test_head_is_answered_without_a_body(sandbox: SandboxProcess) -> None:
    heard = ask(sandbox, "HEAD", "/v1/unheard_of")
    assert (heard.status, heard.body) == (404, b"")


@pytest.mark.parametrize(
    ("status", "more", "advice"),
    [
        (200, "", None),
        (400, "&colour=red", "false"),
        (402, "&confirm=true&payment_method=pm_card_chargeDeclined", "false"),
    ],
)
def test_whether_to_retry_is_said_where_stripe_says_it(
    sandbox: SandboxProcess, status: int, more: str, advice: str | None
) -> None:
    heard = create(sandbox, more)
    assert (heard.status, heard.headers.get("stripe-should-retry")) == (status, advice)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", "not a type"])
def test_what_is_no_form_is_refused(sandbox: SandboxProcess, kind: str) -> None:
    heard = ask(sandbox, "POST", INTENTS, '{"amount": 1000, "currency": "usd"}', Content_Type=kind)
    assert heard.status == 400
    assert "application/x-www-form-urlencoded" in heard.error["message"]


@pytest.mark.parametrize("kind", [None, f"{FORM}; charset=utf-8", FORM.upper()])
def test_a_form_is_taken_under_each_of_its_names(sandbox: SandboxProcess, kind: str | None) -> None:
    assert ask(sandbox, "POST", INTENTS, GOOD.encode(), Content_Type=kind).status == 200


def test_parameters_may_stand_in_the_address(sandbox: SandboxProcess) -> None:
    heard = ask(sandbox, "POST", f"{INTENTS}?currency=eur&description=x", "amount=1000&currency=usd")
    assert (heard.json["currency"], heard.json["description"]) == ("usd", "x")


def test_a_get_may_have_a_form_for_a_body(sandbox: SandboxProcess, intent: dict[str, Any]) -> None:
    assert len(ask(sandbox, "GET", f"{INTENTS}?starting_after=", None).error["message"]) > 0
    create(sandbox)
    assert len(ask(sandbox, "GET", INTENTS, "limit=1").json["data"]) == 1
    assert ask(sandbox, "GET", f"{INTENTS}?limit=1", "{}", Content_Type="application/json").status == 200


@pytest.mark.parametrize(
    ("more", "param", "code", "words"),
    [
        ("&colour=red", "colour", "parameter_unknown", "Received unknown parameter: colour"),
        ("&amout=1", "amout", "parameter_unknown", "Received unknown parameter: amout. Did you mean amount?"),
        ("&a=1&b[c]=2", "a", "parameter_unknown", "Received unknown parameters: a, b"),
        ("&description[]=1", "description", None, "Invalid string"),
        ("&amount=1.5", "amount", "parameter_invalid_integer", "Invalid integer: 1.5"),
        ("&amount=", "amount", "parameter_invalid_integer", "Invalid integer: "),
        ("&amount=\uff11\uff10", "amount", "parameter_invalid_integer", "Invalid integer: \uff11\uff10"),
        ("&confirm=yes", "confirm", None, "Invalid boolean: yes"),
        ("&metadata=flat", "metadata", None, "Invalid object"),
        ("&shipping[name]=x", "shipping[address]", "parameter_missing", "Missing required param: shipping[address]."),
        ("&shipping=x", "shipping", None, "Invalid object"),
        ("&expand=latest_charge", "expand", None, "Invalid array"),
        (
            "&capture_method=later",
            "capture_method",
            None,
            "Invalid capture_method: must be one of automatic, automatic_async, or manual",
        ),
        (
            "&payment_method_data[type]=card&payment_method_data[card][nummer]=4",
            "payment_method_data[card][nummer]",
            "parameter_unknown",
            "Received unknown parameter: payment_method_data[card][nummer]. Did you mean payment_method_data[card][number]",
        ),
    ],
)
def test_unknown_parameters_and_wrong_types_are_refused(
    sandbox: SandboxProcess, more: str, param: str, code: str | None, words: str
) -> None:
    heard = ask(sandbox, "POST", INTENTS, f"{GOOD}{more}".encode())
    assert heard.status == 400
    assert (heard.error["param"], heard.error.get("code")) == (param, code)
    assert heard.error["message"].startswith(words)


@pytest.mark.parametrize(("body", "name"), [("currency=usd", "amount"), ("amount=1000", "currency"), ("", "amount")])
def test_a_missing_parameter_is_named(sandbox: SandboxProcess, body: str, name: str) -> None:
    heard = ask(sandbox, "POST", INTENTS, body)
    assert heard.error["code"] == "parameter_missing"
    assert heard.error["message"] == f"Missing required param: {name}."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nonsense", "This property cannot be expanded (nonsense)."),
        ("metadata", "This property cannot be expanded (metadata)."),
        ("data.latest_charge", "This property cannot be expanded (data.latest_charge)."),
        ("latest_charge.nonsense", "This property cannot be expanded (latest_charge.nonsense)."),
        ("", "You passed an empty string"),
        ("latest_charge.payment_intent.latest_charge.payment_intent.customer", "You cannot expand more than 4 levels"),
    ],
)
def test_what_cannot_be_expanded_is_400_though_nothing_is_there(
    sandbox: SandboxProcess, intent: dict[str, Any], path: str, words: str
) -> None:
    heard = ask(sandbox, "GET", f"{INTENTS}/{intent['id']}?expand[]={path}")
    assert heard.status == 400
    assert heard.error["message"].startswith(words)


def test_in_lists_expansions_begin_with_data(sandbox: SandboxProcess) -> None:
    create(sandbox, "&confirm=true&payment_method=pm_card_visa")
    plain = ask(sandbox, "GET", f"{INTENTS}?expand[]=latest_charge")
    [listed] = ask(sandbox, "GET", f"{INTENTS}?limit=1&expand[]=data.latest_charge.payment_intent").json["data"]

    assert plain.error["message"].endswith("You may want to try expanding 'data.latest_charge' instead.")
    assert listed["latest_charge"]["payment_intent"]["id"] == listed["id"]


def test_several_expansions_meet_in_one_answer(sandbox: SandboxProcess) -> None:
    more = "&capture_method=automatic&confirm=true&payment_method=pm_card_visa&expand[0]=payment_method"
    made = create(sandbox, f"{more}&expand[1]=latest_charge&expand[2]=latest_charge.balance_transaction").json

    assert made["payment_method"]["object"] == "payment_method"
    assert made["latest_charge"]["balance_transaction"]["object"] == "balance_transaction"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("starting_after=pi_nothing", "starting_after"),
        ("ending_before=pi_nothing", "ending_before"),
        ("created[since]=1", "created[since]"),
        ("created=yesterday", "created"),
        ("status=succeeded", "status"),
    ],
)
def test_lists_refuse_what_they_cannot_do(sandbox: SandboxProcess, query: str, param: str) -> None:
    heard = ask(sandbox, "GET", f"{INTENTS}?{query}")
    assert (heard.status, heard.error["param"]) == (400, param)


def test_pages_walk_through_a_list_in_both_directions(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    ids = [create(own_sandbox).json["id"] for _ in range(5)][::-1]

    first = ask(own_sandbox, "GET", f"{INTENTS}?limit=2").json
    rest = ask(own_sandbox, "GET", f"{INTENTS}?limit=3&starting_after={ids[1]}").json
    before = ask(own_sandbox, "GET", f"{INTENTS}?limit=2&ending_before={ids[4]}").json

    assert ([one["id"] for one in first["data"]], first["has_more"]) == (ids[:2], True)
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[2:], False)
    assert ([one["id"] for one in before["data"]], before["has_more"]) == (ids[2:4], True)
    assert first["url"] == INTENTS


def test_the_sdk_pages_forwards_and_backwards_by_itself(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    ids = [create(own_sandbox).json["id"] for _ in range(5)][::-1]
    intents: Any = own_sandbox.client().v1.payment_intents

    assert [one.id for one in intents.list({"limit": 2}).auto_paging_iter()] == ids
    backwards = intents.list({"limit": 2, "ending_before": ids[-1]}).auto_paging_iter()
    assert [one.id for one in backwards] == ids[:-1][::-1]


@pytest.mark.parametrize(
    "body",
    [
        b"amount=1000&currency=%zz",
        b"amount=1000&currency=%",
        b"amount=1000&currency=%ff",
        b"amount=1000&currency=\xff",
        b"amount=1000&amount[x]=1",
        b"=1",
        b"a[=1",
        b"metadata" + b"[a]" * 30 + b"=1",
        b"&".join(b"metadata[a%d]=1" % number for number in range(1001)),
    ],
)
def test_a_form_that_cannot_be_read_is_400(sandbox: SandboxProcess, body: bytes) -> None:
    heard = ask(sandbox, "POST", INTENTS, body)
    assert (heard.status, heard.error["type"]) == (400, "invalid_request_error")


def test_a_body_too_large_is_413(sandbox: SandboxProcess) -> None:
    heard = ask(sandbox, "POST", INTENTS, b"description=" + b"x" * 1_100_000)
    assert (heard.status, heard.error["type"]) == (413, "invalid_request_error")


def test_a_packed_body_is_unpacked_or_refused(sandbox: SandboxProcess) -> None:
    packed = ask(sandbox, "POST", INTENTS, gzip.compress(GOOD.encode()), Content_Encoding="gzip")
    broken = ask(sandbox, "POST", INTENTS, b"no gzip at all", Content_Encoding="gzip")

    assert (packed.status, broken.status) == (200, 400)


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /v1/payment_intents HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /v1/payment_intents?" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/payment_intents HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_400_before_anything_is_looked_at(sandbox: SandboxProcess, request_text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        connection.sendall(request_text)
        assert connection.recv(65536).split()[1].startswith(b"4")
    assert create(sandbox).status == 200


@pytest.mark.parametrize(
    "raw", [b"GET /v1/payment_intents?limit=\xff\xfe", b"GET /v1/payment_intents/\xff", b"GET /v1/%ff"]
)
def test_addresses_that_are_no_utf_8_are_refused_in_stripes_shape(sandbox: SandboxProcess, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        fields = f"Host: x\r\nAuthorization: Bearer {API_KEY}\r\nConnection: close\r\n\r\n"
        connection.sendall(raw + b" HTTP/1.1\r\n" + fields.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1][:1] == b"4"


@pytest.mark.parametrize("key", [b"\xff", b"a\x01b", b"x" * 256])
def test_a_key_that_cannot_be_one_is_400(sandbox: SandboxProcess, key: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        fields: Mapping[bytes, bytes] = {
            b"Host": b"x",
            b"Authorization": f"Bearer {API_KEY}".encode(),
            b"Content-Length": str(len(GOOD)).encode(),
            b"Content-Type": FORM.encode(),
            b"Idempotency-Key": key,
        }
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields.items())
        connection.sendall(b"POST /v1/payment_intents HTTP/1.1\r\n" + head + b"\r\n" + GOOD.encode())
        assert connection.recv(65536).split()[1] == b"400"


def test_metadata_takes_every_text(sandbox: SandboxProcess) -> None:
    text = "Zoë & Søn = 100 % + 日本 \U0001f600 \x00 \n;"
    client: Any = sandbox.client()
    made = client.v1.payment_intents.create({"amount": 1000, "currency": "usd", "metadata": {"note": text, "7": "x"}})

    assert client.v1.payment_intents.retrieve(made.id).metadata.to_dict() == {"note": text, "7": "x"}


def test_empty_values_unset_what_can_be_unset(sandbox: SandboxProcess) -> None:
    client: Any = sandbox.client()
    made = client.v1.payment_intents.create(
        {
            "amount": 1000,
            "currency": "usd",
            "description": "x",
            "receipt_email": "a@example.com",
            "metadata": {"a": "1"},
        }
    )
    changed = client.v1.payment_intents.update(made.id, {"description": "", "receipt_email": "", "metadata": ""})

    assert (changed.description, changed.receipt_email, changed.metadata.to_dict()) == (None, None, {})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.confirm(made.id, {"payment_method": ""})
    assert caught.value.code == "parameter_invalid_empty"
