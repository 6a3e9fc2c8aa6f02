"""Play each provider's customers for the conformance suite."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from pydantic import SecretStr

from payment_service.provider.plugins import ProviderContext
from payment_service.provider.port import Provider
from payment_service_events.currency import CURRENCIES
from payment_service_events.money import Money
from tests.support.bank import Bank
from tests.support.sandbox import SandboxProcess

ACME: Final = Path(__file__).resolve().parents[2] / "docs" / "examples" / "acme-payments"


@dataclass
class StripeSide:
    """A customer with a card at the sandbox."""

    provider: Provider
    sandbox: SandboxProcess
    deployment: str = "default"
    currencies: Collection[str] = tuple(CURRENCIES)
    supports_manual_capture: bool = True

    async def pay(self, intent_id: str, amount: Money) -> None:  # noqa: ARG002 - a card pays what the intent asks for
        client: Any = self.sandbox.client()
        client.v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})

    async def events(self) -> Sequence[Mapping[str, Any]]:
        client: Any = self.sandbox.client()
        found = [event.to_dict() for event in client.v1.events.list({"limit": 100}).auto_paging_iter()]
        return [json.loads(json.dumps(event)) for event in reversed(found)]


@dataclass
class BankSide:
    """A customer at a bank, and a clerk who imports the statement."""

    bank: Bank
    deployment: str = "default"
    currencies: Collection[str] = tuple(CURRENCIES)
    supports_manual_capture: bool = False

    @property
    def provider(self) -> Provider:
        return self.bank.provider

    async def pay(self, intent_id: str, amount: Money) -> None:
        await self.bank.take(intent_id, amount.decimal_text, f"t-{intent_id}", amount.currency.code)

    async def events(self) -> Sequence[Mapping[str, Any]]:
        rows = await self.bank.pool.fetch("SELECT payload FROM payment_events ORDER BY created_at")
        return [json.loads(row["payload"]) for row in rows]


@dataclass
class AcmeSide:
    """A customer of the example provider in docs/providers.md."""

    provider: Any
    deployment: str = "default"
    currencies: Collection[str] = tuple(CURRENCIES)
    supports_manual_capture: bool = True

    async def pay(self, intent_id: str, amount: Money) -> None:  # noqa: ARG002 - as above
        self.provider.server.customer_pays(intent_id)

    async def events(self) -> Sequence[Mapping[str, Any]]:
        return list(self.provider.server.events)


@contextmanager
def acme_importable() -> Iterator[ModuleType]:
    """Import the example's package, and unload it afterwards."""
    sys.path.insert(0, str(ACME))
    try:
        yield import_module("acme_payments")
    finally:
        sys.path.remove(str(ACME))
        for name in [name for name in sys.modules if name.partition(".")[0] == "acme_payments"]:
            del sys.modules[name]


@asynccontextmanager
async def open_acme(change: Callable[[Any], None] = lambda _acme: None) -> AsyncIterator[AcmeSide]:
    """Create the example provider. `change` may break it."""
    with acme_importable() as module:
        context = ProviderContext(
            deployment="default", now_s=time.time, timeout_s=1, concurrency=1, pool=cast("Any", None)
        )
        acme = module.PLUGIN.make(module.PLUGIN.settings(acme_secret=SecretStr("acme-secret")), context)
        change(acme)
        yield AcmeSide(acme)
