"""Checks of `doctor`: the deployment name and its claim at the Stripe account (I18)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from payment_service.contracts.findings import Finding, Findings, Verdict
from payment_service.db import installation as installations
from payment_service.provider.stripe.api_versions import API_VERSION
from payment_service.provider.stripe.claim import PRODUCTS, product_id
from payment_service.provider.stripe.http_client import open_client

if TYPE_CHECKING:
    from payment_service.config.config import Config
    from payment_service.db.pool import Connection
    from payment_service.provider.account_claims import Installation

SUBJECT: Final = "deployment"
MOVE: Final = "payment-service installation move"


async def check_installation(config: Config, connection: Connection) -> Findings:
    """Compare DEPLOYMENT and the key with the database, then the database with the account."""
    found = await installations.read(connection)
    if found is not None and found.deployment != config.deployment:
        text = f"DEPLOYMENT is {config.deployment!r}, but this database belongs to {found.deployment!r}"
        yield Finding(Verdict.FAILED, SUBJECT, text, "set DEPLOYMENT to the database's name, or use another database")
        return
    if "stripe" not in config.providers:
        yield Finding(Verdict.OK, SUBJECT, f"{config.deployment}: this database's name")
        return
    if found is not None and found.livemode not in {None, config.stripe_livemode}:
        modes = ("live", "test") if found.livemode else ("test", "live")
        text = f"this database belongs to Stripe's {modes[0]} mode, and the key is of {modes[1]} mode"
        yield Finding(Verdict.FAILED, SUBJECT, text, f"use the other key or another database; or run {MOVE}")
        return
    try:
        status, product = await _read_claim(config)
    except (aiohttp.ClientError, OSError, ValueError):
        return  # the check of Stripe reports it
    yield _claim_finding(config.deployment, found, status, product)


async def _read_claim(config: Config) -> tuple[int, dict[str, Any]]:
    url = f"{config.stripe_api_base.rstrip('/')}{PRODUCTS}/{product_id(config.deployment)}"
    async with open_client(config) as session, session.get(url, headers={"Stripe-Version": API_VERSION}) as response:
        answer = await response.json(content_type=None)
        return response.status, answer if isinstance(answer, dict) else {}


def _claim_finding(name: str, found: Installation | None, status: int, product: dict[str, Any]) -> Finding:
    match status:
        case HTTPStatus.OK:
            return _holder_finding(name, found, product.get("metadata") or {})
        case HTTPStatus.NOT_FOUND if found is None or found.claimed_at is None:
            return Finding(Verdict.OK, SUBJECT, f"{name} is free at this Stripe account: the next start claims it")
        case HTTPStatus.NOT_FOUND:
            before = found.account if found and found.account else "another one"
            text = f"{name} is not claimed at this key's account; it was claimed at {before}"
            return Finding(Verdict.FAILED, SUBJECT, text, f"set that account's key; or run {MOVE}")
        case HTTPStatus.FORBIDDEN:
            text = "the key has no permission for products, so a second installation is noticed by its payments only"
            return Finding(Verdict.WARNING, SUBJECT, text, "grant the restricted key: Products write")
        case _:
            return Finding(
                Verdict.WARNING, SUBJECT, f"its claim could not be checked: Stripe returned {status}", "try again"
            )


def _holder_finding(name: str, found: Installation | None, metadata: dict[str, Any]) -> Finding:
    if found is None or metadata.get("installation") != str(found.id):
        text = f"{name} belongs to another installation at this Stripe account"
        return Finding(
            Verdict.FAILED, SUBJECT, text, f"set another DEPLOYMENT; if that installation is gone, run {MOVE}"
        )
    if metadata.get("database") not in {None, "", found.database} and found.database:
        text = f"another copy of this database has started under {name} since"
        return Finding(Verdict.FAILED, SUBJECT, text, "stop the copy, then restart this service")
    return Finding(Verdict.OK, SUBJECT, f"{name} is claimed at this Stripe account by this database")
