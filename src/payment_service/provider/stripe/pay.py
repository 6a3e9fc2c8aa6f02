"""The data with which Stripe.js lets a customer pay."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class StripePay(BaseModel):
    """Data for Stripe.js to let the customer pay."""

    provider: Literal["stripe"] = Field(description="Pay with Stripe.js.")
    publishable_key: str = Field(
        description="Empty if STRIPE_PUBLISHABLE_KEY is not set.", examples=["pk_test_51Example"]
    )
    client_secret: str = Field(
        repr=False,
        description="For the paying customer only. Do not store it, log it or put it into a URL.",
        examples=["pi_3SxYz1_secret_example"],
    )
    method_types: list[str] = Field(
        description="Payment methods that the customer can choose, as Stripe names them.", examples=[["card"]]
    )
