"""A deployment name belongs to one installation and one Stripe account (I18)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import psycopg
import pytest

from payment_service.db import installation as installations
from payment_service.db import provider_health
from payment_service.flows.calls.dispatch import Dispatcher
from payment_service.flows.timers.account_claim import CHECK_INTERVAL_S, AccountClaim
from payment_service.provider.providers import Providers
from payment_service.provider.stripe.adapter import Stripe
from payment_service.provider.stripe.claim import product_id
from tests.support.databases import DatabaseServer
from tests.support.eventually import eventually_async
from tests.support.flows import Flows, open_flows
from tests.support.sandbox import SandboxProcess
from tests.support.service import READY_TIMEOUT_S, StartService

CREATES = frozenset({"create"})
ALL = frozenset({provider_health.EVERYTHING})


class Replica:
    """The claim of a process on a database, with a clock that the test moves."""

    def __init__(self, flows: Flows, installation: Any) -> None:
        self.flows = flows
        self.seconds = 0.0
        provider = Stripe(flows.config, now_s=lambda: flows.clock.now().timestamp(), installation=str(installation.id))
        self.provider = provider
        self.claim = AccountClaim(flows.pool, provider, installation, steady_s=lambda: self.seconds)
        flows.use(Providers({"stripe": provider}))

    async def check_later(self) -> None:
        self.seconds += CHECK_INTERVAL_S + 1
        await self.claim.check_once()


@asynccontextmanager
async def replica(dsn: str, api_base: str, **changes: object) -> AsyncIterator[Replica]:
    async with open_flows(dsn, api_base, **changes) as flows:
        opened = Replica(flows, await installations.claim(flows.pool, flows.config.deployment))
        yield opened
        await opened.provider.close()


@pytest.fixture
def other_dsn(database: DatabaseServer, migrated_template: str) -> Any:
    with database.database(migrated_template) as dsn:
        yield dsn


def product(sandbox: SandboxProcess) -> Any:
    client: Any = sandbox.client()
    return client.v1.products.retrieve(product_id("default"))


@pytest.mark.invariant("I18")
async def test_first_start_claims_the_name_in_two_calls_and_a_restart_checks_it_in_one(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    async with replica(database_dsn, sandbox.base_url) as one:
        assert one.claim.paused_kinds() == CREATES
        assert await one.claim.claim() == ""
        assert one.claim.paused_kinds() == frozenset()
        stored = await installations.read(one.flows.pool)
        assert stored is not None
        assert (stored.account, stored.livemode) == ("acct_1SandboxAccount000", False)
        assert stored.claimed_at is not None
        assert product(sandbox).metadata["installation"] == str(stored.id)
        assert not product(sandbox).active
    async with replica(database_dsn, sandbox.base_url) as again:
        assert await again.claim.claim() == ""
        assert again.claim.confirmed


@pytest.mark.invariant("I18")
async def test_second_database_under_the_same_name_is_refused(
    database_dsn: str, other_dsn: str, sandbox: SandboxProcess
) -> None:
    async with replica(database_dsn, sandbox.base_url) as one, replica(other_dsn, sandbox.base_url) as two:
        assert await one.claim.claim() == ""
        refused = await two.claim.claim()
        assert "belongs to another installation" in refused
        assert "payment-service installation move" in refused
        assert two.claim.paused_kinds() == ALL
        assert two.claim.problem()
        await one.check_later()
        assert one.claim.confirmed


@pytest.mark.invariant("I18")
async def test_two_databases_with_two_names_share_an_account(
    database_dsn: str, other_dsn: str, sandbox: SandboxProcess
) -> None:
    async with (
        replica(database_dsn, sandbox.base_url) as one,
        replica(other_dsn, sandbox.base_url, deployment="second") as two,
    ):
        assert [await one.claim.claim(), await two.claim.claim()] == ["", ""]


@pytest.mark.invariant("I18")
async def test_running_process_that_loses_the_claim_sends_nothing_more(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    client: Any = sandbox.client()
    async with replica(database_dsn, sandbox.base_url) as one:
        await one.claim.claim()
        client.v1.products.update(product_id("default"), {"metadata": {"installation": "another"}})
        await one.claim.check_once()
        assert one.claim.confirmed, "the check is due every five minutes"
        await one.check_later()
        assert one.claim.lost
        assert one.claim.paused_kinds() == frozenset({provider_health.EVERYTHING})
        context = one.flows.context(paused_kinds=lambda _provider: one.claim.paused_kinds())
        await one.flows.accept("o-1")
        assert await dispatcher_of(one, context).claim_once() == 0
        assert client.v1.payment_intents.list().data == []


@pytest.mark.invariant("I18")
async def test_copied_database_takes_the_name_and_stops_the_original(
    database: DatabaseServer, database_dsn: str, sandbox: SandboxProcess
) -> None:
    """A restored backup looks the same as a copy for tests, so the newest start decides, and two never run unnoticed."""
    async with replica(database_dsn, sandbox.base_url) as original:
        await original.claim.claim()
        stored = await installations.read(original.flows.pool)
        assert stored is not None
        with database.database() as copied_dsn:
            database.migrate(copied_dsn)
            with psycopg.connect(copied_dsn) as connection:
                connection.execute(
                    "INSERT INTO installation (id, deployment, account, livemode, created_at, claimed_at)"
                    " VALUES (%s, 'default', %s, false, %s, %s)",
                    [stored.id, stored.account, stored.created_at, stored.claimed_at],
                )
            async with replica(copied_dsn, sandbox.base_url) as copied:
                assert await copied.claim.claim() == ""
                await original.check_later()
                assert (original.claim.lost, copied.claim.confirmed) == (True, True)


@pytest.mark.invariant("I18")
async def test_restart_of_the_same_database_is_no_copy(database_dsn: str, sandbox: SandboxProcess) -> None:
    async with replica(database_dsn, sandbox.base_url) as one, replica(database_dsn, sandbox.base_url) as two:
        await one.claim.claim()
        await two.claim.claim()
        await one.check_later()
        assert one.claim.confirmed
        assert two.claim.confirmed


@pytest.mark.invariant("I18")
@pytest.mark.parametrize("claimed", [True, False])
async def test_key_of_another_account_is_refused(database_dsn: str, sandbox: SandboxProcess, claimed: bool) -> None:
    """Both mean that the first start was at another account: its product is not here."""
    async with replica(database_dsn, sandbox.base_url) as one:
        await one.flows.pool.execute(
            "UPDATE installation SET account = 'acct_1Former', livemode = false, claimed_at = CASE WHEN $1 THEN now() END",
            claimed,
        )
    async with replica(database_dsn, sandbox.base_url) as one:
        refused = await one.claim.claim()
        assert "belongs to the Stripe account acct_1Former" in refused
        assert one.claim.paused_kinds() == ALL
        client: Any = sandbox.client()
        assert [event.type for event in client.v1.events.list().data] == []


@pytest.mark.invariant("I18")
@pytest.mark.parametrize("whole", [True, False], ids=["deleted", "metadata erased"])
async def test_deleted_product_is_claimed_again(database_dsn: str, sandbox: SandboxProcess, *, whole: bool) -> None:
    """People tidy up in the Dashboard. An empty value erases a key (https://docs.stripe.com/metadata)."""
    client: Any = sandbox.client()
    async with replica(database_dsn, sandbox.base_url) as one:
        await one.claim.claim()
        if whole:
            client.v1.products.delete(product_id("default"))
        else:
            client.v1.products.update(product_id("default"), {"metadata": {"installation": "", "database": ""}})
        await one.check_later()
        assert one.claim.confirmed
        assert product(sandbox).metadata["installation"]


@pytest.mark.invariant("I18")
async def test_key_of_another_mode_is_refused_without_a_call(flows: Flows) -> None:
    found = await installations.claim(flows.pool, "default")
    live = await installations.confirm(flows.pool, account="", livemode=True, claimed=False)
    assert live.id == found.id
    claim = AccountClaim(flows.pool, flows.provider, live)
    assert "belongs to Stripe's live mode" in await claim.claim()
    assert not claim.confirmed


@pytest.mark.invariant("I18")
async def test_creates_wait_while_stripe_is_unreachable_and_are_sent_afterwards(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    async with replica(database_dsn, "http://127.0.0.1:9") as cut_off:
        assert await cut_off.claim.claim() == ""
        assert cut_off.claim.paused_kinds() == CREATES
        context = cut_off.flows.context(paused_kinds=lambda _provider: cut_off.claim.paused_kinds())
        await cut_off.flows.accept("o-1")
        dispatcher = dispatcher_of(cut_off, context)
        assert await dispatcher.claim_once() == 0
        assert not (await cut_off.flows.operation("o-1"))["ever_sent"]
    async with replica(database_dsn, sandbox.base_url) as connected:
        await connected.claim.check_once()
        context = connected.flows.context(paused_kinds=lambda _provider: connected.claim.paused_kinds())
        dispatcher = dispatcher_of(connected, context)
        await dispatcher.start()
        await connected.flows.run_calls()
        await dispatcher.stop(5)
        assert (await connected.flows.payment("o-1"))["status"] == "pending"


@pytest.mark.invariant("I18")
async def test_refused_key_is_shown_as_a_blocked_provider_until_it_is_accepted(
    database_dsn: str, sandbox: SandboxProcess
) -> None:
    async with replica(database_dsn, sandbox.base_url) as one:
        sandbox.accept_keys("sk_test_other")
        await one.claim.check_once()
        assert await provider_health.all_blocked(one.flows.pool) == ["stripe *"]
        sandbox.accept_keys()
        await one.claim.check_once()
        assert await provider_health.all_blocked(one.flows.pool) == []
        assert one.claim.confirmed


def without_products(sandbox: SandboxProcess) -> None:
    """Answer as to a restricted key without the permission for products."""
    operations = ("products.create", "products.retrieve", "account.retrieve")
    sandbox.faults(*({"match": {"operation": name}, "action": "status", "code": 403} for name in operations))


@pytest.mark.invariant("I18")
async def test_restricted_key_finds_another_installation_by_its_intents(
    database_dsn: str, other_dsn: str, sandbox: SandboxProcess
) -> None:
    without_products(sandbox)
    async with replica(database_dsn, sandbox.base_url) as one, replica(other_dsn, sandbox.base_url) as two:
        assert [await one.claim.claim(), await two.claim.claim()] == ["", ""]
        assert one.claim.paused_kinds() == frozenset()
        await two.flows.accept("o-1")
        dispatcher = dispatcher_of(two, two.flows.context())
        await dispatcher.start()
        await two.flows.run_calls()
        await dispatcher.stop(5)
        await one.check_later()
        assert one.claim.lost
        await two.check_later()
        assert two.claim.confirmed


@pytest.mark.invariant("I18")
async def test_same_order_of_two_installations_shares_no_intent(
    database_dsn: str, other_dsn: str, sandbox: SandboxProcess
) -> None:
    """Even without any claim: Stripe refuses the key, because the metadata of the two creates differ."""
    async with replica(database_dsn, sandbox.base_url) as one, replica(other_dsn, sandbox.base_url) as two:
        dispatchers = [dispatcher_of(each, each.flows.context()) for each in (one, two)]
        await one.flows.accept("o-1")
        await dispatchers[0].start()
        await one.flows.run_calls()
        await two.flows.accept("o-1")
        await dispatchers[1].start()

        async def refused() -> bool:
            return bool((await two.flows.operation("o-1"))["outcome"] == "misused")

        await eventually_async(refused)
        assert (await two.flows.payment("o-1"))["provider_payment_id"] is None
        for dispatcher in dispatchers:
            await dispatcher.stop(5)


@pytest.mark.invariant("I18")
async def test_another_deployment_name_than_the_databases_is_refused(flows: Flows) -> None:
    await installations.claim(flows.pool, "default")
    with pytest.raises(installations.AnotherDeployment, match="belongs to the deployment 'default'"):
        await installations.claim(flows.pool, "second")


@pytest.mark.invariant("I18")
async def test_payments_of_another_deployment_refuse_a_first_start(flows: Flows) -> None:
    """A database whose payments derive from another name, without the row of an installation."""
    await flows.accept("o-1")
    with pytest.raises(installations.AnotherDeployment):
        await installations.claim(flows.pool, "second")
    assert await installations.read(flows.pool) is None


def dispatcher_of(one: Replica, context: Any) -> Dispatcher:
    return Dispatcher(context, name="stripe", config=one.flows.config, random=Random(7))


@pytest.mark.invariant("I18")
@pytest.mark.timeout(120)
def test_serve_exits_when_the_name_belongs_to_another_database(
    start_service: StartService, database: DatabaseServer, other_dsn: str, sandbox: SandboxProcess
) -> None:
    start_service(STRIPE_API_BASE=sandbox.base_url, STRIPE_SECRET_KEY="sk_test_sandbox_suite")
    second = start_service("http", wait=False, STRIPE_API_BASE=sandbox.base_url, DB_DSN=database.for_service(other_dsn))
    second.spawn()
    assert second.wait(READY_TIMEOUT_S) == 3
    assert "belongs to another installation" in second.log.read_text()
    renamed = start_service("http", wait=False, STRIPE_API_BASE=sandbox.base_url, DEPLOYMENT="second")
    renamed.spawn()
    assert renamed.wait(READY_TIMEOUT_S) == 3
    assert "belongs to the deployment 'default'" in renamed.log.read_text()
