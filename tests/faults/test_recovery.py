"""Restore a backup of a service under load, recover, and test that nothing is lost, sent or numbered twice.

The recovery is killed at several points and run again. Jobs of clients run again, and the provider resends its events.
`make test-restore` works for ten minutes between the backup and its restoration.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from payment_service.contracts.operators import RecoveryReport
from tests.support.backup import Backup
from tests.support.checker import list_all, order_of, violations
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.kafka import ANNOUNCEMENTS, Record
from tests.support.service import ServiceProcess
from tests.support.shop import Shop

# How long the service works after the backup.
BACKUP_AGE_S: Final = int(os.environ.get("BACKUP_AGE_S", "0"))
QUIET_WITHIN_S: Final = 30 + BACKUP_AGE_S

pytestmark = pytest.mark.timeout(400 + 5 * BACKUP_AGE_S)


def group(name: str) -> list[str]:
    """Return the ids of eight orders. The last digit says what becomes of each."""
    return [f"o-{name}-{i}" for i in range(8)]


def of(order_ids: Sequence[str], digits: str) -> list[str]:
    """Return the orders with one of these last digits."""
    return [order_id for order_id in order_ids if order_id[-1] in digits]


BEFORE: Final = group("before")
DURING: Final = group("during")
AFTER: Final = group("after")
KILLED: Final = group("killed")
REFUNDED, HELD, CAPTURED, DECLINED, CANCELED = "01", "4", "5", "6", "7"
CRASHES = ("recover.records.stored", "recover.operations.after", "recover.offsets.after")


def run_jobs(shop: Shop, order_ids: Sequence[str]) -> list[int]:
    """Refund a part of two payments of each group, capture a part of one and cancel one, under the same keys each time."""
    return [
        *(shop.refund(order_id, "5.00", f"refund-{order_id}") for order_id in of(order_ids, REFUNDED)),
        *(
            shop.request_change("capture", order_id, {"amount": "15.00"}, f"capture-{order_id}")
            for order_id in of(order_ids, CAPTURED)
        ),
        *(shop.request_change("cancel", order_id, {}, f"cancel-{order_id}") for order_id in of(order_ids, CANCELED)),
    ]


def order(shop: Shop, order_ids: Sequence[str]) -> None:
    """Write orders; those that are captured or held are captured manually."""
    manual = of(order_ids, HELD + CAPTURED)
    shop.order(*(order_id for order_id in order_ids if order_id not in manual))
    shop.order(*manual, capture_method="manual")


def pay(shop: Shop, order_ids: Sequence[str]) -> None:
    """Decline some payments once, then pay all that will not be canceled."""
    shop.pay(*of(order_ids, DECLINED), method="pm_card_chargeDeclined")
    shop.pay(*(order_id for order_id in order_ids if order_id[-1] not in CANCELED))


def work(shop: Shop) -> Iterator[list[str]]:
    """Order, pay, refund, capture and cancel until the backup has its age. Yield the orders whose jobs are done."""
    until = time.monotonic() + BACKUP_AGE_S
    wave = 0
    while time.monotonic() < until:
        orders = [one for part in range(5) for one in group(f"wave-{wave}-{part}")]
        order(shop, orders)
        pay(shop, orders)
        paid = [one for one in orders if one[-1] not in HELD + CAPTURED + CANCELED]
        shop.wait_status("succeeded", *paid)
        shop.wait_status("authorized", *of(orders, HELD + CAPTURED))
        assert set(run_jobs(shop, orders)) <= {201}
        yield orders
        wave += 1


def published(shop: Shop) -> list[Record]:
    return shop.topics.read_all(ANNOUNCEMENTS)


def contents(records: Sequence[Record]) -> dict[str, set[tuple[str, int, bytes]]]:
    """Return topic, number and value of each `ce_id`."""
    found: dict[str, set[tuple[str, int, bytes]]] = {}
    for record in records:
        found.setdefault(record.header("ce_id") or "", set()).add((record.topic, record.sequence, record.value or b""))
    return found


def recover(service: ServiceProcess, backup: Backup, *arguments: str, **changes: str) -> Any:
    """Run the command in the environment of the service."""
    return run("recover", "--to", backup.taken_at.isoformat(), "--json", *arguments, env={**service.env, **changes})


def report(result: Any) -> Mapping[str, Any]:
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    assert shown == RecoveryReport.model_validate(shown).model_dump(mode="json")
    return shown


def effects(shop: Shop) -> dict[str, Counter[str]]:
    """Return how often each irreversible effect happened to each order at the provider."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in shop.sandbox.ledger():
        if entry["effect"] in {"intent.created", "charge.captured", "refund.created", "intent.canceled"}:
            found[order_of(entry)][entry["effect"]] += 1
    return found


def kill_under_load(shop: Shop, service: ServiceProcess, intake: ServiceProcess) -> None:
    """Kill the service while orders, payments and their events are under way.

    The intake is stopped: the embedded broker would never end the session of a killed member of the group.
    """
    order(shop, KILLED)
    pay(shop, KILLED[:4])
    service.kill()
    service.wait_killed()
    intake.stop()


@pytest.mark.invariant("I5")
@pytest.mark.invariant("I14")
@pytest.mark.kafka
def test_restored_backup_repeats_nothing_and_loses_nothing(shop: Shop) -> None:
    service, intake = shop.serve("dispatch,relay,http,reconcile"), shop.serve_beside("intake,http")
    order(shop, BEFORE)
    pay(shop, BEFORE[:4])
    shop.checkout(BEFORE[0])  # creates the API key, which the backup must have
    order(shop, DURING)
    backup = Backup.take(shop.dsn)  # while orders, payments and their events are under way
    pay(shop, BEFORE[4:])
    pay(shop, DURING)
    order(shop, AFTER)
    pay(shop, AFTER)
    shop.wait_quiet()
    groups = [BEFORE, DURING, AFTER]
    for orders in groups:
        assert set(run_jobs(shop, orders)) <= {201}
    groups += work(shop)
    shop.wait_quiet()
    done = effects(shop)
    kill_under_load(shop, service, intake)
    first = published(shop)
    backup.restore(shop.dsn)
    eventually(lambda: shop.count("workers", "heartbeat_at > now() - interval '5 s'") == 0)

    shown = report(recover(service, backup, "--dry-run"))
    assert shop.count("recovery") == shop.count("recovered_records") == 0
    for point in CRASHES:
        assert recover(service, backup, CRASH_AT=point).returncode == -9
    refused = run("serve", env=service.env)
    assert (refused.returncode, "recover --to" in refused.stderr) == (3, True)
    finished = report(recover(service, backup))
    assert report(recover(service, backup))["records_recovered"] == 0
    assert shown["records_recovered"] == shop.count("recovered_records") > finished["records_recovered"]
    assert contents(published(shop)) == contents(first)
    assert shop.count("partition_readers", "ended_at IS NULL") == 0, "no record ended a reader"

    shop.serve()
    shop.wait_quiet(QUIET_WITHIN_S)
    pay(shop, KILLED[4:])
    shop.wait_quiet(QUIET_WITHIN_S)
    for event in list_all(shop.sandbox, "events"):
        shop.sandbox.resend(event["id"])
    shop.wait_quiet(QUIET_WITHIN_S)
    for orders in [*groups, KILLED]:
        assert set(run_jobs(shop, orders)) <= {201}
    shop.wait_quiet(QUIET_WITHIN_S)
    done |= {killed: done[after] for killed, after in zip(KILLED, AFTER, strict=True)}
    assert effects(shop) == done, "no second intent, capture, refund or cancel"
    second = published(shop)
    assert all(len(known) == 1 for known in contents(second).values()), "one content and one number per id"
    numbers = Counter((record.key, record.sequence) for record in {r.header("ce_id"): r for r in second}.values())
    assert max(numbers.values()) == 1, "no number twice"
    assert contents(first).keys() <= contents(second).keys()
    # An operation that was looked for and found ends in epoch 0, which the checker does not count.
    found = [(one.invariant, one.about, one.detail) for one in violations(shop.evidence())]
    assert [one for one in found if "epochs" not in one[2]][:8] == []
