"""Products (https://docs.stripe.com/api/products): the caller may choose the id, so creation is atomic by that id."""

from __future__ import annotations

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources.events import emit
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id
from stripe_sandbox.wire.parameters import merged_metadata


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Create a product. Raises `ApiError` 400 `resource_already_exists` (https://docs.stripe.com/error-codes)."""
    product_id = params.get("id") or new_id("prod_")
    if work.tx.find("product", product_id) is not None:
        raise invalid("Product already exists.", code="resource_already_exists")
    product: Json = {
        "id": product_id,
        "object": "product",
        "active": params.get("active", True),
        "created": work.created,
        "default_price": None,
        "description": params.get("description"),
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": work.created,
        "url": None,
    }
    work.tx.put("product", product_id, product)
    emit(work, "product.created", product)
    return Reply(product)


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(_existing(work, path["id"]))


def update(work: UnitOfWork, params: Json, path: Json) -> Reply:
    product = _existing(work, path["id"])
    changed = {name: value for name, value in params.items() if name in {"active", "description", "name"}}
    metadata = merged_metadata(product["metadata"], params.get("metadata", {}))
    product = {**product, **changed, "metadata": metadata, "updated": work.created}
    work.tx.put("product", product["id"], product)
    emit(work, "product.updated", product)
    return Reply(product)


def delete(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Delete a product; its id can be used again."""
    product = _existing(work, path["id"])
    work.tx.delete("product", product["id"])
    emit(work, "product.deleted", product)
    return Reply({"id": product["id"], "object": "product", "deleted": True})


def _existing(work: UnitOfWork, product_id: str) -> Json:
    product = work.tx.find("product", product_id)
    if product is None:
        raise missing_resource("product", product_id, "id")
    return product
