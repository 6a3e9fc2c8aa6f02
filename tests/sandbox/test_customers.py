"""Customers, and the rule that an attached PaymentMethod pays only for its customer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver
from tests.support.sandbox import SandboxProcess

CARD: dict[str, Any] = {"amount": 1000, "currency": "usd", "payment_method_types": ["card"]}
PAID: dict[str, Any] = {**CARD, "confirm": True}


def new_method(client: Any, card: str = "visa") -> Any:
    return client.v1.payment_methods.create({"type": "card", "card": {"token": f"tok_{card}"}})


def attached(client: Any, customer: Any) -> Any:
    return client.v1.payment_methods.attach(new_method(client).id, {"customer": customer.id})


def newest_event(client: Any, kind: str) -> Any:
    return client.v1.events.list({"type": kind, "limit": 1}).data[0]


def test_customer_is_created_and_retrieved(client: Any) -> None:
    made = client.v1.customers.create(
        {
            "name": "Ada",
            "email": "ada@example.com",
            "phone": "+39 06 1234",
            "description": "First of all",
            "metadata": {"user_id": "7"},
            "address": {"city": "Rome", "country": "IT"},
            "shipping": {"name": "Ada", "address": {"line1": "Via Appia 1"}},
        }
    )
    read = client.v1.customers.retrieve(made.id)

    assert read == made
    assert made.id.startswith("cus_")
    assert (made.name, made.email, made.phone, made.description) == (
        "Ada",
        "ada@example.com",
        "+39 06 1234",
        "First of all",
    )
    assert made.metadata["user_id"] == "7"
    assert (made.address.city, made.address.line1, made.shipping.address.line1) == ("Rome", None, "Via Appia 1")
    assert newest_event(client, "customer.created").data.object == made


def test_customer_can_be_created_without_parameters(client: Any) -> None:
    made = client.v1.customers.create()
    assert (made.name, made.address, made.balance, made.tax_exempt) == (None, None, 0, "none")


def test_webhook_of_a_new_customer_is_delivered(client: Any, sandbox: SandboxProcess, receiver: Receiver) -> None:
    sandbox.set_webhook(receiver.url)
    client.v1.customers.create({"payment_method": "pm_card_visa"})
    receiver.wait_for("customer.created", "payment_method.attached")


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"email": "x" * 513}, "parameter_invalid_string_length", "email"),
        ({"address": {"planet": "Mars"}}, "parameter_unknown", "address[planet]"),
        ({"shipping": {"name": "Ada"}}, "parameter_missing", "shipping[address]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"payment_method": "pm_nothing"}, "resource_missing", "payment_method"),
        ({"color": "red"}, "parameter_unknown", "color"),
        ({"tax_exempt": "always"}, None, "tax_exempt"),
    ],
)
def test_invalid_create_is_rejected(client: Any, change: dict[str, Any], code: str | None, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.customers.create(change)
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)


def test_unknown_customer_is_404_in_a_path_and_400_in_a_parameter(client: Any) -> None:
    method = new_method(client)
    named = {"customer": "cus_nothing"}
    calls: list[tuple[Callable[[], Any], int]] = [
        (lambda: client.v1.customers.retrieve("cus_nothing"), 404),
        (lambda: client.v1.payment_intents.create({**CARD, **named}), 400),
        (lambda: client.v1.payment_intents.list(named), 400),
        (lambda: client.v1.payment_methods.attach(method.id, named), 400),
    ]
    for call, status in calls:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call()
        assert (caught.value.http_status, caught.value.code) == (status, "resource_missing")


def test_intents_and_charges_are_listed_by_customer(client: Any) -> None:
    ada, bob = client.v1.customers.create(), client.v1.customers.create()
    intents = [client.v1.payment_intents.create({**PAID, "customer": one.id, "payment_method": "pm_card_visa"})
               for one in (ada, bob, ada)]  # fmt: skip

    listed = client.v1.payment_intents.list({"customer": ada.id})
    assert [one.id for one in listed.data] == [intents[2].id, intents[0].id]
    charges = client.v1.charges.list({"customer": bob.id})
    assert [(one.id, one.customer) for one in charges.data] == [(intents[1].latest_charge, bob.id)]


def test_customer_can_be_expanded_in_every_object(client: Any) -> None:
    ada = client.v1.customers.create()
    method = attached(client, ada)
    intent = client.v1.payment_intents.create(
        {
            **PAID,
            "customer": ada.id,
            "payment_method": method.id,
            "expand": ["customer", "payment_method.customer", "latest_charge.customer"],
        }
    )
    assert intent.customer == intent.payment_method.customer == intent.latest_charge.customer == ada


# customer of the intent, customer of the method → code and parameter of the error, or None
OWNERS: list[tuple[str | None, str | None, tuple[str | None, str] | None]] = [
    ("ada", "ada", None),
    ("ada", None, None),
    (None, None, None),
    ("bob", "ada", (None, "payment_method")),
    (None, "ada", ("parameter_missing", "source")),
]


def pay_at(client: Any, step: str, method: str, customer_params: dict[str, str]) -> Any:
    """Pay with `method`, passed in the given step."""
    if step == "create":
        return client.v1.payment_intents.create({**PAID, **customer_params, "payment_method": method})
    intent = client.v1.payment_intents.create({**CARD, **customer_params})
    if step == "confirm":
        return client.v1.payment_intents.confirm(intent.id, {"payment_method": method})
    client.v1.payment_intents.update(intent.id, {"payment_method": method})
    return client.v1.payment_intents.confirm(intent.id)


@pytest.mark.parametrize("step", ["create", "update", "confirm"])
@pytest.mark.parametrize(("payer", "owner", "refusal"), OWNERS)
def test_attached_method_pays_only_for_its_customer(
    client: Any, payer: str | None, owner: str | None, refusal: tuple[str | None, str] | None, step: str
) -> None:
    customers = {name: client.v1.customers.create() for name in ("ada", "bob")}
    method = attached(client, customers[owner]) if owner else new_method(client)
    customer_params = {"customer": customers[payer].id} if payer else {}

    if refusal is None:
        assert pay_at(client, step, method.id, customer_params).status == "succeeded"
        return
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay_at(client, step, method.id, customer_params)
    assert (caught.value.http_status, (caught.value.code, caught.value.param)) == (400, refusal)


def test_intent_cannot_combine_a_customer_with_anothers_method(client: Any) -> None:
    ada, bob = client.v1.customers.create(), client.v1.customers.create()
    intent = client.v1.payment_intents.create({**CARD, "customer": ada.id, "payment_method": attached(client, ada).id})
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.update(intent.id, {"customer": bob.id})

    changed = client.v1.payment_intents.update(
        intent.id, {"customer": bob.id, "payment_method": attached(client, bob).id}
    )
    assert changed.customer == bob.id


def test_attached_method_can_pay_repeatedly(client: Any) -> None:
    ada = client.v1.customers.create()
    method = attached(client, ada)
    for _ in range(2):
        intent = client.v1.payment_intents.create({**PAID, "customer": ada.id, "payment_method": method.id})
        assert intent.status == "succeeded"


@pytest.mark.parametrize("usage", ["on_session", "off_session"])
@pytest.mark.parametrize("capture", ["automatic", "manual"])
def test_method_for_future_usage_is_attached_after_payment(client: Any, usage: str, capture: str) -> None:
    ada = client.v1.customers.create()
    method = new_method(client)
    ask = {"customer": ada.id, "payment_method": method.id, "setup_future_usage": usage, "capture_method": capture}
    intent = client.v1.payment_intents.create({**CARD, **ask})
    assert client.v1.payment_methods.retrieve(method.id).customer is None

    client.v1.payment_intents.confirm(intent.id)

    assert client.v1.payment_methods.retrieve(method.id).customer == ada.id
    assert newest_event(client, "payment_method.attached").data.object.id == method.id
    again = client.v1.payment_intents.create({**PAID, "customer": ada.id, "payment_method": method.id})
    assert again.status == "succeeded"


def test_method_is_attached_only_after_authentication(client: Any, sandbox: SandboxProcess) -> None:
    ada = client.v1.customers.create()
    method = new_method(client, "threeDSecure2Required")
    intent = client.v1.payment_intents.create(
        {**PAID, "customer": ada.id, "payment_method": method.id, "setup_future_usage": "off_session"}
    )
    assert client.v1.payment_methods.retrieve(method.id).customer is None

    sandbox.authenticate(intent.id)

    assert client.v1.payment_methods.retrieve(method.id).customer == ada.id


def test_declined_method_is_not_attached(client: Any) -> None:
    ada = client.v1.customers.create()
    method = new_method(client, "chargeDeclined")
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create(
            {**PAID, "customer": ada.id, "payment_method": method.id, "setup_future_usage": "off_session"}
        )
    assert client.v1.payment_methods.retrieve(method.id).customer is None


def test_method_is_not_attached_without_a_customer(client: Any) -> None:
    intent = client.v1.payment_intents.create(
        {**PAID, "payment_method": "pm_card_visa", "setup_future_usage": "off_session"}
    )
    assert client.v1.payment_methods.retrieve(intent.payment_method).customer is None


def test_method_belongs_to_one_customer(client: Any) -> None:
    ada, bob = client.v1.customers.create(), client.v1.customers.create()
    method = attached(client, ada)

    again = client.v1.payment_methods.attach(method.id, {"customer": ada.id})
    assert again.customer == ada.id
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        client.v1.payment_methods.attach(method.id, {"customer": bob.id})


def test_declined_card_prevents_the_creation_of_its_customer(client: Any) -> None:
    before = newest_event(client, "customer.created").id
    with pytest.raises(stripe.CardError) as caught:
        client.v1.customers.create({"payment_method": "pm_card_chargeDeclinedInsufficientFunds"})
    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert caught.value.error is not None
    assert caught.value.error.decline_code == "insufficient_funds"
    assert newest_event(client, "customer.created").id == before


def test_charge_customer_fail_card_is_attached_and_declined_later(client: Any) -> None:
    ada = client.v1.customers.create()
    method = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": ada.id})
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create({**PAID, "customer": ada.id, "payment_method": method.id})


def test_customers_survive_kill_9(own_sandbox: SandboxProcess) -> None:
    own_sandbox.start()
    client: Any = own_sandbox.client()
    ada = client.v1.customers.create({"email": "ada@example.com", "payment_method": "pm_card_visa"})
    own_sandbox.kill()
    own_sandbox.start()
    assert own_sandbox.client().v1.customers.retrieve(ada.id).email == "ada@example.com"
