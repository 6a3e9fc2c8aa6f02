"""The parts that all pages share: what they read and change, the templates and the headers of every response."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from payment_service.db.audit import Actor
from payment_service.flows.requests.idempotency import ChangeRequest
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.http.list_queries import ListPages
from payment_service.pages import badges, formatting
from payment_service.pages.checks import Checks
from payment_service.pages.forms import NOTE_MAX, line
from payment_service.pages.permissions import Permission, Person

if TYPE_CHECKING:
    from uuid import UUID

    from starlette.requests import Request

    from payment_service.config.config import Config
    from payment_service.contracts.findings import Finding
    from payment_service.db.pool import Pool
    from payment_service.flows.operators.replay_quarantine import Replays
    from payment_service.flows.state.context import Context
    from payment_service.http.health import CheckReadiness
    from payment_service.pages.table import ProviderPages

ROOT: Final = Path(__file__).parent
# Owner of the idempotency keys of the pages. The API creates no key for a client of this name.
CLIENT: Final = "pages"

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null` with our own forms
    "X-Content-Type-Options": "nosniff",
}

# Sentences that a redirect may show on the next page. A URL carries the name, never the text.
NOTES: Final = {
    "refund": "The refund is requested. It is sent to the provider now.",
    "approval": "A second person must approve this refund within 24 hours.",
    "approve": "You approved the refund. It is sent to the provider now.",
    "decline": "The request is declined. No money moves.",
    "capture": "The capture is requested. It is sent to the provider now.",
    "cancel": "The cancellation is requested. It is sent to the provider now.",
    "republish": "The payment's records will be published again.",
    "note": "The note is stored.",
    "retry": "The item is tried again. It disappears from this list when that succeeds.",
    "resolve": "Your decision is stored.",
    "revoke": "The key is revoked. Running processes may accept it for 5 more seconds.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The database, flows and settings of the pages. `reads` serves pages. `examine` runs the checks of `doctor`. `replays` decides quarantined items again; True: of any age."""

    config: Config
    context: Context
    reads: Pool
    readiness: CheckReadiness
    examine: Callable[[], Awaitable[list[Finding]]]
    replays: Callable[[bool], Replays]
    key: bytes


class Site:
    """The pages' templates and shared parts."""

    def __init__(self, parts: Parts, brought: Sequence[ProviderPages] = ()) -> None:
        self.parts = parts
        self.lists = ListPages(parts.reads)
        self.checks = Checks(parts.examine)
        self.notes = {**NOTES, **{name: text for one in brought for name, text in one.notes.items()}}
        self._templates = _templates([ROOT / "templates", *(one.templates for one in brought)])

    def render(self, template: str, context: Mapping[str, Any], status: int = HTTPStatus.OK) -> Response:
        """Render a template with the headers of every page."""
        text = self._templates.get_template(template).render(context)
        return HTMLResponse(text, status, HEADERS)

    def token_of(self, person: Person) -> str:
        """Return the token that the person's forms carry. Another site cannot read it."""
        bound = f"form\n{person.name}\n{person.session}".encode()
        return hmac.new(self.parts.key, bound, sha256).hexdigest()


@dataclass(slots=True)
class Visit:
    """A request of a person. `form` holds the fields of a POST, each once."""

    site: Site
    request: Request
    person: Person
    sections: tuple[Any, ...] = ()
    form: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """Return what the pages read and change."""
        return self.site.parts

    def query(self, name: str) -> str:
        """Return a parameter of the query, without surrounding spaces; empty if absent."""
        return self.request.query_params.get(name, "").strip()

    def page(self, template: str, *, section: str = "", status: int = HTTPStatus.OK, **context: object) -> Response:
        """Render a page for this person."""
        shared = {
            "person": self.person,
            "may": self.person.may,
            "Permission": Permission,
            "sections": [one for one in self.sections if self.person.may(one.permission)],
            "section": section,
            "token": self.site.token_of(self.person),
            "note": self.site.notes.get(self.query("done")),
            "problem": None,
            "local": self.parts.context.deployment,
            "personal": self.personal,
        }
        return self.site.render(template, shared | context, status)

    def personal(self, value: str | None) -> str:
        """Return a personal value as this person may see it."""
        if not value or self.person.may(Permission.PERSONAL):
            return value or ""
        return formatting.masked(value)

    def redirect(self, path: str, done: str = "", **query: str) -> Response:
        """Redirect after a POST, with a note on the next page."""
        wanted = {**query, **({"done": done} if done else {})}
        return RedirectResponse(f"{path}?{urlencode(wanted)}" if wanted else path, HTTPStatus.SEE_OTHER, HEADERS)

    def change(
        self, action: str, parameters: Mapping[str, Any], *, key: str = "", payment_id: UUID | None = None
    ) -> ChangeRequest:
        """Build the request for a change by this person. Its key is the form's, so a second press changes nothing. Raises Refusal."""
        key = key or self.form.get("key", "")
        if not key:
            raise Refusal(RefusalReason.INVALID, "The form is not complete: open the page again.")
        return ChangeRequest(
            actor=self.actor(),
            key=key,
            action=action,
            payment_id=payment_id,
            parameters=parameters,
        )

    def actor(self) -> Actor:
        """Return this person for the audit, with the reason of the form. Raises Refusal."""
        address = self.request.client.host if self.request.client else ""
        return Actor(client=CLIENT, address=address, person=self.person.name, why=self.why())

    def why(self) -> str:
        """Return the person's reason for a change, for the audit. Raises Refusal."""
        name = next((name for name in ("reason", "note") if name in self.form), "reason")
        return line(self.form, name, "Reason", length_max=NOTE_MAX)


Page = Callable[[Visit], Awaitable[Response]]


def _templates(folders: Sequence[Path]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "badge_of_attempt": badges.of_attempt,
        "badge_of_payment": badges.of_payment,
        "badge_of_refund": badges.of_refund,
        "badge_of_dispute": badges.of_dispute,
        "iso": formatting.iso,
        "moment": formatting.moment,
        "money": formatting.money,
        "words": formatting.words,
    }
    environment.globals |= {"count_of": formatting.count, "new_key": lambda: f"page-{uuid4()}"}
    return environment
