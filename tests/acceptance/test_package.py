"""The wheel and the source archive: built, installed elsewhere with the pinned libraries alone, and run from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.metadata import Metadata

from payment_service.embedded.process import ChildProcess
from scripts.install import uv_environment
from tests.support.service import READY_TIMEOUT_S, ServiceProcess

ROOT: Final = Path(__file__).parents[2]
UV: Final = Path(sys.executable).with_name("uv")
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME: Final = f"payment_service-{PROJECT['version']}"

# A busy machine needs a minute to unpack forty libraries.
pytestmark = pytest.mark.timeout(300)


def call(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command that must succeed, and return its standard output."""
    result = subprocess.run(
        command, cwd=cwd, env=env or os.environ, capture_output=True, text=True, check=False, timeout=200
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def build(source: Path, target: str, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` from a source folder."""
    call(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder, cwd=source)
    [made] = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel as the README describes, and return the folder of its commands."""
    place = tmp_path_factory.mktemp("elsewhere")
    env = {**uv_environment(), **os.environ, "VIRTUAL_ENV": str(place / "venv")}
    call(UV, "venv", "--quiet", "--python", sys.executable, place / "venv", cwd=place, env=env)
    service = ROOT / "requirements" / "service.txt"
    call(UV, "pip", "sync", "--quiet", "--require-hashes", service, cwd=place, env=env)
    call(UV, "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place, env=env)
    return place / "venv" / "bin"


def tracked() -> set[str]:
    """Return the source files that git tracks, with their paths in the wheel."""
    listed = call("git", "ls-files", "src", cwd=ROOT).splitlines()
    return {name.removeprefix("src/") for name in listed}


def test_the_wheel_holds_exactly_the_files_of_the_source(wheel: Path) -> None:
    """No module imports SQL, migrations, templates, assets or `py.typed`, so no other test would miss them."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == tracked()
    assert {"payment_service/py.typed", "stripe_sandbox/py.typed"} <= held


def test_the_source_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / NAME, "wheel", tmp_path / "again")
    assert (again.name, again.read_bytes()) == (wheel.name, wheel.read_bytes())
    assert {f"{NAME}/{name}" for name in ("LICENSE", "Makefile", "tests/conftest.py")} <= set(names)
    assert [name for name in names if re.search(r"/(\.git|\.venv|secrets|__pycache__)/", name)] == []


def test_the_metadata_is_valid_for_a_package_index(wheel: Path) -> None:
    """An index rejects metadata that it cannot render."""
    with zipfile.ZipFile(wheel) as archive:
        read = Metadata.from_email(archive.read(f"{NAME}.dist-info/METADATA"), validate=True)
        assert f"{NAME}.dist-info/licenses/LICENSE" in archive.namelist()
    assert (read.name, str(read.version)) == ("payment-service", PROJECT["version"])
    assert (read.license_expression, read.description_content_type) == ("Apache-2.0", "text/markdown")
    assert read.summary == PROJECT["description"]
    assert (read.description or "").startswith("# payment-service\n")
    assert {str(needed.name) for needed in read.requires_dist or [] if needed.marker is None} == {
        re.split(r"[\[>=<]", text)[0] for text in PROJECT["dependencies"]
    }


def test_the_installed_package_has_a_version_help_and_types(installed: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    printed = call(installed / "payment-service", "--version", cwd=tmp_path, env=env)
    assert printed == f"payment-service {PROJECT['version']}\n"
    assert "migrate" in call(installed / "payment-service", "--help", cwd=tmp_path, env=env)
    assert "--webhook-secret" in call(installed / "stripe-sandbox", "--help", cwd=tmp_path, env=env)
    script = "import payment_service.events as e, importlib.resources as r; print(e.__file__, (r.files('payment_service') / 'py.typed').is_file())"
    file, typed = call(installed / "python", "-c", script, cwd=tmp_path, env=env).split()
    assert Path(file).is_relative_to(installed.parent)
    assert typed == "True"


@pytest.mark.kafka
def test_the_installed_package_migrates_a_database_and_serves(
    installed: Path, empty_database_dsn: str, service_env: dict[str, str], tmp_path: Path
) -> None:
    """The environment of the tests is not used, so a library that only the tests have would be missed here."""
    env = {**service_env, "DB_DSN": empty_database_dsn, "PATH": os.environ["PATH"]}
    process = ServiceProcess(env, log=tmp_path / "service.log")
    assert "schema" in call(installed / "payment-service", "migrate", cwd=tmp_path, env=process.env)
    child = ChildProcess([installed / "payment-service", "serve"], log=process.log, env=process.env)
    try:
        child.wait_until(process.ready, timeout_s=READY_TIMEOUT_S, name="payment-service serve")
    finally:
        code = child.stop(grace_s=25)
    assert code == 0
