"""Run the conformance suite against every provider."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from payment_service.provider.conformance import CHECKS, ProviderHarness
from payment_service.provider.stripe.adapter import Stripe
from tests.support.bank import open_bank
from tests.support.flows import config_for
from tests.support.provider_harnesses import BankSide, StripeSide, open_acme
from tests.support.sandbox import SandboxProcess


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path_factory.mktemp("sandbox"), in_memory=True)
    process.start()
    yield process
    process.clean_up()


@asynccontextmanager
async def stripe_side(sandbox: SandboxProcess) -> AsyncIterator[ProviderHarness]:
    config = config_for("postgresql://127.0.0.1:9/none", sandbox.base_url, provider_timeout_s=20.0)
    provider = Stripe(config, now_s=time.time)
    yield StripeSide(provider, sandbox)
    await provider.close()


@asynccontextmanager
async def bank_side(dsn: str) -> AsyncIterator[ProviderHarness]:
    async with open_bank(dsn) as bank:
        yield BankSide(bank)


@pytest.fixture(params=["stripe", "bank_transfer", "acme"])
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[ProviderHarness]:
    """Return the function that opens a provider and its counterpart."""
    match request.param:
        case "stripe":
            return stripe_side(request.getfixturevalue("sandbox"))
        case "bank_transfer":
            return bank_side(request.getfixturevalue("database_dsn"))
        case _:
            return open_acme()


@pytest.mark.invariant("I1")
@pytest.mark.parametrize("name", CHECKS)
async def test_every_provider_conforms(name: str, opening: AbstractAsyncContextManager[ProviderHarness]) -> None:
    async with opening as harness:
        await CHECKS[name](harness)
