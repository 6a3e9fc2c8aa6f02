"""Claim a deployment name at a Stripe account, by a product whose id is the name.

A product's id may be chosen, exists once per account and mode, and lasts (https://docs.stripe.com/api/products/create);
a second creation is refused with `resource_already_exists` (https://docs.stripe.com/error-codes). So creation is atomic.
An idempotency key would be forgotten after 24 h. The product is inactive: no page of Stripe's offers it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp

from payment_service.provider.account_claims import ClaimAnswer, ClaimState
from payment_service.provider.stripe.responses import read_token

if TYPE_CHECKING:
    from payment_service.provider.account_claims import Installation
    from payment_service.provider.stripe.responses import Response

# (method, path, form body, idempotency key)
Exchange: TypeAlias = "Callable[[str, str, str, str], Awaitable[Response]]"

PRODUCTS: Final = "/v1/products"
ACCOUNT: Final = "/v1/account"
# The newest page of intents shows a second installation that takes payments now.
_INTENTS: Final = "/v1/payment_intents?limit=100"
_EXISTS: Final = "resource_already_exists"


class _NoAnswer(Exception):
    """Stripe does not answer the question now. The message is a code."""


def product_id(deployment: str) -> str:
    """Return the id of the product that claims a name."""
    return f"payment-service-{deployment}"


async def claim(exchange: Exchange, installation: Installation, *, move: bool) -> ClaimAnswer:
    """Claim the name, or check the claim. The usual check is one call, the first claim two.

    A product that was claimed and that somebody deleted, or whose metadata somebody erased, is claimed again.
    """
    try:
        return await _claim(exchange, installation, move=move)
    except _NoAnswer as error:
        return ClaimAnswer(state=ClaimState.UNAVAILABLE, detail=str(error))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return ClaimAnswer(state=ClaimState.UNAVAILABLE, detail=f"connection:{type(error).__name__}")


async def _claim(exchange: Exchange, installation: Installation, *, move: bool) -> ClaimAnswer:
    path = f"{PRODUCTS}/{product_id(installation.deployment)}"
    erased = False
    if installation.claimed_at is not None and not move:
        found = await exchange("GET", path, "", "")
        erased = found.status == HTTPStatus.OK and _holder(found) is None
        if found.status == HTTPStatus.OK and not erased:
            return _compare(installation, found, account="")
        if found.status == HTTPStatus.FORBIDDEN:
            return await _look_for_others(exchange, installation, account="")
        if not erased:
            _require(found, HTTPStatus.NOT_FOUND)
    account = await _read_account(exchange)
    if not move and not _is_same_account(installation, account):
        return ClaimAnswer(state=ClaimState.OTHER_ACCOUNT, account=account, detail=account or "unknown")
    made = await exchange("POST", PRODUCTS, _form(installation, new=True), str(uuid4()))
    if made.status == HTTPStatus.FORBIDDEN:
        return await _look_for_others(exchange, installation, account)
    if made.status == HTTPStatus.BAD_REQUEST and _code(made) == _EXISTS:
        if move or erased:
            made = await exchange("POST", path, _form(installation, new=False), str(uuid4()))
        else:
            made = await exchange("GET", path, "", "")
    _require(made, HTTPStatus.OK)
    return _compare(installation, made, account)


def _is_same_account(installation: Installation, account: str) -> bool:
    """Return whether the key's account may be the one of the first start.

    A claimed name without its product is at another account, or somebody deleted the product. So an account that the key
    may not read counts as another one then.
    """
    return installation.account in {None, account} if account else installation.claimed_at is None


def _compare(installation: Installation, response: Response, account: str) -> ClaimAnswer:
    """Compare the product with the installation."""
    product: Any = response.body if isinstance(response.body, dict) else {}
    if product.get("id") != product_id(installation.deployment):
        raise _NoAnswer("unreadable_answer")
    holder, database = _holder(response), (product.get("metadata") or {}).get("database")
    if holder != str(installation.id):
        return ClaimAnswer(state=ClaimState.TAKEN, account=account, detail=read_token(holder) or "unknown")
    if database and installation.database and database != installation.database:
        return ClaimAnswer(state=ClaimState.COPIED, account=account, detail=read_token(database))
    return ClaimAnswer(state=ClaimState.HELD, account=account)


def _holder(response: Response) -> object:
    """Return the installation that the product names, or None."""
    metadata = response.body.get("metadata") if isinstance(response.body, dict) else None
    return (metadata.get("installation") or None) if isinstance(metadata, dict) else None


async def _look_for_others(exchange: Exchange, installation: Installation, account: str) -> ClaimAnswer:
    """Without permission for products, look for recent intents of another installation under our name."""
    found = await exchange("GET", _INTENTS, "", "")
    _require(found, HTTPStatus.OK)
    body = found.body if isinstance(found.body, dict) else {}
    since = int(installation.created_at.timestamp())  # `created` has whole seconds
    for intent in body.get("data") or []:
        metadata = intent.get("metadata") or {}
        other = metadata.get("installation")
        ours = metadata.get("deployment") == installation.deployment
        if ours and other not in {None, str(installation.id)} and intent.get("created", 0) >= since:
            return ClaimAnswer(state=ClaimState.TAKEN, account=account, detail=read_token(other) or "unknown")
    return ClaimAnswer(state=ClaimState.NOT_PERMITTED, account=account)


async def _read_account(exchange: Exchange) -> str:
    """Return the id of the key's account, or an empty string if the key may not read it."""
    found = await exchange("GET", ACCOUNT, "", "")
    if found.status == HTTPStatus.FORBIDDEN:
        return ""
    _require(found, HTTPStatus.OK)
    return read_token(found.body.get("id")) if isinstance(found.body, dict) else ""


def _form(installation: Installation, *, new: bool) -> str:
    form = {"metadata[installation]": str(installation.id), "metadata[database]": installation.database}
    name = f"payment-service {installation.deployment}: do not delete, it claims this name"
    chosen = {"id": product_id(installation.deployment), "name": name, "active": "false"}
    return urlencode({**(chosen if new else {}), **form})


def _code(response: Response) -> str:
    error = response.body.get("error") if isinstance(response.body, dict) else None
    return read_token(error.get("code")) if isinstance(error, dict) else ""


def _require(response: Response, status: HTTPStatus) -> None:
    if response.status != status:
        raise _NoAnswer(f"http_{response.status}")
