"""Templates: a payment of each shape, made through the service and the sandbox.

Webhooks are delivered up to a point. Later changes at the provider are unknown to our rows.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import stripe

from tests.support.flows import name_of
from tests.support.harness import Harness

TABLES: Final = ("payment_intent", "charge", "refund", "dispute")
CLEAN: Final = ("open", "declined", "canceled", "paid", "held", "captured", "refunded", "disputed")
_UNPAID: Final = ("open", "declined", "canceled", "late", "canceled-externally", "second")
_HELD: Final = ("held", "captured", "captured-externally", "part-captured")
_PAID: Final = (
    "paid",
    "refunded",
    "disputed",
    "twice",
    "orphan",
    "renamed",
    "unnamed",
    "refunded-externally",
    "refund-failed",
    "disputed-late",
    "dispute-lost",
)
FOREIGN: Final = ("foreign", "nameless")
_CARD: Final = {"payment_method": "pm_card_visa"}
_RETURN: Final = {"return_url": "https://shop.example/"}


@dataclass(frozen=True, slots=True)
class Template:
    """A payment with its objects, the oldest first: (table, row). A foreign one has no rows here."""

    name: str
    payment_id: UUID
    refund_id: UUID | None
    objects: list[tuple[str, dict[str, Any]]]

    def object_id(self, table: str, number: int = 0) -> str:
        """Return the id of an object at the provider."""
        return str([row["id"] for kind, row in self.objects if kind == table][number])


class _Makers:
    """Calls of the provider about the templates."""

    def __init__(self, harness: Harness, intents: Mapping[str, str]) -> None:
        self._sandbox = harness.sandbox
        self._v1: Any = harness.sandbox.client().v1
        self._intents = intents

    def before(self) -> None:
        """Act as customers do. Webhooks of these are delivered."""
        for name in (*_PAID, *_HELD):
            self._v1.payment_intents.confirm(self._intents[name], _CARD)
        with contextlib.suppress(stripe.CardError):
            self._v1.payment_intents.confirm(self._intents["declined"], {"payment_method": "pm_card_chargeDeclined"})

    def between(self) -> dict[str, str]:
        """Act on payments that our rows have as paid. Webhooks are delivered. Return the disputes by template."""
        self._v1.payment_intents.capture(self._intents["part-captured"], {"amount_to_capture": 1000})
        return {name: self._dispute(name) for name in ("disputed", "dispute-lost")}

    def after(self, failed_refund: str, lost_dispute: str) -> None:
        """Act without webhooks."""
        intents, own = self._v1.payment_intents, self._intents
        intents.confirm(own["late"], _CARD)
        intents.capture(own["captured-externally"])
        intents.cancel(own["canceled-externally"])
        intents.update(own["renamed"], {"metadata": {"order_id": "another"}})
        intents.update(own["unnamed"], {"metadata": {"deployment": ""}})
        self._create("second", {})
        self._create("twice", {"confirm": True, **_CARD, **_RETURN})
        orphan = self._create("orphan", {"confirm": True, **_CARD, **_RETURN})
        intents.update(orphan, {"metadata": {"deployment": "", "payment_id": "", "order_id": ""}})
        self._v1.refunds.create({"payment_intent": own["refunded-externally"], "amount": 500})
        self._sandbox.settle_refund(failed_refund, "fail")
        self._dispute("disputed-late")
        self._sandbox.control("POST", f"/sandbox/disputes/{lost_dispute}/close", {"outcome": "lost"})
        for name in FOREIGN:
            foreign = self._create(name, {"confirm": True, **_CARD, **_RETURN})
            self._v1.refunds.create({"payment_intent": foreign, "amount": 100})

    def _create(self, name: str, fields: Mapping[str, object]) -> str:
        deployment = {"foreign": "another", "nameless": ""}.get(name, "default")
        metadata = {"deployment": deployment, "order_id": f"t-{name}", "payment_id": str(name_of(f"t-{name}"))}
        made = self._v1.payment_intents.create(
            {"amount": 1990, "currency": "eur", "payment_method_types": ["card"], "metadata": metadata, **fields}
        )
        return str(made.id)

    def _dispute(self, name: str) -> str:
        charge = self._v1.payment_intents.retrieve(self._intents[name]).latest_charge
        return str(self._sandbox.control("POST", f"/sandbox/charges/{charge}/dispute", {})["id"])


async def make_templates(harness: Harness) -> dict[str, Template]:
    """Make all templates, and stop the sandbox. Its state file is then complete."""
    await harness.flows.accept(*(f"t-{name}" for name in (*_UNPAID, *_PAID)))
    await harness.flows.accept(*(f"t-{name}" for name in _HELD), capture_method="manual")
    await harness.flows.run_calls()
    rows = await harness.flows.pool.fetch("SELECT order_id, provider_payment_id FROM payments")
    makers = _Makers(harness, {row[0].removeprefix("t-"): row[1] for row in rows})
    makers.before()
    await harness.run_until_idle()
    await harness.post(f"/v1/payments/{name_of('t-canceled')}/cancel", {})
    await harness.post(f"/v1/payments/{name_of('t-captured')}/capture", {})
    for name in ("refunded", "refund-failed"):
        await harness.refund(name_of(f"t-{name}"), "5.00")
    disputes = makers.between()
    await harness.run_until_idle()
    refunds = {row["payment_id"]: row for row in await harness.flows.pool.fetch("SELECT * FROM refunds")}
    makers.after(refunds[name_of("t-refund-failed")]["provider_refund_id"], disputes["dispute-lost"])
    harness.sandbox.stop()
    objects = _read_objects(harness)
    return {
        name: Template(
            name=name,
            payment_id=name_of(f"t-{name}"),
            refund_id=refunds[name_of(f"t-{name}")]["id"] if name_of(f"t-{name}") in refunds else None,
            objects=objects[name],
        )
        for name in (*_UNPAID, *_PAID, *_HELD, *FOREIGN)
    }


def _read_objects(harness: Harness) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Group the objects in the state file by template."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    assert harness.sandbox.state is not None, "the sandbox keeps its state in a file"
    for line in harness.sandbox.state.read_text().splitlines():
        rows.update({(table, key): row for table, key, row in json.loads(line) if table in TABLES})
    names = dict(_names(rows.values()))
    grouped: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for (table, _), row in rows.items():
        intent = row["id"] if table == "payment_intent" else row["payment_intent"]
        grouped.setdefault(names[intent], []).append((table, row))
    return grouped


def _names(rows: Any) -> Iterator[tuple[str, str]]:
    """Yield each intent with its template. A charge has the metadata that its intent had before."""
    for row in rows:
        order_id = row["metadata"].get("order_id", "")
        if row["object"] in {"payment_intent", "charge"} and order_id.startswith("t-"):
            intent = row["id"] if row["object"] == "payment_intent" else row["payment_intent"]
            yield intent, order_id.removeprefix("t-")
