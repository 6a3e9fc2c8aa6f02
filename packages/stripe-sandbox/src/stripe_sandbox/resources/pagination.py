"""Cursor pagination (https://docs.stripe.com/api/pagination) and `expand[]`."""

from __future__ import annotations

from stripe_sandbox.errors import Json, invalid
from stripe_sandbox.resources import balances
from stripe_sandbox.state.store import Page, PageQuery
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork
from stripe_sandbox.wire import not_covered
from stripe_sandbox.wire.parameters import Parser, array, integer, mapping, text

LIMIT_DEFAULT = 10
LIMIT_MAX = 100
END_OF_TIME = 2**62
EXPAND_DEPTH = 4  # https://docs.stripe.com/expand

EXPANDABLE = {
    ("payment_intent", "latest_charge"): "charge",
    ("payment_intent", "payment_method"): "payment_method",
    ("charge", "payment_intent"): "payment_intent",
    ("charge", "balance_transaction"): "balance_transaction",
    ("payment_intent", "customer"): "customer",
    ("charge", "customer"): "customer",
    ("payment_method", "customer"): "customer",
    ("dispute", "charge"): "charge",
    ("dispute", "payment_intent"): "payment_intent",
    ("refund", "charge"): "charge",
    ("refund", "payment_intent"): "payment_intent",
    ("refund", "payment_method"): "payment_method",
    ("refund", "balance_transaction"): "balance_transaction",
    ("refund", "failure_balance_transaction"): "balance_transaction",
}

# Fields that are not an id of a known type; None stands for several types.
_COMPUTED = {("charge", "refunds"): "list of refund", ("balance_transaction", "source"): None}

# The type of a balance transaction's source, by its id prefix.
_SOURCES = {"ch": "charge", "py": "charge", "re": "refund", "pyr": "refund", "du": "dispute", "dp": "dispute"}


def moment_or_range(raw: object, name: str) -> Json:
    """Parse `created=N` or `created[gt|gte|lt|lte]=N` into bounds such as {"gte": N, "lte": N}."""
    if isinstance(raw, str):
        exact = integer(raw, name)
        return {"gte": exact, "lte": exact}
    bounds: Json = mapping({"gt": integer, "gte": integer, "lt": integer, "lte": integer})(raw, name)
    return bounds


def list_fields(**more: Parser) -> dict[str, Parser]:
    return {
        "limit": integer,
        "starting_after": text(),
        "ending_before": text(),
        "created": moment_or_range,
        "expand": array(text()),
        **more,
    }


def page_query(noun: str, params: Json) -> PageQuery:
    limit = params.get("limit", LIMIT_DEFAULT)
    if not 1 <= limit <= LIMIT_MAX:
        message = f"Invalid limit: must be between 1 and {LIMIT_MAX}"
        raise invalid(message, "limit", "parameter_invalid_integer")
    if "starting_after" in params and "ending_before" in params:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    created = params.get("created", {})
    return PageQuery(
        noun=noun,
        limit=limit,
        starting_after=params.get("starting_after"),
        ending_before=params.get("ending_before"),
        created_from=max(created.get("gte", 0), created.get("gt", -1) + 1),
        created_to=min(created.get("lte", END_OF_TIME), created.get("lt", END_OF_TIME) - 1),
    )


def list_reply(url: str, page: Page) -> Reply:
    return Reply({"object": "list", "data": page.rows, "has_more": page.has_more, "url": url})


def expanded(work: UnitOfWork, body: Json, paths: list[str]) -> Json:
    """Return `body` with the objects named by `expand[]` in place of their ids."""
    for path in paths:
        body = _expand(work, body, path.split("."), path)
    return body


def check_expansion(method: str, route: str, paths: list[str]) -> None:
    """Raise `ApiError` 400 for a path that this route's response cannot have."""
    _, _, noun, *rest = route.split("/")
    listed = method == "GET" and not rest
    for path in paths:
        names = path.split(".")
        if len(names) > EXPAND_DEPTH:
            raise invalid(
                f"You cannot expand more than {EXPAND_DEPTH} levels of a property. Property: {path}", "expand"
            )
        if listed and (names[0] != "data" or len(names) == 1):
            hint = f" You may want to try expanding 'data.{path}' instead." if names[0] != "data" else ""
            raise invalid(f"This property cannot be expanded ({path}).{hint}", "expand")
        _check_path(noun.removesuffix("s"), names[1:] if listed else names, path)


def is_expandable(kind: str, name: str) -> bool:
    """Return whether `expand[]` may name this field of an object."""
    return (kind, name) in EXPANDABLE or (kind, name) in _COMPUTED


def _check_path(kind: str | None, names: list[str], path: str) -> None:
    for name in names:
        if kind is None:  # several types are possible: the object decides
            return
        if kind.startswith("list of ") and name == "data":
            kind = kind.removeprefix("list of ")
        elif (kind, name) in EXPANDABLE:
            kind = EXPANDABLE[kind, name]
        elif (kind, name) in _COMPUTED:
            kind = _COMPUTED[kind, name]
        else:
            not_covered.check_expansion(kind, name, path)
            raise invalid(f"This property cannot be expanded ({path}).", "expand")


def _expand(work: UnitOfWork, body: Json, names: list[str], path: str) -> Json:
    if body["object"] == "list" and names[0] == "data":
        return {**body, "data": [_expand(work, row, names[1:], path) for row in body["data"]]}
    if not names:
        return body
    found = _member(work, body, names[0], path)
    if found is None:
        return body
    return {**body, names[0]: _expand(work, found, names[1:], path) if names[1:] else found}


def _member(work: UnitOfWork, body: Json, name: str, path: str) -> Json | None:
    """Return the object behind `name`; None if the field is empty."""
    value = body.get(name)
    if isinstance(value, dict):
        return value
    if (body["object"], name) == ("charge", "refunds"):
        return _refunds_of(work, body["id"])
    if (body["object"], name) == ("balance_transaction", "source"):
        return _stored_object(work, _SOURCES.get(str(value).partition("_")[0]), value)
    table = EXPANDABLE.get((body["object"], name))
    if table is None:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return _stored_object(work, table, value)


def _stored_object(work: UnitOfWork, table: str | None, identifier: str | None) -> Json | None:
    row = work.tx.find(table, identifier) if table and identifier else None
    if row is not None and table == "balance_transaction":
        return balances.as_of(row, work.now)
    return row


def _refunds_of(work: UnitOfWork, charge_id: str) -> Json:
    """Return the first page of a charge's refunds, which responses contain only if expanded."""
    newest = work.tx.owned_by("refund", charge_id)[::-1]
    return {
        "object": "list",
        "data": newest[:LIMIT_DEFAULT],
        "has_more": len(newest) > LIMIT_DEFAULT,
        "url": f"/v1/charges/{charge_id}/refunds",
    }
