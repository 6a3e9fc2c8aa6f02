"""`audit`: verify the audit by its hash chain, and export it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from payment_service import exit_codes
from payment_service.commands import output, session
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import AuditFault, AuditVerification
from payment_service.db import audit_chain
from payment_service.domain.audit_chain import Head, hash_text, read_hash
from payment_service.flows.comparisons.audit import AuditComparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from payment_service.db.pool import Pool

EVENT: Final = "audit_head"
_HEAD: Final = re.compile(rf'"event": ?"{EVENT}"')
# More than a person reads.
SHOWN_MAX: Final = 1_000
_COLUMNS: Final = ("code", "position", "audit_id", "detail")


def verify(heads: str, *, as_json: bool) -> int:
    """Print each fault, and the head. Return the exit code. Raises ConfigError for a file without heads."""
    published = list(_read_heads(heads)) if heads else []

    async def work(pool: Pool) -> AuditVerification:
        comparison = AuditComparison(pool, published)
        faults: list[AuditFault] = []
        async for one in comparison.faults():
            if len(faults) < SHOWN_MAX:  # the others are read too: the head is that of the whole chain
                faults.append(
                    AuditFault(code=one.code, position=one.position, audit_id=one.audit_id, detail=one.detail)
                )
        head = comparison.head
        return AuditVerification(
            data=faults,
            position=head.position,
            hash=hash_text(head.hash),
            heads=len(published),
            waiting=comparison.waiting,
        )

    found = session.run(work)
    _print(found, as_json=as_json)
    return exit_codes.DIFFERENCES if found.data else exit_codes.DONE


def export() -> None:
    """Print one line of JSON per entry: those of the chain in its order, then those that wait for their link."""

    async def work(pool: Pool) -> None:
        async for link in audit_chain.links(pool):
            _print_entry(link.position, hash_text(link.hash), link.entry)
        async for one in audit_chain.unsealed(pool):
            _print_entry(None, None, one.entry)

    session.run(work)


def _print_entry(position: int | None, text: str | None, entry: Any) -> None:
    line = json.dumps({"position": position, "hash": text, "entry": entry}, sort_keys=True)
    sys.stdout.write(line.replace("\x7f", "\\u007f") + "\n")


def _print(found: AuditVerification, *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    output.print_table("Faults", _COLUMNS, ([getattr(one, name) for name in _COLUMNS] for one in found.data))
    output.print_line(f"Head: position {found.position}, hash {found.hash}")
    if found.waiting:
        output.print_note(
            f"{found.waiting} entries wait for their link. If this stays, no process runs the role dispatch."
        )
    if not found.heads:
        output.print_note(
            "Compared with the database alone. --heads compares with the service's logs, which its owner cannot change."
        )
    elif not found.data:
        output.print_note(f"No entry was changed, deleted, inserted or reordered, by {found.heads} published heads.")


def _read_heads(name: str) -> Iterator[Head]:
    heads = list(_heads_of(sys.stdin)) if name == "-" else _heads_in(Path(name))
    if not heads:
        raise ConfigError(
            f"--heads: there is no line {EVENT} in it. Give the logs of a process with the role dispatch."
        )
    return iter(heads)


def _heads_in(path: Path) -> list[Head]:
    with path.open(encoding="utf-8", errors="replace") as lines:
        return list(_heads_of(lines))


def _heads_of(lines: Iterable[str]) -> Iterator[Head]:
    """Return the heads in logs. A log driver may write a prefix before each line."""
    for line in lines:
        if not _HEAD.search(line):
            continue
        try:
            fields = json.loads(line[line.index("{") :])
            yield Head(int(fields["position"]), read_hash(fields["hash"]))
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"--heads: a line {EVENT} is not readable. Give the service's lines as written."
            ) from None
