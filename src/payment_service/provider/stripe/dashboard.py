"""Stripe's Dashboard: the pages about a payment and a dispute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from payment_service.provider.plugins import Dashboard

if TYPE_CHECKING:
    from payment_service.config.config import Config

API_BASE: Final = "https://api.stripe.com"


def payment_page(config: Config, intent_id: str, livemode: bool) -> str:  # noqa: FBT001 - the form of Dashboard.payment
    """Return the page of an intent in the Dashboard, or in the sandbox if it is used."""
    base = config.stripe_api_base.rstrip("/")
    if base != API_BASE:
        return f"{base}/payments/{quote(intent_id, safe='')}"
    return _address(f"payments/{quote(intent_id, safe='')}", livemode=livemode)


def dispute_page(config: Config, dispute_id: str, livemode: bool) -> str:  # noqa: FBT001 - the form of Dashboard.dispute
    """Return the page on which evidence is submitted. The sandbox has none: its API accepts evidence."""
    if config.stripe_api_base.rstrip("/") != API_BASE:
        return ""
    return _address(f"disputes/{quote(dispute_id, safe='')}", livemode=livemode)


def _address(path: str, *, livemode: bool) -> str:
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}{path}"


DASHBOARD: Final = Dashboard(name="Stripe", payment=payment_page, dispute=dispute_page)
