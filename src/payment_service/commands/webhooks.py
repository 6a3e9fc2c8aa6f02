"""`webhooks`: replay stored events."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payment_service.commands import output, session
from payment_service.commands.settings import CommandSettings
from payment_service.config.config import ConfigError
from payment_service.contracts.operators import ReplayedEvent, ReplayedEvents
from payment_service.db import events
from payment_service.flows.operators.replay_events import EventSelection, ReplayEvents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from payment_service.flows.state.context import Context


def replay(names: Sequence[str], since: str, key: str, *, dry_run: bool, as_json: bool) -> None:
    """Apply stored events again. Raises ConfigError, Refusal."""
    if bool(names) == bool(since):
        raise ConfigError("Use either --id, once or more, or --since.")
    CommandSettings.from_environment().require_stripe_key("it tells whether events are of real money")
    begin = session.read_time(since, datetime.now(UTC)) if since else None
    selection = EventSelection(ids=tuple(dict.fromkeys(names)), since=begin)
    asked = {"ids": list(selection.ids), "since": begin and begin.isoformat()}
    change_request = session.change_request("webhooks.replay", asked, key=session.read_key(key))

    async def work(context: Context) -> ReplayedEvents:
        stored = await events.keys_of(context.pool, context.providers.by_name.keys(), selection.ids)
        found = {name for _, name, _ in stored}
        done = await ReplayEvents(context).replay(selection, change_request, dry_run=dry_run)
        unknown = [name for name in selection.ids if name not in found]
        return ReplayedEvents(**asdict(done), unknown=unknown, dry_run=dry_run)

    done = session.run_change(work)
    if not dry_run:
        again = f"--since {begin.isoformat()} " if begin else ""
        output.print_note(f"{again}--key {change_request.key} (repeat with these options to resume)")
    if as_json:
        output.print_json(done)
        return
    output.print_fields(done, *(name for name in ReplayedEvents.model_fields if name != "changed"))
    fields = tuple(ReplayedEvent.model_fields)
    rows = ([getattr(one, name) for name in fields] for one in done.changed)
    output.print_table("\nWould change" if dry_run else "\nChanged", fields, rows)
