"""Take over a store that ran the model's tables (`payments`, `payment_events`, amounts as decimals): `migrate --adopt`.

Its tables are set aside under names with `model_` before them, in the transaction that makes ours, and never changed. What becomes
of each row is decided by one statement from these rows alone, so a run that was killed is gone on with by running it again. What
can't be taken as it stands is in the table `model_adoption_report`, a row each: nothing is rounded, and nothing guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from payment_service.crash_points import reached
from payment_service.db.adopted_events import keep_events
from payment_service.db.migrate import MigrationError, migrate
from payment_service.db.pool import CONNECT_TIMEOUT_S
from payment_service.db.queries import load
from payment_service.db.rights import DEFAULT_ROLES, Roles
from payment_service.domain.ids import operation_id
from payment_service.provider.port import Kind, Request
from payment_service.provider.stripe.adapter import Stripe
from payment_service_events.currency import CURRENCIES

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

# A second of work in one transaction: what a kill undoes, and for how long a row of it is locked.
BATCH_ROWS: Final = 10_000
# Calls to the provider that this asks for: a quarter of the 20 a second that all share, so that new orders are not behind them.
CALLS_PER_SECOND: Final = 5
# Under whose name the service's own triggers act, here as in the flows.
_SYSTEM: Final = "system"
# "paymentu", beside the locks of `migrate` and `maintain`.
ADVISORY_LOCK: Final = 0x7061796D656E7475
# What a table `payments` has if it is the model's.
COLUMNS: Final = (
    "id", "order_id", "provider", "provider_payment_id", "amount", "currency", "status", "payment_method_id",
    "payment_method_type", "metadata", "created_at", "updated_at",
)  # fmt: skip

Session: TypeAlias = "psycopg.Connection[Any]"
Report: TypeAlias = Callable[[str], None]

# What is not taken, and the revision that brings it.
REPORT: Final = "model_adoption_report"
REPORT_REVISION: Final = "2"

_NOTHING_TO_ADOPT: Final = (
    "There is nothing to adopt: the database has no table payments of the model, and no model_payments."
)
_NOT_THE_MODEL_S: Final = "The table {} is not the model's: it lacks {}."

_sql = load(__package__, "adopt.sql")


class AdoptError(Exception):
    """The tables could not be taken over, or not all of them; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A call to be queued for a payment. `cause` names it, so that it is queued once."""

    payment_id: UUID
    kind: Kind
    cause: str
    request: Request

    @property
    def id(self) -> UUID:
        return operation_id(self.payment_id, self.kind, _SYSTEM, self.cause)


def adopt(
    dsn: str, *, roles: Roles = DEFAULT_ROLES, dry_run: bool = False, report: Report = lambda _line: None
) -> None:
    """Set the model's tables aside, bring the schema, take their rows; `dry_run`: only say what would become of them.

    No service starts on a schema that lacks a revision, so the last ones come after every order that is to be taken is barred.
    `report` is told what was done, a line at a time. Whatever is raised, the next run goes on. Raises MigrationError when there is
    nothing to adopt, or a revision failed (those before it are kept: the tables may be set aside already); RightsError and MaintainError
    behind a revision; AdoptError when the rows can't be read or another run is at work (nothing was changed), when it ended before all were
    taken, and when some are in the report (all others were taken).
    """
    try:
        with _session(dsn) as session:
            if not dry_run:
                _begin(session, partial(migrate, dsn, roles=roles, report=report))
            waiting = _look(session, report) if dry_run else _adopt(session, report)
    except psycopg.errors.LockNotAvailable:
        raise AdoptError("Another `migrate --adopt` is at work on this database: wait for it.") from None
    except psycopg.Error as error:
        what = (
            "Nothing was changed" if dry_run else "Not all rows were taken; run it again, it goes on where it stopped"
        )
        raise AdoptError(f"{what} ({' '.join(str(error).split())}).") from error
    if waiting:
        where = "would be in" if dry_run else "are in"
        raise AdoptError(
            f"{waiting} payments {where} the table model_adoption_report: docs/upgrading.md says what to do with each."
        )


def _begin(session: Session, bring: Callable[..., None]) -> None:
    """Set the tables aside and decide on their rows, bar their orders, then bring the rest of the schema."""
    if not _is_there(session, REPORT):
        _try_to_judge(session)
        bring(to=REPORT_REVISION, prepare=_set_aside)
    elif not _is_there(session, "model_payments"):
        raise MigrationError(_NOTHING_TO_ADOPT)
    reached("adopt.aside.after")
    _judge(session, "model_payments")
    with session.transaction():
        _report(session)
    reached("adopt.barred.after")
    bring(prepare=_set_aside)


def _try_to_judge(session: Session) -> None:
    """Judge the rows where the model has them, for nothing: rights that lack and what is no number fail while nothing is changed.

    Judged again once they are set aside, since until then the model could write. Raises AdoptError.
    """
    if _is_there(session, "alembic_version") or not _is_there(session, "payments"):
        return
    try:
        with session.transaction(force_rollback=True):
            _judge(session, "payments")
    except psycopg.Error as error:
        raise AdoptError(
            f"Nothing was changed; mend this, and run it again ({' '.join(str(error).split())})."
        ) from error


def _set_aside(connection: Connection, revision: str | None) -> None:
    """Rename the model's tables, unless that was done before."""
    if revision is None and _exists(connection, "payments"):
        missing = (
            connection.exec_driver_sql(_sql.missing_columns, {"names": list(COLUMNS), "table": "payments"})
            .scalars()
            .all()
        )
        if missing:
            raise MigrationError(_NOT_THE_MODEL_S.format("payments", ", ".join(missing)))
        plain = {"no_parameters": True}
        for statement in connection.exec_driver_sql(_sql.renames, execution_options=plain).scalars().all():
            connection.exec_driver_sql(statement, execution_options=plain)
    elif not _exists(connection, "model_payments"):
        raise MigrationError(_NOTHING_TO_ADOPT)


def _exists(connection: Connection, table: str) -> bool:
    return connection.exec_driver_sql("SELECT to_regclass(%s)", (table,)).scalar() is not None


@contextmanager
def _session(dsn: str) -> Iterator[Session]:
    with psycopg.connect(
        dsn,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        application_name="payment-service migrate --adopt",
        options="-c timezone=UTC",
        row_factory=namedtuple_row,
    ) as session:
        if not session.execute("SELECT pg_try_advisory_lock(%s) AS ours", [ADVISORY_LOCK]).fetchone().ours:  # type: ignore[union-attr]
            raise psycopg.errors.LockNotAvailable
        yield session


def _look(session: Session, report: Report) -> int:
    """Say what would become of the rows, where they are now; only a temporary table is made."""
    _judge(session, "model_payments" if _is_there(session, "model_payments") else "payments")
    report("nothing was changed; this is what would become of the payments:")
    return _summarise(session, report)


def _is_there(session: Session, table: str) -> bool:
    there: bool = session.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()[0]  # type: ignore[index]
    return there


def _adopt(session: Session, report: Report) -> int:
    last: int = session.execute(_sql.last_place).fetchone()[0]  # type: ignore[index]
    queued = 0
    for after in range(0, last, BATCH_ROWS):
        queued += _take(session, after, queued)
        report(f"taken {min(after + BATCH_ROWS, last)} of {last} payments")
    queued += _cancel_others(session)
    if queued:
        report(f"queued {queued} calls to the provider, {CALLS_PER_SECOND} a second once the service runs")
    keep_events(session, batch=BATCH_ROWS, report=report)
    with session.transaction():
        _execute(session, "not_inserted")
        _report(session)
        reached("adopt.report.commit.before")
    waiting = _summarise(session, report)
    _compare(session, report)
    return waiting


def _report(session: Session) -> None:
    session.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(REPORT)))
    _execute(session, "write_report")


def _judge(session: Session, table: str) -> None:
    """Decide on every row of the model's payments. Raises AdoptError where the table is not the model's."""
    missing = session.execute(_sql.missing_columns, {"names": list(COLUMNS), "table": table}).fetchall()
    if missing:
        raise AdoptError(_NOT_THE_MODEL_S.format(table, ", ".join(row.name for row in missing)))
    factors = {code: 10**unit.decimals for code, unit in CURRENCIES.items()}
    _execute(session, "judge", {"codes": list(factors), "factors": list(factors.values())}, payments=table)
    session.execute(_sql.index_verdicts)


def _take(session: Session, after: int, queued: int) -> int:
    """Take a batch in one transaction, with the reads that it needs; return how many."""
    with session.transaction():
        rows = _execute(session, "take", {"after": after, "until": after + BATCH_ROWS}).fetchall()
        calls = [read for row in rows if (read := _read_of(row)) is not None]
        _enqueue(session, calls, queued)
        reached("adopt.batch.commit.before")
    reached("adopt.batch.commit.after")
    return len(calls)


def _read_of(row: Any) -> _Call | None:
    """What the model's status leaves open is read at the provider: whether it was paid, or how much was given back."""
    match row.was:
        case "pending":
            return _Call(row.id, Kind.RETRIEVE, "intent:adopted", Stripe.retrieve_request(row.intent_id))
        case "refunded" | "partially_refunded":
            return _Call(row.id, Kind.RETRIEVE, "refunds:adopted", Stripe.refunds_request(row.intent_id))
        case _:
            return None


def _cancel_others(session: Session) -> int:
    """Cancel what may still be paid beside an order's own payment, as any stray intent; the provider says what came of it.

    Beside the reads and not behind them, which may take hours: until then the order could be paid twice.
    """
    with session.transaction():
        others = _execute(session, "others").fetchall()
        calls = [
            _Call(row.id, Kind.CANCEL, f"stray:{row.intent_id}", Stripe.cancel_request(row.intent_id)) for row in others
        ]
        for first in range(0, len(calls), BATCH_ROWS):
            _enqueue(session, calls[first : first + BATCH_ROWS], first)
    return len(calls)


def _enqueue(session: Session, calls: Sequence[_Call], queued: int) -> None:
    _execute(
        session,
        "enqueue",
        {
            "ids": [call.id for call in calls],
            "payments": [call.payment_id for call in calls],
            "kinds": [call.kind.value for call in calls],
            "causes": [call.cause for call in calls],
            "methods": [call.request.method for call in calls],
            "paths": [call.request.path for call in calls],
            "bodies": [call.request.body for call in calls],
            "versions": [call.request.api_version for call in calls],
            "delays": [(queued + n) * 1000 // CALLS_PER_SECOND for n in range(len(calls))],
        },
    )


def _summarise(session: Session, report: Report) -> int:
    """Tell counts and sums by currency, and what is not taken and why; return how many are not."""
    for row in _execute(session, "sums").fetchall():
        amount, captured, refunded = (_text(minor, row.currency) for minor in (row.amount, row.captured, row.refunded))
        report(f"{row.currency}: {row.payments} payments over {amount}, captured {captured}, fully refunded {refunded}")
    reasons = _execute(session, "reasons").fetchall()
    for row in reasons:
        report(f"not taken, {row.reason}: {row.payments}")
    return sum(row.payments for row in reasons)


def _text(minor: int, code: str) -> str:
    """A sum in major units, which may be larger than any one amount of money."""
    decimals = CURRENCIES[code].decimals
    digits = str(minor).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits


def _compare(session: Session, report: Report) -> None:
    row = _execute(session, "differences").fetchone()
    if row.rows or row.difference:
        raise AdoptError(
            f"{row.rows} amounts are not what they were: do not start the service, and report this as a defect."
        )
    report("amounts compared with the model's, one by one and in sum: no difference")


def _execute(session: Session, query: str, values: dict[str, Any] | None = None, **tables: str) -> Any:
    """Run a named query; names of tables are put into its text."""
    text = sql.SQL(getattr(_sql, query)).format(**{name: sql.Identifier(table) for name, table in tables.items()})
    return session.execute(text, values)
