"""Serve the operators' pages on a real database and sandbox, and visit them as a person."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from html import unescape
from http.client import HTTPConnection
from urllib.parse import urlencode
from uuid import UUID

from payment_service.contracts.findings import Finding, Verdict
from payment_service.db import cursor_key, page_logins
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.operators.replay_quarantine import Replays
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.http.health import Readiness
from payment_service.pages.app import build_pages
from payment_service.pages.site import Parts
from tests.support.flows import Flows
from tests.support.http import Answer, ask, served

_BOUNDARY = "----boundary-of-the-form"
READY = Readiness(ready=True, checks={"database": "ok", "broker": "ok"})


@dataclass
class Visitor:
    """A person's browser without scripts: cookies, forms and their hidden fields."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, headers: Mapping[str, str | None] | None = None) -> Answer:
        """Open a page."""
        return self._keep(await ask(self.port, "GET", path, {**self._headers(), **(headers or {})}))

    async def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """Submit fields as a form of these pages."""
        sent = {
            **self._headers(),
            "origin": f"http://127.0.0.1:{self.port}",
            "content-type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        return self._keep(await ask(self.port, "POST", path, sent, urlencode(fields).encode()))

    async def upload(self, page: str, path: str, content: bytes) -> Answer:
        """Open a page and send a file as its form of `path` does, with the hidden fields of the page."""
        fields = await self.hidden(page, path)
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        file = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="statement"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\n'
        body = b"".join([*parts, file.encode(), content, f"\r\n--{_BOUNDARY}--\r\n".encode()])
        sent = {
            **self._headers(),
            "origin": f"http://127.0.0.1:{self.port}",
            "content-type": f"multipart/form-data; boundary={_BOUNDARY}",
        }
        return self._keep(await ask(self.port, "POST", path, sent, body))

    def download(self, path: str) -> str:
        """Download a file, which is sent in chunks."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {name: value for name, value in self._headers().items() if value is not None}
        connection.request("GET", path, headers=headers)
        try:
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    async def submit(self, page: str, path: str, **fields: str) -> Answer:
        """Open a page and submit its form to `path`, with the hidden fields of the page."""
        return await self.post(path, {**await self.hidden(page, path), **fields})

    async def hidden(self, page: str, path: str) -> dict[str, str]:
        """Return the hidden fields of a page's form."""
        return self.hidden_in(await self.get(page), path)

    @staticmethod
    def hidden_in(answer: Answer, path: str) -> dict[str, str]:
        """Return the hidden fields of the form to `path` of a page that was answered."""
        text = answer.body.decode()
        form = next(part for part in re.findall(r"<form.*?</form>", text, re.DOTALL) if f'action="{path}"' in part)
        return {
            name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
        }

    def _headers(self) -> dict[str, str | None]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"host": f"127.0.0.1:{self.port}", "cookie": cookie or None}

    def _keep(self, answer: Answer) -> Answer:
        if header := answer.headers.get("set-cookie"):
            name, _, value = header.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


@dataclass
class ServedPages:
    """The pages on a port, and the flows beneath them."""

    port: int
    flows: Flows

    async def log_in(self, person: str, *roles: str) -> Visitor:
        """Log a person in by a one-time link."""
        async with self.flows.pool.acquire() as connection:
            token = await page_logins.create(connection, person=person, roles=roles)
        visitor = Visitor(self.port)
        answer = await visitor.post("/login/link", {"token": token})
        assert answer.status == 303, answer.body
        return visitor

    async def audit(self) -> list[tuple[str, str]]:
        """Return who did what, oldest first."""
        rows = await self.flows.pool.fetch("SELECT client, action FROM audit ORDER BY id")
        return [(row["client"], row["action"]) for row in rows]

    async def paid(self, order_id: str = "o-1", minor: int = 100_000) -> UUID:
        """Insert a paid payment with an intent that exists nowhere: its calls stay due."""
        name: UUID = await self.flows.pool.fetchval(
            """
            INSERT INTO payments (id, order_id, user_id, provider, provider_payment_id, amount, currency, captured, status,
                                  order_topic, order_partition, order_offset)
            VALUES (gen_random_uuid(), $1, 'user-ada', 'stripe', 'pi_' || $1, $2, 'eur', $2, 'succeeded', 'orders.created', 0, 0)
            RETURNING id
            """,
            order_id,
            minor,
        )
        return name


async def no_problem() -> list[Finding]:
    """Return what `doctor` finds of a healthy service."""
    return [Finding(Verdict.OK, "database", "answers")]


@asynccontextmanager
async def serve_pages(
    flows: Flows, examine: Callable[[], Awaitable[list[Finding]]] = no_problem
) -> AsyncIterator[ServedPages]:
    """Serve the pages on a free port. `examine` runs the checks of `doctor`."""
    context = flows.context()

    async def readiness() -> Readiness:
        return READY

    def replays(any_age: bool) -> Replays:
        intake = OrderIntake(
            context, order_max_age=timedelta.max if any_age else timedelta(days=7), expires_after=timedelta()
        )
        return Replays(
            context,
            intake=intake,
            cancelled=OrderCancellationIntake(context),
            webhooks=Webhooks(context),
            amount_minor_max=999_999_999_999,
            card_like_ids=False,
        )

    parts = Parts(
        config=flows.config,
        context=context,
        reads=flows.pool,
        readiness=readiness,
        examine=examine,
        replays=replays,
        key=await cursor_key.read_derived(flows.pool, "pages"),
    )
    async with served(build_pages(parts)) as port:
        yield ServedPages(port, flows)
