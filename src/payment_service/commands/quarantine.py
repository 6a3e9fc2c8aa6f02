"""`quarantine`: list, show and replay records and webhooks that could not be accepted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import Config, ConfigError
from payment_service.contracts.operators import Quarantined, QuarantinedContent, QuarantinedList, Replayed
from payment_service.db import quarantine
from payment_service.domain.card_numbers import mask_bytes
from payment_service.flows.intake.order_cancellations import OrderCancellationIntake
from payment_service.flows.intake.orders import OrderIntake
from payment_service.flows.operators.replay_quarantine import Replays, webhook_provider
from payment_service.flows.state.errors import Refusal, RefusalReason
from payment_service.flows.webhooks.apply import Webhooks
from payment_service.provider.stripe.webhooks import PROVIDER as STRIPE

if TYPE_CHECKING:
    from uuid import UUID

    from payment_service.db.pool import Pool
    from payment_service.db.quarantine import QuarantinedRecord
    from payment_service.flows.intake.orders import Terms
    from payment_service.flows.state.context import Context

SOURCES: Final = ("kafka", "webhook")
# Limit for terminals; --json prints the whole value.
_SHOWN_CHARACTERS: Final = 4_000


def show_list(reason: str, source: str, since: str, limit: int, *, replayed: bool, as_json: bool) -> None:
    """List quarantined records and webhooks. Raises ConfigError."""
    if source and source not in SOURCES:
        raise ConfigError(f"--source takes one of: {', '.join(SOURCES)}.")
    now = datetime.now(UTC)
    begin = session.read_time(since, now) if since else now - timedelta(days=36_500)

    async def read(pool: Pool) -> list[QuarantinedRecord]:
        return await quarantine.listed(
            pool, since=begin, reason=reason or None, source=source or None, replayed=replayed, limit=limit + 1
        )

    kept = session.run(read)
    found = QuarantinedList(
        data=[Quarantined.model_validate(asdict(row)) for row in kept[:limit]], has_more=len(kept) > limit
    )
    columns = ("created_at", "id", "source", "topic", "partition", "offset", "reason", "replayed_at")
    output.print_list("Quarantine", found, columns, empty="The quarantine is empty.", as_json=as_json)
    if found.has_more and not as_json:
        output.print_note("More entries exist: use --since, --reason or a higher --limit.")


def show(name: UUID, *, as_json: bool) -> None:
    """Show one entry with its content. Raises Refusal."""
    kept = session.run(lambda pool: quarantine.find(pool, name))
    if kept is None:
        raise Refusal(RefusalReason.NOT_FOUND, "Nothing in quarantine has this id: `quarantine list` shows the rows.")
    content = QuarantinedContent(
        **{field: getattr(kept, field) for field in Quarantined.model_fields},
        key=_text(kept.key),
        value=_text(kept.value),
        value_bytes=len(kept.value or b""),
        headers=[(name, _text(value)) for name, value in kept.headers],
    )
    if as_json:
        output.print_json(content)
        return
    shown = content.model_copy(update={"value": (content.value or "")[:_SHOWN_CHARACTERS]})
    output.print_fields(shown, *(field for field in QuarantinedContent.model_fields if field != "headers"))
    output.print_table("\nHeaders", ("name", "value"), content.headers)
    if len(content.value or "") > _SHOWN_CHARACTERS:
        output.print_note(f"The value is longer than {_SHOWN_CHARACTERS} characters: --json prints all of it.")


def replay(name: UUID, key: str, *, any_age: bool, yes: bool, as_json: bool) -> None:
    """Replay one entry. `any_age` accepts an order that is too old."""
    change_request = session.change_request(
        "quarantine.replay", {"id": str(name), "any_age": any_age}, key=session.read_key(key)
    )
    settings = CommandSettings.from_environment()

    async def work(context: Context) -> Replayed:
        kept = await quarantine.find(context.pool, name)
        if kept is not None and kept.source == "webhook" and webhook_provider(kept) == STRIPE:
            settings.require_stripe_key("it determines the mode, test or live, of the events")
        replays = _replays(context, settings, any_age=any_age)
        if kept is not None and (terms := await replays.terms(kept)) is not None:
            _require_all_settings()
            session.confirm(_question(terms), yes=yes)
        answer = await replays.replay(name, change_request)
        output.print_key(change_request, answer)
        return Replayed.model_validate(answer.result)

    output.print_result(session.run_change(work), as_json=as_json)


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

    The replay creates the payment with these settings for good. Missing settings would be replaced by defaults.
    """
    try:
        Config.from_environment()
    except ConfigError as error:
        message = f"A replayed order uses the service's settings: run this command where they are set. {error}"
        raise ConfigError(message) from None


def _question(terms: Terms) -> str:
    captured = "captured on request" if terms.manual_capture else "captured when paid"
    until = f"canceled if unpaid at {terms.expires_at:%Y-%m-%dT%H:%M:%SZ}" if terms.expires_at else "without expiry"
    order = f"{output.plain(terms.order.order_id)} of {terms.order.amount}"
    return f"Accept order {order}, paid by {terms.provider}, {captured}, {until}?"


def _text(content: bytes | None) -> str | None:
    """Return bytes as text. Stored bytes are masked where text and ids cannot be told apart; this masks ids too."""
    return None if content is None else mask_bytes(content).decode(errors="backslashreplace")
