"""Make the timers that ask the providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from payment_service.flows.timers.poller import Poller
from payment_service.flows.timers.recent_events import RecentEventsReader
from payment_service.provider.port import RecentEvents, WebhookReceiver

if TYPE_CHECKING:
    from payment_service.config.config import Config
    from payment_service.flows.state.context import Context
    from payment_service.flows.webhooks.apply import Webhooks


def make_provider_timers(context: Context, webhooks: Webhooks, config: Config) -> list[Poller | RecentEventsReader]:
    """Make the timers of each provider that reports by webhook. Others have their own records."""
    rate_per_s = config.provider_rate_per_second
    pollers = [
        Poller(context, name=name, rate_per_s=rate_per_s)
        for name, provider in context.providers.by_name.items()
        if isinstance(provider, WebhookReceiver)
    ]
    readers = [
        RecentEventsReader(
            context,
            webhooks,
            name=name,
            provider=provider,
            rate_per_s=rate_per_s,
            timeout_s=config.provider_timeout_s,
        )
        for name, provider in context.providers.by_name.items()
        if isinstance(provider, RecentEvents)
    ]
    return [*pollers, *readers]
