"""Checks of `doctor`: the role's privileges, API keys that end soon, and the seal of the audit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payment_service.contracts.findings import Finding, Findings, Verdict
from payment_service.db.queries import load
from payment_service.db.rights import compare_role

if TYPE_CHECKING:
    from payment_service.db.pool import Connection
    from payment_service.db.rights import Roles

# A role may have excess privileges on every table and partition; the first few show which kind.
RIGHTS_SHOWN: Final = 5
# Time to give a client another key. A rotated key ends earlier, and its successor is valid already.
EXPIRY_WARNING: Final = timedelta(days=7)

_sql = load(__package__, "doctor.sql")


async def check_role(connection: Connection, roles: Roles) -> Findings:
    """Report missing privileges as a failure, and excess ones as a warning: a stolen password would grant them too."""
    if (role := await compare_role(connection, roles)) is None:
        return
    if role.missing:
        fix = f"run `payment-service migrate` as the owner to grant them to {roles.service}, and serve as that role"
        yield Finding(Verdict.FAILED, "role", f"{role.name} is missing {_few(role.missing)}", fix)
    excess = [
        *(["superuser privileges"] if role.superuser else []),
        *(["ownership of the tables"] if role.owner and not role.superuser else []),
        *(["CREATE in the schema"] if role.may_create and not role.owner else []),
        *([] if role.owner else role.excess),
    ]
    if excess:
        fix = f"serve as {roles.service}; `payment-service migrate --roles` prints its SQL"
        yield Finding(Verdict.WARNING, "role", f"{role.name} has excess privileges: {_few(excess)}", fix)
    if not role.missing and not excess:
        use = ": it is for `keys` and the pages, not for the rest of `serve`" if role.name == roles.operator else ""
        yield Finding(Verdict.OK, "role", f"{role.name} has the privileges it needs, and no more{use}")


async def check_keys(connection: Connection) -> Finding:
    """Warn about API keys that end soon: their clients are refused from then on."""
    rows = await connection.fetch(_sql.expiring_keys, EXPIRY_WARNING)
    if not rows:
        return Finding(Verdict.OK, "api keys", f"none ends within {EXPIRY_WARNING.days} days")
    found = ", ".join(f"one of {row['client']} at {row['expires_at']:%Y-%m-%d %H:%M}Z" for row in rows)
    return Finding(Verdict.WARNING, "api keys", f"end soon: {found}", "payment-service keys rotate")


async def check_audit(connection: Connection) -> Finding:
    """Report entries of the audit that no process seals. `audit verify` compares the rest."""
    waiting = await connection.fetchval(_sql.unsealed_entries)
    if not waiting:
        return Finding(Verdict.OK, "audit", "every entry is sealed into the chain")
    found = f"{waiting} {'entry waits' if waiting == 1 else 'entries wait'} for longer than a minute to be sealed"
    return Finding(Verdict.FAILED, "audit", found, "run a process of `serve` with the role dispatch")


def _few(rights: list[str]) -> str:
    more = len(rights) - RIGHTS_SHOWN
    return ", ".join(rights[:RIGHTS_SHOWN]) + (f" and {more} more" if more > 0 else "")
