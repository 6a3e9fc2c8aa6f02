"""Products with an id that the caller chooses, and the account of the key."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import stripe


@pytest.fixture
def product() -> dict[str, Any]:
    """Return a product with an id of its own: the tests share a sandbox."""
    return {"id": f"payment-service-{uuid4()}", "name": "payment-service", "active": False}


def newest_event(client: Any, kind: str) -> Any:
    return client.v1.events.list({"type": kind, "limit": 1}).data[0]


def test_product_with_a_chosen_id_is_created_and_retrieved(client: Any, product: dict[str, Any]) -> None:
    made = client.v1.products.create({**product, "metadata": {"installation": "a"}})
    assert (made.id, made.active, made.metadata["installation"]) == (product["id"], False, "a")
    assert client.v1.products.retrieve(made.id) == made
    assert newest_event(client, "product.created").data.object == made


def test_product_without_an_id_gets_one(client: Any) -> None:
    made = client.v1.products.create({"name": "Shoe"})
    assert made.id.startswith("prod_")
    assert made.active


def test_second_product_with_the_same_id_is_refused(client: Any, product: dict[str, Any]) -> None:
    """Source: `resource_already_exists` in https://docs.stripe.com/error-codes."""
    client.v1.products.create({**product, "metadata": {"installation": "a"}})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.products.create({**product, "metadata": {"installation": "b"}})
    assert (refused.value.http_status, refused.value.code) == (400, "resource_already_exists")
    assert client.v1.products.retrieve(product["id"]).metadata["installation"] == "a"


def test_product_is_updated_and_deleted_and_its_id_is_free_again(client: Any, product: dict[str, Any]) -> None:
    made = client.v1.products.create({**product, "metadata": {"installation": "a"}})
    changed = client.v1.products.update(made.id, {"metadata": {"installation": "b"}})
    assert changed.metadata["installation"] == "b"
    assert newest_event(client, "product.updated").data.object == changed
    assert client.v1.products.delete(made.id).deleted
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.products.retrieve(made.id)
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")
    assert client.v1.products.create(product).id == made.id


def test_product_needs_a_name(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.products.create({"id": "x"})
    assert (refused.value.code, refused.value.param) == ("parameter_missing", "name")


def test_account_of_the_key_has_an_id(client: Any) -> None:
    account = client.v1.accounts.retrieve_current()
    assert account.id.startswith("acct_")
