"""Which requests a fault is aimed at, and what a request is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from random import Random
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from stripe_sandbox.errors import Json
from stripe_sandbox.state.store import Store

VERBS = {"POST": "create", "GET": "list", "DELETE": "delete"}
ITEM_VERBS = {"POST": "update", "GET": "retrieve", "DELETE": "delete"}
SINGLETONS = frozenset({"balance", "account"})  # they have no id, so a GET retrieves
REFERENCE_FIELDS = ("payment_intent", "charge")  # parameters and fields that name the object behind this one
OBJECT_TABLES = ("payment_intent", "charge", "refund", "dispute", "customer", "payment_method")


@dataclass(frozen=True, slots=True)
class Target:
    """A request as rules look at it; `objects` are what it is about, the nearest first."""

    method: str
    path: str
    operation: str
    key: str | None
    params: Json
    objects: tuple[Json, ...]
    api_key: str

    @property
    def metadata(self) -> Json:
        """The request's own, over that of its object, over that of the intent behind it."""
        merged: Json = {}
        for source in (*reversed(self.objects), self.params):
            metadata = source.get("metadata")
            merged |= metadata if isinstance(metadata, dict) else {}
        return merged

    @property
    def amount(self) -> int | None:
        """What is to be paid, captured or refunded, in the currency's minor unit; else its object's amount."""
        for name in ("amount", "amount_to_capture"):
            given = self.params.get(name)
            if isinstance(given, str) and given.isdecimal():
                return int(given)
        amount: int | None = self._value("amount")
        return amount

    @property
    def currency(self) -> str | None:
        currency = self._value("currency")
        return currency.lower() if isinstance(currency, str) else None

    @property
    def customer(self) -> str | None:
        customer: str | None = self._value("customer")
        return customer

    @property
    def changed(self) -> str | None:
        """The id of the object that this request changes, the intent where there is one."""
        if self.method == "GET" or not self.objects:
            return None
        changed: str = self.objects[-1]["id"]
        return changed

    @property
    def authorizes(self) -> bool:
        """Whether the cards' network is asked, which takes Stripe longest."""
        creates = self.operation == "payment_intents.create" and self.params.get("confirm") == "true"
        return creates or self.operation == "payment_intents.confirm"

    def _value(self, name: str) -> Any:
        sources = (self.params, *self.objects)
        return next((source[name] for source in sources if source.get(name) is not None), None)


class Match(BaseModel):
    """What a request must have; what is left out matches everything. Amounts are in the minor unit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str | None = None
    path_prefix: str = "/"
    path: str | None = Field(default=None, description="The path, or a pattern with * and ?.")
    operation: str | None = Field(default=None, description="As payment_intents.create, or a pattern.")
    key: str | None = None
    key_prefix: str | None = None
    metadata: dict[str, str] = {}
    amount: int | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    currency: str | None = None
    customer: str | None = None
    api_key: str | None = None

    def matches(self, target: Target) -> bool:
        return self._matches_request(target) and self._matches_content(target)

    def _matches_request(self, target: Target) -> bool:
        return (
            (self.method is None or self.method.upper() == target.method)
            and target.path.startswith(self.path_prefix)
            and (self.path is None or fnmatchcase(target.path, self.path))
            and (self.operation is None or fnmatchcase(target.operation, self.operation))
            and (self.key is None or self.key == target.key)
            and (self.key_prefix is None or (target.key or "").startswith(self.key_prefix))
            and (self.api_key is None or self.api_key == target.api_key)
        )

    def _matches_content(self, target: Target) -> bool:
        return (
            (not self.metadata or self.metadata.items() <= target.metadata.items())
            and self._matches_amount(target)
            and (self.currency is None or self.currency.lower() == target.currency)
            and (self.customer is None or self.customer == target.customer)
        )

    def _matches_amount(self, target: Target) -> bool:
        if self.amount is None and self.amount_min is None and self.amount_max is None:
            return True
        amount = target.amount
        return (
            amount is not None
            and (self.amount is None or amount == self.amount)
            and (self.amount_min is None or amount >= self.amount_min)
            and (self.amount_max is None or amount <= self.amount_max)
        )


def random_stream(seed: int, name: str) -> Random:
    """The chance of one part of a plan, its own, so that another part more or less changes nothing for this one."""
    return Random(f"{seed}:{name}")  # noqa: S311 (it plays dice, it keeps no secret)


@cache
def operation_name(method: str, pattern: str) -> str:
    """What SDKs call the operation of a route: `payment_intents.confirm`, `refunds.list`."""
    parts = pattern.removeprefix("/v1/").split("/")
    nouns = [part for part in parts if not part.startswith("{")]
    if parts[-1].startswith("{"):
        return ".".join([*nouns, ITEM_VERBS[method]])
    if len(parts) > 1 and parts[-2].startswith("{") and method == "POST":
        return ".".join(nouns)
    return ".".join([*nouns, "retrieve" if nouns[-1] in SINGLETONS else VERBS[method]])


def objects_of(store: Store, path_id: str | None, params: Json) -> tuple[Json, ...]:
    """The object in the path, or named by a parameter, and what is behind it: of a refund, its intent."""
    return tuple(_chain(store, [path_id, *(params.get(name) for name in REFERENCE_FIELDS)]))


def _chain(store: Store, identifiers: list[Any]) -> Iterator[Json]:
    found = next((row for name in identifiers if (row := _row(store, name)) is not None), None)
    while found is not None:
        yield found
        behind = [found.get(name) for name in REFERENCE_FIELDS]
        found = next((row for name in behind if (row := _row(store, name)) is not None), None)


def _row(store: Store, identifier: Any) -> Json | None:
    if not isinstance(identifier, str):
        return None
    rows = (store[table].rows.get(identifier) for table in OBJECT_TABLES)
    return next((row for row in rows if row is not None), None)
