"""Copy templates in bulk: rows with one statement per table, objects as text into the state file of the sandbox.

At 100,000 payments this takes about a minute. Over HTTP it would take hours.
"""

from __future__ import annotations

import copy as copies
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from payment_service.db.pool import Pool
from payment_service.domain.ids import dispute_id
from tests.support.harness import Harness
from tests.support.planted.kinds import OTHER, Kind
from tests.support.planted.plan import Copy, Plan, make_plan
from tests.support.planted.templates import FOREIGN, TABLES, Template, make_templates

# Records of a line share the strings of their field names in memory.
LINE_COPIES: Final = 200
_NO_UUID: Final = UUID(int=0)

_CREATE: Final = "CREATE TABLE copies (payment uuid, template uuid, order_id text, suffix text, created timestamptz, planted boolean)"
_COPY_ROWS: Final = (
    "INSERT INTO {0} ({1}) SELECT {2} FROM copies c JOIN {0} t ON t.{3} = c.template"
    " CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object({4})) AS r"
)
_NEW_TIMES: Final = "'created_at', c.created, 'updated_at', c.created"
_OWN: Final = "'payment_id', c.payment, 'created_at', c.created"
_NEW_ID: Final = "'id', md5(t.id || c.suffix)::uuid"
# The cause of an event begins with the id of its refund or dispute.
_NEW_CAUSE: Final = (
    "'cause', coalesce((SELECT replace(t.cause, x.id::text, md5(x.id || c.suffix)::uuid::text)"
    " FROM (SELECT id, payment_id FROM refunds UNION ALL SELECT id, payment_id FROM disputes) AS x"
    " WHERE x.payment_id = t.payment_id AND starts_with(t.cause, x.id::text) LIMIT 1), t.cause)"
)
# Copies have no records in the outbox, which keeps seven days.
_PUBLISHED: Final = "'created_at', c.created - interval '8 days'"
# Table, its column with the payment, and the fields of a copy.
_CHANGED: Final = (
    (
        "payments",
        "id",
        f"{_NEW_TIMES}, 'id', c.payment, 'order_id', c.order_id, 'provider_payment_id', t.provider_payment_id || c.suffix",
    ),
    ("operations", "payment_id", f"{_OWN}, {_NEW_ID}"),
    ("payment_history", "payment_id", f"'payment_id', c.payment, {_PUBLISHED}, {_NEW_CAUSE}"),
    (
        "refunds",
        "payment_id",
        f"{_OWN}, {_NEW_ID}, 'provider_refund_id', t.provider_refund_id || c.suffix",
    ),
    (
        "disputes",
        "payment_id",
        f"{_OWN}, {_NEW_ID}, 'provider_dispute_id', t.provider_dispute_id || c.suffix",
    ),
)
_NAME_DISPUTES: Final = (
    "WITH named AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS v (old, id, payment_id)), moved AS ("
    "UPDATE payment_history h SET cause = replace(h.cause, v.old::text, v.id::text)"
    " FROM named v WHERE h.payment_id = v.payment_id AND starts_with(h.cause, v.old::text))"
    " UPDATE disputes d SET id = v.id FROM named v WHERE d.id = v.old"
)
_COLUMNS: Final = "SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND is_identity = 'NO' AND is_generated = 'NEVER' ORDER BY ordinal_position"
_CLEAN_ROWS: Final = "SELECT md5(string_agg(md5(t::text), '' ORDER BY t.id)) FROM {0} t JOIN copies c ON c.payment = t.{1} WHERE NOT c.planted"


async def copy_rows(pool: Pool, plan: Plan, templates: Mapping[str, Template]) -> None:
    """Copy the rows of the templates, then edit those with a difference."""
    touched = {name for one in plan.planted for name in (one.payment_id, one.other)}
    records = [
        (
            one.payment_id,
            templates[one.template].payment_id,
            one.order_id,
            one.suffix,
            datetime.fromtimestamp(one.row_at, UTC),
            one.kind is not None or one.payment_id in touched,
        )
        for one in plan.copies
        if one.template not in FOREIGN
    ]
    async with pool.acquire() as connection:
        await connection.execute(_CREATE)
        await connection.copy_records_to_table("copies", records=records)
        for table, column, changes in _CHANGED:
            names = [row[0] for row in await connection.fetch(_COLUMNS, table)]
            values = ", ".join(f"r.{name}" for name in names)
            statement = _COPY_ROWS.format(table, ", ".join(names), values, column, changes)
            await connection.execute(statement, timeout=600)
        rows = await connection.fetch("SELECT id, payment_id, provider_dispute_id FROM disputes")
        ids = [dispute_id(row[1], row[2]) for row in rows]
        await connection.execute(_NAME_DISPUTES, [row[0] for row in rows], ids, [row[1] for row in rows], timeout=600)
        await connection.execute("SET LOCAL lock_timeout = 0; ANALYZE", timeout=600)  # an autovacuum may hold a table
        for kind, ones in _by_kind(plan.copies).items():
            for sql in kind.sql:
                await connection.execute(sql, [one.payment_id for one in ones], [one.other for one in ones])


async def clean_rows(pool: Pool) -> list[str]:
    """Return a digest per table of the rows of payments without a difference."""
    return [await pool.fetchval(_CLEAN_ROWS.format(table, column), timeout=600) for table, column, _ in _CHANGED]


def copy_objects(state: Path, plan: Plan, templates: Mapping[str, Template]) -> None:
    """Write the objects of all copies in front of those that the state file has, which are younger."""
    formats: dict[tuple[str, Kind | None], str] = {}
    later = state.read_bytes()
    with state.open("wb") as file:
        for begin in range(0, len(plan.copies), LINE_COPIES):
            texts = []
            for one in plan.copies[begin : begin + LINE_COPIES]:
                template = templates[one.template]
                key = one.template, one.kind
                if key not in formats:
                    formats[key] = _format_of(template, one.kind)
                if formats[key]:
                    texts.append(formats[key] % _values(one, template))
            file.write(f"[{','.join(texts)}]\n".encode())
        file.write(later)


def _by_kind(ones: Sequence[Copy]) -> dict[Kind, list[Copy]]:
    found: dict[Kind, list[Copy]] = {}
    for one in ones:
        if one.kind is not None:
            found.setdefault(one.kind, []).append(one)
    return found


def _format_of(template: Template, kind: Kind | None) -> str:
    """Return the records of a template as a format of its ids and times."""
    objects = copies.deepcopy(template.objects)
    if kind is not None:
        kind.objects(objects)
    text = ",".join(json.dumps([table, row["id"], row]) for table, row in sorted(objects, key=_rank)).replace("%", "%%")
    for _, row in template.objects:
        text = text.replace(row["id"], row["id"] + "%(suffix)s")
    text = text.replace(str(template.payment_id), "%(payment)s").replace(OTHER, "%(other)s")
    text = text.replace(f'"t-{template.name}"', '"%(order)s"').replace(str(template.refund_id), "%(refund)s")
    return re.sub(r'"created": \d+', '"created": %(created)d', text)


def _rank(one: tuple[str, dict[str, Any]]) -> int:
    return TABLES.index(one[0])


def _values(one: Copy, template: Template) -> dict[str, object]:
    return {
        "suffix": one.suffix,
        "payment": one.payment_id,
        "order": one.order_id,
        "other": one.other,
        "created": one.object_at,
        "refund": _copied_id(template.refund_id or _NO_UUID, one.suffix),
    }


def _copied_id(original: UUID, suffix: str) -> UUID:
    """Return the id as `md5(…)::uuid` makes it."""
    return UUID(hashlib.md5(f"{original}{suffix}".encode(), usedforsecurity=False).hexdigest())


async def fill(harness: Harness, payments: int, differences: int) -> tuple[Plan, Mapping[str, Template]]:
    """Fill the database and the sandbox with copies, and start the sandbox again."""
    plan = make_plan(payments, differences, now=datetime.now(UTC))
    templates = await make_templates(harness)
    assert harness.sandbox.state is not None, "the sandbox keeps its state in a file"
    copy_objects(harness.sandbox.state, plan, templates)
    await copy_rows(harness.flows.pool, plan, templates)
    harness.sandbox.start()
    return plan, templates
