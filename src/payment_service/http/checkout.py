"""Routes of `/v1` for a shop's checkout: the data that its page needs, and a new payment after the last one ended
unpaid.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.responses import Response

from payment_service.contracts.api import Checkout, Payment
from payment_service.db.api_keys import Client, Scope
from payment_service.flows.requests.checkout import Checkouts
from payment_service.flows.requests.open_payment import Payments
from payment_service.flows.state.errors import Refusal
from payment_service.http import problems
from payment_service.http.auth import Authenticator, require
from payment_service.http.bodies import Body, read_body
from payment_service.http.changes import change_request, describe_change, refusal_problem, respond
from payment_service.http.parameters import ORDER_ID, only_parameters
from payment_service.http.responses import COMMON_RESPONSES, NO_STORE, RETRY_AFTER, Responses, change_responses, problem

_NO_STORE_HEADERS: Final = {"Cache-Control": "no-store"}
_CHECKOUT_RESPONSES: Final[Responses] = {
    200: {"description": "The state of the payment, and how to pay it if it can be paid.", "headers": NO_STORE},
    404: problem(
        "No payment exists for this order, or none yet.",
        (problems.NOT_FOUND, "No payment exists for this order yet: its record may still be on its way."),
        headers=NO_STORE,
    ),
    409: problem(
        "The provider does not have the payment yet (with Retry-After), or its amount differs from the order's.",
        (problems.NOT_YET, "The payment is being created at the provider: ask again in a second."),
        (problems.NOT_ALLOWED, "The amount at the provider differs from the order's: an operator must look at it."),
        headers=NO_STORE | RETRY_AFTER,
    ),
    503: problem(
        "Too many customers at once, or the provider or the database does not answer: ask again.",
        (problems.UNAVAILABLE, "Too many customers are at the checkout now: ask again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
_OPEN_RESPONSES: Final = change_responses(
    not_allowed="The order is already paid: create a new order for a new payment.",
    when="The last payment is open or paid, the order was cancelled, or the payment needs attention (`detail` states which)",
    invalid="order_id: must match ^[!-~]{1,64}$.",
    location=True,
)
_NO_ORDER: Final[Responses] = {
    404: problem(
        "No payment exists for this order.",
        (problems.NOT_FOUND, "No payment exists for this order: its record creates the first one."),
    )
}


OrderId = Annotated[
    str, Query(pattern=ORDER_ID, description="1 to 64 printable ASCII characters.", examples=["order-1001"])
]


class OpenRequest(Body):
    """The body of a new payment."""

    order_id: Annotated[
        str, Field(pattern=ORDER_ID, description="1 to 64 printable ASCII characters.", examples=["order-1001"])
    ]


def checkout_router(authenticator: Authenticator, checkouts: Checkouts, payments: Payments) -> APIRouter:
    """Return the routes for the shop's own server. That server must check who owns the order before it forwards
    anything.
    """
    shop = Depends(require(authenticator, Scope.CHECKOUT))
    router = APIRouter(prefix="/v1", tags=["checkout"], responses=COMMON_RESPONSES)

    @router.get(
        "/checkout",
        response_model=Checkout,
        responses=_CHECKOUT_RESPONSES,
        dependencies=[shop, Depends(only_parameters("order_id"))],
        summary="Read the data that the shop's page needs to let the customer pay",
        description="Call it from the shop's server, which can check who owns the order. Never call it from a page.",
    )
    async def read_checkout(order_id: OrderId) -> Response:
        try:
            offered = await checkouts.offer(order_id)
        except Refusal as refusal:
            raise refusal_problem(refusal, headers=_NO_STORE_HEADERS) from None
        return Response(offered.model_dump_json(), headers=_NO_STORE_HEADERS, media_type="application/json")

    @router.post(
        "/payments",
        status_code=201,
        response_model=Payment,
        responses=_NO_ORDER | _OPEN_RESPONSES,
        dependencies=[Depends(only_parameters())],
        summary="Open a new payment for an order whose last payment ended unpaid",
        description="Amount, currency, user and provider are those of the last payment.",
        openapi_extra=describe_change(OpenRequest),
    )
    async def open_payment(request: Request, client: Client = shop) -> Response:
        body = await read_body(request, OpenRequest)
        requested = change_request(request, client, "open_payment", None, body)
        return await respond(payments.open(body.order_id, requested), location="/v1/payments")

    return router
