"""The API reference in a browser: Scalar over `/openapi.json`. Every file of it is ours to serve; no other host is contacted.

`scripts/fetch-reference` brings `reference/scalar.js`, which git does not hold. Without it, the page says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import FileResponse, Response
from starlette.routing import Route

from payment_service.http.problems import NOT_FOUND, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER: Final = Path(__file__).parent / "reference"
BUNDLE: Final = FOLDER / "scalar.js"
_SCRIPTS: Final = frozenset({"scalar.js", "start.js"})
# Scalar writes its styles into the page, so styles may be inline. Scripts may not.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


async def _page(_request: Request) -> Response:
    name = "page.html" if BUNDLE.exists() else "missing.html"
    return FileResponse(FOLDER / name, headers=_HEADERS, media_type="text/html")


async def _script(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _SCRIPTS or not (FOLDER / name).exists():
        raise Problem(NOT_FOUND, "No route has this path.")
    return FileResponse(FOLDER / name, headers=_HEADERS, media_type="text/javascript")


ROUTES: Final = (Route("/docs", _page), Route("/docs/{name}", _script))
