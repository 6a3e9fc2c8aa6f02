"""Code shared by all pages: templates, headers, protection against cross-site requests.

Pages are rendered on the server and work without scripts. A form is posted, and the response redirects (303) to a page
with the result. The headers forbid scripts and embedding.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stripe_sandbox.errors import ApiError
from stripe_sandbox.pages import money
from stripe_sandbox.pages.fault_presets import active_faults
from stripe_sandbox.pages.formatting import duration, masked, pretty
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state.unit_of_work import UnitOfWork

ROOT = Path(__file__).parent

SECTIONS = (
    ("payments", "/", "Payments"),
    ("events", "/events", "Events"),
    ("webhooks", "/webhooks", "Webhooks"),
    ("faults", "/faults", "Faults"),
    ("clock", "/clock", "Clock"),
)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null` with our own forms
    "X-Content-Type-Options": "nosniff",
}

# Pages of other sites may call these: they are the API itself, which requires a key.
API_PREFIXES = ("/v1/", "/v2/", "/v3/")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Site:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._templates = _templates()

    def page(
        self,
        template: str,
        *,
        section: str = "",
        status: int = HTTPStatus.OK,
        policy: str = POLICY,
        **context: object,
    ) -> web.Response:
        """Render a template; `note` and `problem` in the context appear at the top."""
        shared = {
            "sections": SECTIONS,
            "section": section,
            "counts": self._counts(),
            "now": self.sandbox.clock.now(),
            "note": None,
            "problem": None,
        }
        text = self._templates.get_template(template).render(shared | context)
        headers = HEADERS | {"Content-Security-Policy": policy}
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=headers)

    def begin(self, request: web.Request) -> UnitOfWork:
        """Begin a unit of work for a click on a page."""
        work = self.sandbox.begin()
        work.origin = f"{request.scheme}://{request.host}"
        return work

    def not_found(self, what: str) -> web.Response:
        return self.page("missing.html", status=HTTPStatus.NOT_FOUND, what=what)

    def _counts(self) -> dict[str, str]:
        """Return the navigation's counts: faults in force and the clock's offset."""
        active = len(active_faults(self.sandbox.faults))
        offset_s = self.sandbox.clock.offset_s
        return {
            "payments": "",
            "events": "",
            "webhooks": "",
            "faults": f"{active} on" if active else "",
            "clock": f"+{duration(offset_s)}" if offset_s >= 1 else "",
        }


Page = Callable[[Site, web.Request], Awaitable[web.StreamResponse]]


def page_handler(site: Site, page: Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Wrap a page so that an `ApiError` is shown as a page too."""

    @wraps(page)
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await page(site, request)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return site.not_found(str(error))
            return site.page("refused.html", status=error.status, problem=str(error))

    return serve


@web.middleware
async def reject_cross_site_requests(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Reject changes requested by pages of other sites: pages and the control API require no key.

    Browsers send `Sec-Fetch-Site`, and `Origin` with every POST. Other clients send neither and may pass. Another port
    of localhost counts as another site.
    """
    if request.method in SAFE_METHODS or request.path.startswith(API_PREFIXES) or _own(request):
        return await handler(request)
    return web.json_response(
        {"error": {"message": "Pages of other sites may not control the sandbox."}},
        status=HTTPStatus.FORBIDDEN,
    )


def _own(request: web.Request) -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": duration,
        "iso": lambda moment: datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds"),
        "masked": masked,
        "moment": lambda moment: datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "money": money.formatted,
        "plain": money.plain,
        "pretty": pretty,
    }
    return environment
