"""`parked`: list, retry and resolve items that need attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.commands.show import as_uuid
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import BalanceWait, Parked, ParkedList, Released
from payment_service.db import parked
from payment_service.domain.guard import clean
from payment_service.flows.operators.parked import PROVIDER_ID, OperatorClaim, ParkedItems, needs_provider_check
from payment_service.provider.plugins import attention_sources
from payment_service.provider.stripe.webhooks import PROVIDER as STRIPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from payment_service.db.pool import Pool
    from payment_service.flows.operators.parked import ParkedItem
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult
    from payment_service.flows.state.context import Context

KINDS: Final = ("operation", "event", "record")
NOTE_MAX: Final = 200


def show_list(what: str, limit: int, *, as_json: bool) -> None:
    """List parked items. Raises ConfigError."""
    if what and what not in (kinds := (*KINDS, *attention_sources())):
        raise ConfigError(f"--what takes one of: {', '.join(kinds)}.")
    found = session.run(lambda pool: _read(pool, what or None, limit))
    columns = ("since", "what", "id", "payment_id", "subject", "reason", "detail", "provider_request_id")
    output.print_list("Parked", found, columns, empty="Nothing needs attention.", as_json=as_json)
    if not as_json:
        fields = tuple(BalanceWait.model_fields)
        rows = ([getattr(one, name) for name in fields] for one in found.waiting_for_balance)
        output.print_table("\nRefunds that wait for our balance at the provider", fields, rows)
    if found.has_more and not as_json:
        output.print_note("More items exist: use --what or a higher --limit.")


def retry(name: str, key: str, *, yes: bool, as_json: bool) -> None:
    """Retry a parked item."""

    async def change(parking: ParkedItems, found: ParkedItem, change_request: ChangeRequest) -> ChangeResult:
        return await parking.retry(found, change_request)

    _release("parked.retry", name, {}, key, change, question="Retry {what} {name}?", yes=yes, as_json=as_json)


def resolve(
    name: str, happened: str | None, note: str, key: str, *, never: bool, close: bool, yes: bool, as_json: bool
) -> None:
    """Record the outcome of a parked item, as an operator knows it."""
    truth = _truth(happened, note, never=never, close=close)
    settings = CommandSettings.from_environment()

    async def change(parking: ParkedItems, found: ParkedItem, change_request: ChangeRequest) -> ChangeResult:
        if found.owner == STRIPE and needs_provider_check(found, truth):
            settings.require_stripe_key("your claim is checked at Stripe, so set it as the service has it")
        return await parking.resolve(found, truth, change_request)

    said = {"truth": truth.what, "provider_id": truth.provider_id, "note": note}
    meant = {
        "happened": f"as completed at the provider ({truth.provider_id})",
        "never": "as never done",
        "close": "as closed without action",
    }
    question = f"Record {{what}} {{name}} {meant[truth.what]}? This cannot be undone."
    _release("parked.resolve", name, said, key, change, question=question, yes=yes, as_json=as_json)


def _truth(happened: str | None, note: str, *, never: bool, close: bool) -> OperatorClaim:
    if (happened is not None) + never + close != 1:
        raise ConfigError("Use one of --happened ID, --never or, for an event or a provider's item, --close.")
    if not note.strip() or len(note) > NOTE_MAX or not note.isprintable() or clean(note) != note:
        raise ConfigError(
            f"--note takes one line of at most {NOTE_MAX} characters that says how you know, without card numbers or secrets."
        )
    if happened is not None and not PROVIDER_ID.fullmatch(happened):
        raise ConfigError("--happened takes the provider's id, such as re_….")
    return OperatorClaim(
        what="never" if never else "close" if close else "happened", provider_id=happened or "", note=note
    )


def _release(
    action: str,
    name: str,
    said: Mapping[str, object],
    key: str,
    change: Callable[[ParkedItems, ParkedItem, ChangeRequest], Awaitable[ChangeResult]],
    *,
    question: str,
    yes: bool,
    as_json: bool,
) -> None:
    key = session.read_key(key)

    async def work(context: Context) -> Released:
        parking = ParkedItems(context)
        found = await parking.find(name, as_uuid(name))
        session.confirm(question.replace("{what}", found.what).replace("{name}", output.plain(name)), yes=yes)
        asked = {"what": found.what, "id": found.name, "owner": found.owner, **said}
        change_request = session.change_request(action, asked, key=key, payment_id=found.payment_id)
        answer = await change(parking, found, change_request)
        output.print_key(change_request, answer)
        return Released.model_validate(answer.result)

    output.print_result(session.run_change(work), as_json=as_json)


async def _read(pool: Pool, what: str | None, limit: int) -> ParkedList:
    async with pool.acquire() as connection:
        rows = await parked.listed(connection, what, limit=limit + 1)
    data = [Parked(id=row.pop("name"), **row) for row in rows]
    waiting = [BalanceWait(**row) for row in await parked.waiting_for_balance(pool, limit=limit)]
    return ParkedList(data=data[:limit], has_more=len(data) > limit, waiting_for_balance=waiting)
