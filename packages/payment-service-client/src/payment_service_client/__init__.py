"""Typed clients of the HTTP API of payment-service.

`client.py` has the two clients, `sync_api.py` and `async_api.py` their calls, `models.py` and `timeline.py` the objects, `errors.py` the
exceptions. Apart from the standard library, it imports httpx alone.
"""

from payment_service_client.client import AsyncPaymentServiceClient, PaymentServiceClient
from payment_service_client.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    PaymentServiceError,
    ServerError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from payment_service_client.pages import AsyncPages, Pages

__all__ = [
    "ApiError",
    "AsyncPages",
    "AsyncPaymentServiceClient",
    "ConflictError",
    "ForbiddenError",
    "InvalidRequestError",
    "NoAnswerError",
    "NotFoundError",
    "Pages",
    "PaymentServiceClient",
    "PaymentServiceError",
    "ServerError",
    "TooManyRequestsError",
    "UnauthenticatedError",
    "UnavailableError",
]
