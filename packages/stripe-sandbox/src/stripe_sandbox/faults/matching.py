"""Match requests against fault rules."""

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
SINGLETONS = frozenset({"balance", "account"})  # without an id in the path, so a GET is `retrieve`
REFERENCE_FIELDS = ("payment_intent", "charge")  # parameters and fields that name the parent object
OBJECT_TABLES = ("payment_intent", "charge", "refund", "dispute", "customer", "payment_method")


@dataclass(frozen=True, slots=True)
class Target:
    """A request as rules see it; `objects` are the objects it concerns, nearest first."""

    method: str
    path: str
    operation: str
    key: str | None
    params: Json
    objects: tuple[Json, ...]
    api_key: str

    @property
    def metadata(self) -> Json:
        """The metadata of the request, over that of its object, over that of the PaymentIntent."""
        merged: Json = {}
        for source in (*reversed(self.objects), self.params):
            metadata = source.get("metadata")
            merged |= metadata if isinstance(metadata, dict) else {}
        return merged

    @property
    def amount(self) -> int | None:
        """The amount to pay, capture or refund in minor units; without one, the amount of its object."""
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
        """The id of the object that this request changes: the PaymentIntent, if there is one."""
        if self.method == "GET" or not self.objects:
            return None
        changed: str = self.objects[-1]["id"]
        return changed

    @property
    def authorizes(self) -> bool:
        """True if the request reaches the card network, Stripe's slowest step."""
        creates = self.operation == "payment_intents.create" and self.params.get("confirm") == "true"
        return creates or self.operation == "payment_intents.confirm"

    def _value(self, name: str) -> Any:
        sources = (self.params, *self.objects)
        return next((source[name] for source in sources if source.get(name) is not None), None)


class Match(BaseModel):
    """Conditions on a request; an omitted condition matches everything. Amounts are in minor units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str | None = None
    path_prefix: str = "/"
    path: str | None = Field(default=None, description="The path, or a pattern with * and ?.")
    operation: str | None = Field(default=None, description="Such as payment_intents.create, or a pattern.")
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
    """Return the random stream of one part of a plan, so that changing another part does not affect it."""
    return Random(f"{seed}:{name}")  # noqa: S311 (a reproducible sequence, not a secret)


@cache
def operation_name(method: str, pattern: str) -> str:
    """Return the SDK name of a route's operation, such as `payment_intents.confirm` or `refunds.list`."""
    parts = pattern.removeprefix("/v1/").split("/")
    nouns = [part for part in parts if not part.startswith("{")]
    if parts[-1].startswith("{"):
        return ".".join([*nouns, ITEM_VERBS[method]])
    if len(parts) > 1 and parts[-2].startswith("{") and method == "POST":
        return ".".join(nouns)
    return ".".join([*nouns, "retrieve" if nouns[-1] in SINGLETONS else VERBS[method]])


def objects_of(store: Store, path_id: str | None, params: Json) -> tuple[Json, ...]:
    """Return the object in the path or in a parameter, then its parents: a refund, then its PaymentIntent."""
    return tuple(_chain(store, [path_id, *(params.get(name) for name in REFERENCE_FIELDS)]))


def _chain(store: Store, identifiers: list[Any]) -> Iterator[Json]:
    found = next((row for name in identifiers if (row := _row(store, name)) is not None), None)
    while found is not None:
        yield found
        parents = [found.get(name) for name in REFERENCE_FIELDS]
        found = next((row for name in parents if (row := _row(store, name)) is not None), None)


def _row(store: Store, identifier: Any) -> Json | None:
    if not isinstance(identifier, str):
        return None
    rows = (store[table].rows.get(identifier) for table in OBJECT_TABLES)
    return next((row for row in rows if row is not None), None)
