"""The HTTP behavior of Stripe's API: headers, authentication, forms, expansion and lists."""

from __future__ import annotations

import gzip
import socket
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
import stripe

from tests.sandbox.http_requests import FORM, GOOD, INTENTS, create, send_request
from tests.support.sandbox import API_KEY, SandboxProcess


@pytest.fixture
def intent(sandbox: SandboxProcess) -> dict[str, Any]:
    return create(sandbox).json


def test_every_response_has_a_request_id_and_the_api_version(sandbox: SandboxProcess) -> None:
    response = create(sandbox)

    assert response.headers["request-id"].startswith("req_")
    assert response.headers["stripe-version"] == "2026-08-26.dahlia"
    assert response.headers["content-type"] == "application/json"
    assert "no-store" in response.headers["cache-control"]


@pytest.mark.parametrize(
    "version", ["2026-08-26.dahlia", "2019-02-19", "2026-10-28.endive", "2025-03-31.basil; beta=v1"]
)
def test_well_formed_version_is_accepted_and_echoed(sandbox: SandboxProcess, version: str) -> None:
    """The response always has the shape of the sandbox's version."""
    response = create(sandbox, Stripe_Version=version)
    assert (response.status, response.headers["stripe-version"]) == (200, version.partition(";")[0])
    assert "amount_details" in response.json


@pytest.mark.parametrize("version", ["latest", "2026", "26-08-26", "2026-08-26.DAHLIA"])
def test_malformed_version_is_400(sandbox: SandboxProcess, version: str) -> None:
    response = create(sandbox, Stripe_Version=version)
    assert (response.status, response.error["type"]) == (400, "invalid_request_error")


def test_connected_account_is_accepted_and_echoed(sandbox: SandboxProcess) -> None:
    response = create(sandbox, Stripe_Account="acct_1NotOurs")
    assert (response.status, response.headers["stripe-account"]) == (200, "acct_1NotOurs")


@pytest.mark.parametrize("account", ["me", "cus_1", "acct_", "acct_1 acct_2"])
def test_malformed_account_is_403(sandbox: SandboxProcess, account: str) -> None:
    response = create(sandbox, Stripe_Account=account)
    assert (response.status, response.error["code"]) == (403, "account_invalid")
    assert "stripe-account" not in response.headers


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "credentials",
    [basic(f"{API_KEY}:"), basic(f"{API_KEY}:any"), basic(API_KEY), f"bearer {API_KEY}", "Bearer sk_test_x"],
)
def test_key_is_accepted_as_bearer_token_or_basic_user(sandbox: SandboxProcess, credentials: str) -> None:
    assert create(sandbox, Authorization=credentials).status == 200


@pytest.mark.parametrize(
    "credentials", [None, "", "Bearer", "Basic ~~~", basic(":secret"), f"Digest {API_KEY}", API_KEY]
)
def test_missing_or_malformed_credentials_are_401(sandbox: SandboxProcess, credentials: str | None) -> None:
    response = create(sandbox, Authorization=credentials)
    assert (response.status, response.error["type"]) == (401, "invalid_request_error")
    assert response.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/unheard_of"),
        ("GET", "/v2/core/events"),
        ("GET", "/v1/payment_intents/"),
        ("GET", "/v1/payment_intents/searches/1?query=status:'succeeded'"),
        ("PUT", INTENTS),
        ("PATCH", INTENTS),
        ("DELETE", INTENTS),
        ("PURGE", INTENTS),
        ("POST", "/v1/events"),
    ],
)
def test_unknown_url_is_404_and_names_the_documentation(sandbox: SandboxProcess, method: str, path: str) -> None:
    """A key is not required, as at Stripe."""
    response = send_request(sandbox, method, path, Authorization=None)
    assert (response.status, response.error["type"]) == (404, "invalid_request_error")
    assert response.error["message"].startswith(f"Unrecognized request URL ({method}: {path.partition('?')[0]})")
    assert "docs/sandbox.md" in response.error["message"]


def test_head_response_has_no_body(sandbox: SandboxProcess) -> None:
    response = send_request(sandbox, "HEAD", "/v1/unheard_of")
    assert (response.status, response.body) == (404, b"")


@pytest.mark.parametrize(
    ("status", "more", "advice"),
    [
        (200, "", None),
        (400, "&color=red", "false"),
        (402, "&confirm=true&payment_method=pm_card_chargeDeclined", "false"),
    ],
)
def test_should_retry_header_matches_stripe(
    sandbox: SandboxProcess, status: int, more: str, advice: str | None
) -> None:
    response = create(sandbox, more)
    assert (response.status, response.headers.get("stripe-should-retry")) == (status, advice)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", "not a type"])
def test_body_that_is_not_a_form_is_rejected(sandbox: SandboxProcess, kind: str) -> None:
    response = send_request(sandbox, "POST", INTENTS, '{"amount": 1000, "currency": "usd"}', Content_Type=kind)
    assert response.status == 400
    assert "application/x-www-form-urlencoded" in response.error["message"]


@pytest.mark.parametrize("kind", [None, f"{FORM}; charset=utf-8", FORM.upper()])
def test_form_content_type_is_accepted_in_all_spellings(sandbox: SandboxProcess, kind: str | None) -> None:
    assert send_request(sandbox, "POST", INTENTS, GOOD.encode(), Content_Type=kind).status == 200


def test_query_parameters_are_accepted_and_the_body_takes_precedence(sandbox: SandboxProcess) -> None:
    response = send_request(sandbox, "POST", f"{INTENTS}?currency=eur&description=x", "amount=1000&currency=usd")
    assert (response.json["currency"], response.json["description"]) == ("usd", "x")


def test_get_accepts_a_form_as_its_body(sandbox: SandboxProcess, intent: dict[str, Any]) -> None:
    assert len(send_request(sandbox, "GET", f"{INTENTS}?starting_after=", None).error["message"]) > 0
    create(sandbox)
    assert len(send_request(sandbox, "GET", INTENTS, "limit=1").json["data"]) == 1
    assert send_request(sandbox, "GET", f"{INTENTS}?limit=1", "{}", Content_Type="application/json").status == 200


@pytest.mark.parametrize(
    ("more", "param", "code", "words"),
    [
        ("&color=red", "color", "parameter_unknown", "Received unknown parameter: color"),
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
            "&payment_method_data[type]=card&payment_method_data[card][numbr]=4",
            "payment_method_data[card][numbr]",
            "parameter_unknown",
            "Received unknown parameter: payment_method_data[card][numbr]. Did you mean payment_method_data[card][number]",
        ),
    ],
)
def test_unknown_and_mistyped_parameters_are_rejected(
    sandbox: SandboxProcess, more: str, param: str, code: str | None, words: str
) -> None:
    response = send_request(sandbox, "POST", INTENTS, f"{GOOD}{more}".encode())
    assert response.status == 400
    assert (response.error["param"], response.error.get("code")) == (param, code)
    assert response.error["message"].startswith(words)


@pytest.mark.parametrize(("body", "name"), [("currency=usd", "amount"), ("amount=1000", "currency"), ("", "amount")])
def test_missing_parameter_is_named(sandbox: SandboxProcess, body: str, name: str) -> None:
    response = send_request(sandbox, "POST", INTENTS, body)
    assert response.error["code"] == "parameter_missing"
    assert response.error["message"] == f"Missing required param: {name}."


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
def test_invalid_expansion_is_400_even_if_the_field_is_null(
    sandbox: SandboxProcess, intent: dict[str, Any], path: str, words: str
) -> None:
    response = send_request(sandbox, "GET", f"{INTENTS}/{intent['id']}?expand[]={path}")
    assert response.status == 400
    assert response.error["message"].startswith(words)


def test_expansions_in_lists_start_with_data(sandbox: SandboxProcess) -> None:
    create(sandbox, "&confirm=true&payment_method=pm_card_visa")
    plain = send_request(sandbox, "GET", f"{INTENTS}?expand[]=latest_charge")
    [listed] = send_request(sandbox, "GET", f"{INTENTS}?limit=1&expand[]=data.latest_charge.payment_intent").json[
        "data"
    ]

    assert plain.error["message"].endswith("You may want to try expanding 'data.latest_charge' instead.")
    assert listed["latest_charge"]["payment_intent"]["id"] == listed["id"]


def test_several_expansions_apply_to_one_response(sandbox: SandboxProcess) -> None:
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
def test_invalid_list_parameter_is_rejected(sandbox: SandboxProcess, query: str, param: str) -> None:
    response = send_request(sandbox, "GET", f"{INTENTS}?{query}")
    assert (response.status, response.error["param"]) == (400, param)


def test_list_can_be_paged_in_both_directions(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    ids = [create(own_sandbox).json["id"] for _ in range(5)][::-1]

    first = send_request(own_sandbox, "GET", f"{INTENTS}?limit=2").json
    rest = send_request(own_sandbox, "GET", f"{INTENTS}?limit=3&starting_after={ids[1]}").json
    before = send_request(own_sandbox, "GET", f"{INTENTS}?limit=2&ending_before={ids[4]}").json

    assert ([one["id"] for one in first["data"]], first["has_more"]) == (ids[:2], True)
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[2:], False)
    assert ([one["id"] for one in before["data"]], before["has_more"]) == (ids[2:4], True)
    assert first["url"] == INTENTS


def test_sdk_auto_paging_works_in_both_directions(own_sandbox: SandboxProcess) -> None:
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
def test_malformed_form_is_400(sandbox: SandboxProcess, body: bytes) -> None:
    response = send_request(sandbox, "POST", INTENTS, body)
    assert (response.status, response.error["type"]) == (400, "invalid_request_error")


def test_oversized_body_is_413(sandbox: SandboxProcess) -> None:
    response = send_request(sandbox, "POST", INTENTS, b"description=" + b"x" * 1_100_000)
    assert (response.status, response.error["type"]) == (413, "invalid_request_error")


def test_gzip_body_is_decompressed_or_rejected(sandbox: SandboxProcess) -> None:
    packed = send_request(sandbox, "POST", INTENTS, gzip.compress(GOOD.encode()), Content_Encoding="gzip")
    broken = send_request(sandbox, "POST", INTENTS, b"no gzip at all", Content_Encoding="gzip")

    assert (packed.status, broken.status) == (200, 400)


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /v1/payment_intents HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /v1/payment_intents?" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/payment_intents HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/payment_intents HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_http_is_rejected(sandbox: SandboxProcess, request_text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        connection.sendall(request_text)
        assert connection.recv(65536).split()[1].startswith(b"4")
    assert create(sandbox).status == 200


@pytest.mark.parametrize(
    "raw", [b"GET /v1/payment_intents?limit=\xff\xfe", b"GET /v1/payment_intents/\xff", b"GET /v1/%ff"]
)
def test_url_that_is_not_utf_8_is_rejected(sandbox: SandboxProcess, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        fields = f"Host: localhost\r\nAuthorization: Bearer {API_KEY}\r\nConnection: close\r\n\r\n"
        connection.sendall(raw + b" HTTP/1.1\r\n" + fields.encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.split()[1][:1] == b"4"


@pytest.mark.parametrize("key", [b"\xff", b"a\x01b", b"x" * 256])
def test_invalid_idempotency_key_is_400(sandbox: SandboxProcess, key: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as connection:
        fields: Mapping[bytes, bytes] = {
            b"Host": b"localhost",
            b"Authorization": f"Bearer {API_KEY}".encode(),
            b"Content-Length": str(len(GOOD)).encode(),
            b"Content-Type": FORM.encode(),
            b"Idempotency-Key": key,
        }
        head = b"".join(name + b": " + value + b"\r\n" for name, value in fields.items())
        connection.sendall(b"POST /v1/payment_intents HTTP/1.1\r\n" + head + b"\r\n" + GOOD.encode())
        assert connection.recv(65536).split()[1] == b"400"


def test_metadata_accepts_any_unicode_text(sandbox: SandboxProcess) -> None:
    text = "Zoë & Søn = 100 % + 日本 \U0001f600 \x00 \n;"
    client: Any = sandbox.client()
    made = client.v1.payment_intents.create({"amount": 1000, "currency": "usd", "metadata": {"note": text, "7": "x"}})

    assert client.v1.payment_intents.retrieve(made.id).metadata.to_dict() == {"note": text, "7": "x"}


def test_empty_value_unsets_an_optional_field(sandbox: SandboxProcess) -> None:
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
