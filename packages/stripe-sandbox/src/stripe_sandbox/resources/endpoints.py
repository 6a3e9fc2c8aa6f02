"""Webhook endpoints (https://docs.stripe.com/api/webhook_endpoints)."""

from __future__ import annotations

import re
import secrets
import string

from stripe_sandbox.errors import Json, invalid, missing_resource
from stripe_sandbox.resources.event_types import EVENT_TYPES
from stripe_sandbox.resources.pagination import list_reply, page_query
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id
from stripe_sandbox.wire.parameters import merged_metadata

ENDPOINTS_LIMIT = 16  # https://docs.stripe.com/webhooks
ROLL_S = 24 * 3600  # the longest overlap of two secrets: https://docs.stripe.com/webhooks#roll-endpoint-secrets
FORMER_SECRETS = 3  # keeps the signature header short however often a secret is rolled
SECRET_CHARS = 32  # as long as Stripe's

_ALPHABET = string.ascii_letters + string.digits
_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z_]+)?")
_HIDDEN = ("secret", "former_secrets")


def create(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Create an endpoint; this is the only response with its secret."""
    if len(work.tx.table("webhook_endpoint").rows) >= ENDPOINTS_LIMIT:
        raise invalid(f"You have reached the maximum of {ENDPOINTS_LIMIT} test webhook endpoints.")
    endpoint: Json = {
        "id": new_id("we_1"),
        "object": "webhook_endpoint",
        "api_version": _version(params.get("api_version")),
        "application": None,
        "created": work.created,
        "description": params.get("description"),
        "enabled_events": checked_types(params["enabled_events"]),
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "secret": new_secret(),
        "status": "enabled",
        "url": checked_url(params["url"]),
    }
    work.tx.put("webhook_endpoint", endpoint["id"], endpoint)
    return Reply(endpoint)


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    return Reply(without_secrets(existing(work, path["id"])))


def update(work: UnitOfWork, params: Json, path: Json) -> Reply:
    endpoint = dict(existing(work, path["id"]))
    if "url" in params:
        endpoint["url"] = checked_url(params["url"])
    if "enabled_events" in params:
        endpoint["enabled_events"] = checked_types(params["enabled_events"])
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    if "description" in params:
        endpoint["description"] = params["description"]
    endpoint["metadata"] = merged_metadata(endpoint["metadata"], params.get("metadata", {}))
    work.tx.put("webhook_endpoint", endpoint["id"], endpoint)
    return Reply(without_secrets(endpoint))


def delete(work: UnitOfWork, params: Json, path: Json) -> Reply:
    endpoint = existing(work, path["id"])
    work.tx.delete("webhook_endpoint", endpoint["id"])
    return Reply({"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True})


def list_all(work: UnitOfWork, params: Json, path: Json) -> Reply:
    query = page_query("webhook endpoint", params)
    page = work.tx.table("webhook_endpoint").page(query)
    page.rows[:] = [without_secrets(endpoint) for endpoint in page.rows]
    return list_reply("/v1/webhook_endpoints", page)


def roll(work: UnitOfWork, endpoint_id: str, expires_in_s: float) -> Json:
    """Create a new secret; the old one stays valid for `expires_in_s` seconds of sandbox time.

    Returns the endpoint with its new secret. Raises `ApiError` 404.
    """
    endpoint = existing(work, endpoint_id)
    former = [[endpoint["secret"], work.now + expires_in_s], *endpoint.get("former_secrets", [])]
    endpoint = {**endpoint, "secret": new_secret(), "former_secrets": former[:FORMER_SECRETS]}
    work.tx.put("webhook_endpoint", endpoint_id, endpoint)
    return {**without_secrets(endpoint), "secret": endpoint["secret"]}


def existing(work: UnitOfWork, endpoint_id: str) -> Json:
    endpoint = work.tx.find("webhook_endpoint", endpoint_id)
    if endpoint is None:
        raise missing_resource("webhook endpoint", endpoint_id, "id")
    return endpoint


def subscribes_to(endpoint: Json, kind: str) -> bool:
    """Return whether the endpoint receives events of type `kind`."""
    enabled = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in enabled or kind in enabled)


def valid_secrets(endpoint: Json, now: float) -> list[str]:
    """Return the secrets that sign at `now`, newest first."""
    former = endpoint.get("former_secrets", ())
    return [endpoint["secret"], *(secret for secret, until in former if now < until)]


def former_secrets(endpoint: Json) -> list[str]:
    """Return the previous secrets, expired or not, newest first."""
    return [secret for secret, _ in endpoint.get("former_secrets", ())]


def new_secret() -> str:
    return "whsec_" + "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_CHARS))


def without_secrets(endpoint: Json) -> Json:
    """Remove the secrets, which Stripe returns only when an endpoint is created."""
    return {name: value for name, value in endpoint.items() if name not in _HIDDEN}


def checked_url(url: str) -> str:
    """Return the URL. Raises `ApiError` 400 unless it is an HTTP URL."""
    if "://" not in url:
        raise invalid("Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid")
    if _URL.fullmatch(url) is None:
        raise invalid("Not a valid URL", "url", "url_invalid")
    return url


def checked_types(kinds: list[str]) -> list[str]:
    """Return the types. Raises `ApiError` 400 for unknown ones; `*` is the only wildcard."""
    for index, kind in enumerate(kinds):
        if kind not in EVENT_TYPES:
            allowed = ", ".join(sorted(EVENT_TYPES))
            raise invalid(f"Invalid enabled_events[{index}]: must be one of {allowed}", f"enabled_events[{index}]")
    return kinds


def _version(version: str | None) -> str | None:
    if version is not None and _VERSION.fullmatch(version) is None:
        raise invalid(f"Invalid Stripe API version: {version}", "api_version")
    return version
