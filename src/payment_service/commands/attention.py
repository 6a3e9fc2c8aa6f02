"""`attention`: list, show, retry and resolve what needs an operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.commands.unread_records import read_unread
from payment_service.config.config import Config, ConfigError
from payment_service.contracts.operators import (
    Attention,
    AttentionDetail,
    AttentionList,
    AttentionResult,
    BalanceWait,
    QuarantinedContent,
)
from payment_service.db import attention, quarantine
from payment_service.db.attention import Chosen
from payment_service.domain.card_numbers import mask_bytes
from payment_service.domain.guard import clean
from payment_service.domain.ids import as_uuid
from payment_service.domain.order import Reason
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.operators.attention import PROVIDER_ID, AttentionItems, OperatorClaim, needs_provider_check
from payment_service.flows.operators.replay_quarantine import Replays, webhook_provider
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.stripe.webhooks import PROVIDER as STRIPE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from payment_service.db.pool import Connection, Pool
    from payment_service.db.quarantine import QuarantinedRecord
    from payment_service.flows.intake.orders import Terms
    from payment_service.flows.operators.attention import FoundItem
    from payment_service.flows.requests.idempotency import ChangeRequest, ChangeResult
    from payment_service.flows.state.context import Context

NOTE_MAX: Final = 200
# Limit for terminals; --json prints the whole value.
_SHOWN_CHARACTERS: Final = 4_000
# Items with one id: one per provider or owner. More are not shown as a choice.
_SAME_ID_MAX: Final = 20


def show_list(what: str, reason: str, since: str, limit: int, *, as_json: bool) -> None:
    """List what needs attention. Raises ConfigError."""
    if what and what not in (kinds := attention.kinds()):
        raise ConfigError(f"--what takes one of: {', '.join(kinds)}.")
    begin = session.read_time(since, datetime.now(UTC)) if since else None
    chosen = Chosen(what=what or None, since=begin, reason=reason or None)
    found = session.run(lambda pool: _read(pool, chosen, limit))
    columns = ("since", "what", "id", "payment_id", "subject", "reason", "detail", "provider_request_id")
    output.print_list("Needs attention", found, columns, empty="Nothing needs attention.", as_json=as_json)
    if not as_json:
        fields = tuple(BalanceWait.model_fields)
        rows = ([getattr(one, name) for name in fields] for one in found.waiting_for_balance)
        output.print_table("\nRefunds that wait for our balance at the provider", fields, rows)
    if found.has_more and not as_json:
        output.print_note("More items exist: use --what, --reason, --since or a higher --limit.")


def show(name: str, *, as_json: bool) -> None:
    """Show one item, with its content if it is in quarantine. Raises Refusal."""
    found = session.run(lambda pool: _find(pool, name))
    if as_json:
        output.print_json(found)
        return
    output.print_fields(found, *Attention.model_fields)
    if (content := found.content) is not None:
        shown = content.model_copy(update={"value": (content.value or "")[:_SHOWN_CHARACTERS]})
        output.print_fields(shown, *(field for field in QuarantinedContent.model_fields if field != "headers"))
        output.print_table("\nHeaders", ("name", "value"), content.headers)
        if len(content.value or "") > _SHOWN_CHARACTERS:
            output.print_note(f"The value is longer than {_SHOWN_CHARACTERS} characters: --json prints all of it.")
    if found.payment_id:
        output.print_note(f"Its payment: payment-service show {found.payment_id}")


def retry(name: str, key: str, *, any_age: bool, yes: bool, as_json: bool) -> None:
    """Retry an item. `any_age` accepts an order in quarantine that is too old."""
    key = session.read_key(key)
    settings = CommandSettings.from_environment()

    async def work(context: Context) -> AttentionResult:
        items = AttentionItems(context)
        found = await items.find(name)
        if found.what == "quarantine":
            change_request = _change_request("attention.retry", found, {"any_age": any_age}, key)
            answer = await _replay(context, settings, found, change_request, any_age=any_age, yes=yes)
        elif any_age:
            raise ConfigError("--any-age is only for an order in quarantine.")
        else:
            session.confirm(f"Retry {found.what} {output.plain(found.name)}?", yes=yes)
            change_request = _change_request("attention.retry", found, {}, key)
            answer = await items.retry(found, change_request)
        output.print_key(change_request, answer)
        return AttentionResult.model_validate(answer.result)

    output.print_result(session.run_change(work), as_json=as_json)


def resolve(
    name: str, happened: str | None, note: str, key: str, *, never: bool, close: bool, yes: bool, as_json: bool
) -> None:
    """Record the outcome of an item, as an operator knows it."""
    key = session.read_key(key)
    truth = _truth(happened, note, never=never, close=close)
    settings = CommandSettings.from_environment()
    meant = {
        "happened": f"as completed at the provider ({truth.provider_id})",
        "never": "as never done",
        "close": "as closed without action",
    }

    async def work(context: Context) -> AttentionResult:
        items = AttentionItems(context)
        found = await items.find(name)
        question = f"Record {found.what} {output.plain(found.name)} {meant[truth.what]}? This cannot be undone."
        session.confirm(question, yes=yes)
        said = {"truth": truth.what, "provider_id": truth.provider_id, "note": note}
        change_request = _change_request("attention.resolve", found, said, key)
        if found.owner == STRIPE and needs_provider_check(found, truth):
            settings.require_stripe_key("your claim is checked at Stripe, so set it as the service has it")
        answer = await items.resolve(found, truth, change_request)
        output.print_key(change_request, answer)
        return AttentionResult.model_validate(answer.result)

    output.print_result(session.run_change(work), as_json=as_json)


def _truth(happened: str | None, note: str, *, never: bool, close: bool) -> OperatorClaim:
    if (happened is not None) + never + close != 1:
        raise ConfigError("Use one of --happened ID or --never for an operation, --close for everything else.")
    if not note.strip() or len(note) > NOTE_MAX or not note.isprintable() or clean(note) != note:
        raise ConfigError(
            f"--note takes one line of at most {NOTE_MAX} characters that says how you know, without card numbers or secrets."
        )
    if happened is not None and not PROVIDER_ID.fullmatch(happened):
        raise ConfigError("--happened takes the provider's id, such as re_….")
    return OperatorClaim(
        what="never" if never else "close" if close else "happened", provider_id=happened or "", note=note
    )


def _change_request(action: str, found: FoundItem, said: Mapping[str, object], key: str) -> ChangeRequest:
    asked = {"what": found.what, "id": found.name, "owner": found.owner, **said}
    return session.change_request(action, asked, key=key, payment_id=found.payment_id)


async def _read(pool: Pool, chosen: Chosen, limit: int) -> AttentionList:
    async with pool.acquire() as connection:
        rows = await attention.listed(connection, chosen, limit=limit + 1)
        waiting = await attention.waiting_for_balance(connection, limit=limit) if chosen == Chosen() else []
    data: dict[str, list[Attention]] = {}
    for row in rows:
        data.setdefault(row["what"], []).append(Attention(**row))
    return AttentionList(
        data=[item for items in data.values() for item in items[:limit]],
        has_more=any(len(items) > limit for items in data.values()),
        waiting_for_balance=[BalanceWait(**row) for row in waiting],
    )


async def _find(pool: Pool, name: str) -> AttentionDetail:
    """Find an open item, or a row of the quarantine that was open. Raise Refusal."""
    owner, colon, own_name = name.partition(":")
    async with pool.acquire() as connection:
        found = await _find_all(connection, name)
        if colon and not found:
            found = [item for item in await _find_all(connection, own_name) if item.owner == owner]
    if not found:
        message = "Nothing that needs attention has this id: `attention list` shows the items."
        raise Refusal(RefusalReason.NOT_FOUND, message)
    if len(found) > 1:
        choice = ", ".join(f"{item.owner}:{item.id}" for item in found)
        raise Refusal(RefusalReason.INVALID, f"Several items have this id: use one of {choice}.")
    return found[0]


async def _find_all(connection: Connection, name: str) -> list[AttentionDetail]:
    if "\0" in name:
        return []
    rows = await attention.listed(connection, Chosen(id=name), limit=_SAME_ID_MAX)
    found = [AttentionDetail(**row, content=None) for row in rows if row["what"] != "quarantine"]
    as_id = as_uuid(name)
    if as_id is not None and (kept := await quarantine.find(connection, as_id)) is not None:
        found.append(_quarantined(kept))
    return found


def _quarantined(kept: QuarantinedRecord) -> AttentionDetail:
    content = QuarantinedContent(
        source=kept.source,
        topic=kept.topic,
        partition=kept.partition,
        offset=kept.offset,
        recorded_at=kept.recorded_at,
        replayed_at=kept.replayed_at,
        closed_at=kept.closed_at,
        key=_text(kept.key),
        value=_text(kept.value),
        value_bytes=len(kept.value or b""),
        headers=[(name, _text(value)) for name, value in kept.headers],
    )
    return AttentionDetail(
        what="quarantine",
        id=str(kept.id),
        owner="quarantine",
        payment_id=None,
        subject=kept.topic or kept.source,
        reason=kept.reason,
        detail=kept.detail,
        provider_request_id="",
        since=kept.created_at,
        content=content,
    )


async def _replay(
    context: Context,
    settings: CommandSettings,
    found: FoundItem,
    change_request: ChangeRequest,
    *,
    any_age: bool,
    yes: bool,
) -> ChangeResult:
    """Decide a quarantined record or webhook again. Ask before an order is accepted, with its terms."""
    name: UUID | None = as_uuid(found.name)
    kept = await quarantine.find(context.pool, name) if name else None
    if name is None or kept is None:
        raise Refusal(RefusalReason.NOT_FOUND, "It is not in quarantine any more.")
    if kept.source == "webhook" and webhook_provider(kept) == STRIPE:
        settings.require_stripe_key("it determines the mode, test or live, of the events")
    record = await read_unread(settings, kept) if kept.reason == Reason.UNREADABLE else None
    replays = _replays(context, settings, any_age=any_age)
    if (terms := await replays.terms(kept, record)) is not None:
        _require_all_settings()
        session.confirm(_question(terms), yes=yes)
    return await replays.replay(name, change_request, record)


def _replays(context: Context, settings: CommandSettings, *, any_age: bool) -> Replays:
    """Build the replay from the service's own flows and settings."""
    intake = OrderIntake(
        context,
        order_max_age=timedelta.max if any_age else settings.order_max_age,
        manual_capture=settings.capture_method == "manual",
        expires_after=settings.payment_expires_after,
    )
    return Replays(
        context,
        intake=intake,
        cancelled=OrderCancellationIntake(context),
        webhooks=Webhooks(context),
        amount_minor_max=settings.max_amount_minor,
        card_like_ids=settings.allow_card_like_ids,
    )


def _require_all_settings() -> None:
    """Raise ConfigError unless the service could start in this environment.

    The retry creates the payment with these settings for good. Missing settings would be replaced by defaults.
    """
    try:
        Config.from_environment()
    except ConfigError as error:
        message = f"An order from quarantine uses the service's settings: run this command where they are set. {error}"
        raise ConfigError(message) from None


def _question(terms: Terms) -> str:
    captured = "captured on request" if terms.manual_capture else "captured when paid"
    until = f"canceled if unpaid at {terms.expires_at:%Y-%m-%dT%H:%M:%SZ}" if terms.expires_at else "without expiry"
    order = f"{output.plain(terms.order.order_id)} of {terms.order.amount}"
    return f"Accept order {order}, paid by {terms.provider}, {captured}, {until}?"


def _text(content: bytes | None) -> str | None:
    """Return bytes as text. Stored bytes are masked where text and ids cannot be told apart; this masks ids too."""
    return None if content is None else mask_bytes(content).decode(errors="backslashreplace")
