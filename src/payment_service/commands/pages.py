"""`pages`: print a one-time link into the operators' pages, and end sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.commands import operator, output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.config.pages import PAGE_ROLES
from payment_service.db import audit, page_logins, page_sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.db.pool import Pool

NAME_MAX: Final = 64


def login(person: str, roles: Sequence[str]) -> str:
    """Create a link and return it. Raises ConfigError."""
    settings = CommandSettings.from_environment()
    if settings.admin_port is None and not settings.admin_url:
        raise ConfigError("ADMIN_PORT is not set, so there are no pages: set it here as for the service.")
    if unknown := sorted(set(roles) - set(PAGE_ROLES)):
        raise ConfigError(f"--role takes {', '.join(PAGE_ROLES)}; not {unknown[0]!r}.")
    who = operator.actor()  # may ask, so before the transaction
    name = person.strip() or who.person
    if not name.isprintable() or not 0 < len(name) <= NAME_MAX:
        raise ConfigError(f"--person takes a name of 1 to {NAME_MAX} printable characters.")

    async def work(pool: Pool) -> str:
        async with pool.acquire() as connection, connection.transaction():
            token = await page_logins.create(connection, person=name, roles=roles)
            detail = {"person": name, "roles": sorted(set(roles))}
            await audit.append(connection, who, "pages.login", payment_id=None, detail=detail)
        return f"{settings.admin_base_url}/login/link?token={token}"

    return session.run(work, settings)


def logout(person: str, *, everybody: bool) -> None:
    """End the sessions and links of a person, or of everybody. Raises ConfigError."""
    if bool(person.strip()) == everybody:
        raise ConfigError("Give either --person NAME or --all.")
    who = operator.actor()  # may ask, so before the transaction
    name = None if everybody else person.strip()

    async def work(pool: Pool) -> int:
        async with pool.acquire() as connection, connection.transaction():
            ended = await page_sessions.end_of(connection, name)
            detail = {"person": name, "sessions": ended}
            await audit.append(connection, who, "pages.logout", payment_id=None, detail=detail)
        return ended

    output.print_note(f"Ended sessions: {session.run(work)}.")
