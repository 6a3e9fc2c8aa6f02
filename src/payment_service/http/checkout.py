"""`/v1`: what a shop's page needs to let a customer pay, and a new payment once the last one ended unpaid."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Checkout, Payment
from payment_service.db.api_keys import Client, Scope
from payment_service.flows.errors import Refusal
from payment_service.flows.offer_checkout import Checkouts
from payment_service.flows.open_payment import Payments
from payment_service.http.auth import Keys, require
from payment_service.http.bodies import Body, read_body
from payment_service.http.changes import REFUSED, answer, asking, describe, refused
from payment_service.http.payments import ANSWERS, ORDER_ID, only_parameters, problem

# The secret is for one customer: no cache may keep it, nor a 404 that is true for a second.
_UNSTORED: Final = {"Cache-Control": "no-store"}
_NO_STORE: Final[dict[str, Any]] = {
    "Cache-Control": {"description": "no-store.", "schema": {"type": "string", "const": "no-store"}}
}
_RETRY_AFTER: Final[dict[str, Any]] = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}
EXAMPLE: Final[dict[str, Any]] = {
    "payment_id": "ae21913b-5b2f-5c29-8abf-153dfb1cfa87",
    "order_id": "order-1001",
    "status": "pending",
    "amount": "19.90",
    "currency": "eur",
    "provider": "stripe",
    "next": "pay",
    "detail": "The customer can pay.",
    "pay": {
        "provider": "stripe",
        "publishable_key": "pk_test_51Example",
        "client_secret": "pi_3SxYz1_secret_example",
        "method_types": ["card"],
    },
}
_OFFERED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "How the payment stands and, if it can be paid, how.",
        "headers": _NO_STORE,
        "content": {"application/json": {"example": EXAMPLE}},
    },
    404: problem("There is no payment for this order, or none yet.", headers=_NO_STORE),
    409: problem("The provider is not told of it yet: ask again.", headers={**_NO_STORE, **_RETRY_AFTER}),
    503: problem(
        "Too many customers at once, or the provider or the database does not answer: ask again.",
        headers=_RETRY_AFTER,
    ),
}
_OPENED: Final[dict[int | str, dict[str, Any]]] = {
    201: {
        "description": "The new payment, `created` until the provider knows of it.",
        "headers": {
            "Idempotent-Replayed": {
                "description": "`true` where the same was answered before.",
                "schema": {"type": "string", "const": "true"},
            }
        },
    },
    404: problem("There is no payment for this order yet, so there can be no next."),
    409: problem(
        "The last payment is still open or was paid, the order was cancelled, or money waits for a person: `detail` says "
        "which. Or a request with this key is being worked on (then with Retry-After)."
    ),
}


OrderId = Annotated[
    str, Query(pattern=ORDER_ID, description="1 to 64 printable ASCII characters.", examples=["order-1001"])
]


class OpenRequest(Body):
    """For which order."""

    order_id: Annotated[
        str, Field(pattern=ORDER_ID, description="1 to 64 printable ASCII characters.", examples=["order-1001"])
    ]


def checkout_router(keys: Keys, checkouts: Checkouts, payments: Payments) -> APIRouter:
    """Give the routes for the shop's own server, which must know whose order it is before it passes anything on."""
    shop = Depends(require(keys, Scope.CHECKOUT))
    router = APIRouter(prefix="/v1", tags=["checkout"], responses=ANSWERS)

    @router.get(
        "/checkout",
        response_model=Checkout,
        responses=_OFFERED,
        dependencies=[shop, Depends(only_parameters("order_id"))],
        summary="Read what the shop's page needs to let the customer pay",
        description="Needs the scope `checkout`. Ask from the shop's server, which knows whose order it is; never from a page.",
    )
    async def read_checkout(order_id: OrderId) -> Response:
        try:
            offered = await checkouts.offer(order_id)
        except Refusal as refusal:
            raise refused(refusal, headers=_UNSTORED) from None
        return Response(offered.model_dump_json(), headers=_UNSTORED, media_type="application/json")

    @router.post(
        "/payments",
        status_code=201,
        response_model=Payment,
        responses={**REFUSED, **_OPENED},
        dependencies=[Depends(only_parameters())],
        summary="Open a new payment for an order whose last one ended unpaid",
        description="Needs the scope `checkout`. Amount, currency, user and provider are those of the last payment.",
        openapi_extra=describe(OpenRequest),
    )
    async def open_payment(request: Request, client: Client = shop) -> Response:
        body = await read_body(request, OpenRequest)
        return await answer(payments.open(body.order_id, asking(request, client, "open_payment", None, body)))

    return router
