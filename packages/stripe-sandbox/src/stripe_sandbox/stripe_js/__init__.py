"""The replacement for Stripe.js: the script that a shop's page loads, and the card form it embeds.

The files of `script/` are joined into one script, without a build step. The card form (`frame/`) is a page of this
origin in an iframe, so the shop's page never sees a card number. Stripe documents the script at
https://docs.stripe.com/js.

The package imports nothing from the sandbox. Start with `routes`, then read `script/stripe.js`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

_FOLDER: Final = Path(__file__).parent
_TRANSPORT: Final = "script/transport.js"
_SCRIPT: Final = (
    _TRANSPORT,
    "script/errors.js",
    "script/emitter.js",
    "script/element.js",
    "script/placeholder.js",
    "script/elements.js",
    "script/challenge.js",
    "script/payments.js",
    "script/stripe.js",
)
_FORM: Final = (_TRANSPORT, "frame/cards.js", "frame/fields.js", "frame/form.js")
# Any page may embed the form, as with Stripe's; it loads scripts and styles only from here.
_FORM_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'"
)


def routes() -> list[web.RouteDef]:
    script = _served("text/javascript", _joined(_SCRIPT))
    return [
        web.get("/v3", script),
        web.get("/v3/", script),
        web.get("/{release:[a-z]+}/stripe.js", script),
        web.get("/v3/form", _served("text/html", _read("frame/form.html"), {"Content-Security-Policy": _FORM_POLICY})),
        web.get("/v3/form.css", _served("text/css", _read("frame/form.css"))),
        web.get("/v3/form.js", _served("text/javascript", _joined(_FORM))),
        web.get("/v3/authenticated.js", _served("text/javascript", _read("frame/authenticated.js"))),
    ]


def _joined(names: tuple[str, ...]) -> str:
    """Join files into one script; they share a scope that the page cannot access."""
    parts = "\n".join(_read(name) for name in names)
    return f'(() => {{\n"use strict";\n\n{parts}}})();\n'


def _read(name: str) -> str:
    return (_FOLDER / name).read_text()


def _served(
    kind: str, text: str, more: dict[str, str] | None = None
) -> Callable[[web.Request], Awaitable[web.Response]]:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", **(more or {})}

    async def serve(request: web.Request) -> web.Response:
        return web.Response(text=text, content_type=kind, headers=headers)

    return serve
