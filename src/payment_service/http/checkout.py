"""`/v1`: what a shop's page needs to let a customer pay, and a new payment once the last one ended unpaid."""

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
from payment_service.http.answers import ANSWERS, NO_STORE, RETRY_AFTER, Responses, change_answers, problem
from payment_service.http.auth import Keys, require
from payment_service.http.bodies import Body, read_body
from payment_service.http.changes import answer, change_request, describe, refused
from payment_service.http.payments import ORDER_ID, only_parameters

_UNSTORED: Final = {"Cache-Control": "no-store"}
_OFFERED: Final[Responses] = {
    200: {"description": "How the payment stands and, if it can be paid, how.", "headers": NO_STORE},
    404: problem(
        "There is no payment for this order, or none yet.",
        (problems.NOT_FOUND, "There is no payment for this order, or none yet: its record may be on its way."),
        headers=NO_STORE,
    ),
    409: problem(
        "The provider is not told of it yet (then with Retry-After), or names another amount than the order.",
        (problems.NOT_YET, "The provider is being told of this payment: ask again in a second."),
        (problems.NOT_ALLOWED, "The amount at the provider is not the order's: a person must look."),
        headers=NO_STORE | RETRY_AFTER,
    ),
    503: problem(
        "Too many customers at once, or the provider or the database does not answer: ask again.",
        (problems.UNAVAILABLE, "Too many customers are at their checkout now: ask again in 1 s."),
        headers=RETRY_AFTER,
    ),
}
_REFUSED: Final = change_answers(
    not_allowed="The order is paid; what is to be paid anew needs an order of its own.",
    when="The last payment is still open or was paid, the order was cancelled, or money waits for a person: `detail` says which",
    invalid="order_id: must match ^[!-~]{1,64}$.",
    location=True,
)
_NO_ORDER: Final[Responses] = {
    404: problem(
        "There is no payment for this order.",
        (problems.NOT_FOUND, "There is no payment for this order: its first comes with its record."),
    )
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
        description="Ask from the shop's server, which knows whose order it is; never from a page.",
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
        responses=_NO_ORDER | _REFUSED,
        dependencies=[Depends(only_parameters())],
        summary="Open a new payment for an order whose last one ended unpaid",
        description="Amount, currency, user and provider are those of the last payment.",
        openapi_extra=describe(OpenRequest),
    )
    async def open_payment(request: Request, client: Client = shop) -> Response:
        body = await read_body(request, OpenRequest)
        asked = change_request(request, client, "open_payment", None, body)
        return await answer(payments.open(body.order_id, asked), found_under="/v1/payments")

    return router
