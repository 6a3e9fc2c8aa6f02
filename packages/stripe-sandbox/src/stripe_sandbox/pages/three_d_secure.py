"""The 3-D Secure page of the bank: shown in a dialog by `/v3/`, or reached by redirect.

Its URL is the credential: new for every attempt, impossible to guess, and returned only in the intent's `next_action`.
"""

from __future__ import annotations

from hmac import compare_digest
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

from stripe_sandbox.errors import Json, invalid
from stripe_sandbox.pages.site import Site
from stripe_sandbox.resources import payment_attempts
from stripe_sandbox.resources.intents import existing

# Any shop's page may frame this page.
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'"
OUTCOMES = ("succeed", "fail")
# Status passed to the shop's return URL: https://docs.stripe.com/payments/accept-a-payment
REDIRECT_STATUS = {
    "succeeded": "succeeded",
    "requires_capture": "succeeded",
    "requires_confirmation": "succeeded",
    "processing": "pending",
}


async def show(site: Site, request: web.Request) -> web.StreamResponse:
    intent = existing(site.begin(request), request.match_info["id"])
    if not _current(intent, request.path):
        return _finished(site)
    method = site.sandbox.store["payment_method"].rows[intent["payment_method"]]
    return site.page("three_d_secure.html", policy=_policy(intent), intent=intent, card=method.get("card"))


async def submit(site: Site, request: web.Request) -> web.StreamResponse:
    """Pass or fail the step, then return to the shop. A second click shows that it is over."""
    outcome = (await request.post()).get("outcome")
    if outcome not in OUTCOMES:
        raise invalid(f"Invalid outcome: must be one of {', '.join(OUTCOMES)}", "outcome")
    work = site.begin(request)
    intent = existing(work, request.match_info["id"])
    if not _current(intent, request.path):
        return _finished(site)
    after = payment_attempts.authenticate(work, intent, succeeded=outcome == "succeed")
    await site.sandbox.commit(work)
    redirect = intent["next_action"].get("redirect_to_url")
    if redirect is None:
        return _finished(site)
    headers = {"Location": _return_address(redirect["return_url"], after), "Referrer-Policy": "no-referrer"}
    return web.Response(status=HTTPStatus.SEE_OTHER, headers=headers)


def _current(intent: Json, path: str) -> bool:
    """Return whether this is the intent's current authentication page."""
    url = payment_attempts.authentication_url(intent)
    return url is not None and compare_digest(urlsplit(url).path.encode(), path.encode())


def _finished(site: Site) -> web.Response:
    return site.page("authenticated.html", policy=POLICY)


def _policy(intent: Json) -> str:
    """Allow the redirect target too: browsers apply `form-action` to redirects after a form."""
    redirect = intent["next_action"].get("redirect_to_url")
    if redirect is None:
        return POLICY + "; form-action 'self'"
    target = urlsplit(redirect["return_url"])
    origin = f"{target.scheme}://{target.netloc}" if target.scheme in {"http", "https"} else f"{target.scheme}:"
    return POLICY + f"; form-action 'self' {origin}" if _plain(origin) else POLICY


def _plain(origin: str) -> bool:
    """Return whether the origin can be put into a header without ending its directive."""
    return origin.isascii() and not any(mark in origin for mark in " ;,\t\r\n")


def _return_address(return_url: str, intent: Json) -> str:
    url = urlsplit(return_url)
    added = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": REDIRECT_STATUS.get(intent["status"], "failed"),
    }
    others = [(name, value) for name, value in parse_qsl(url.query, keep_blank_values=True) if name not in added]
    return urlunsplit(url._replace(query=urlencode([*others, *added.items()])))
