"""The version is written once, in pyproject.toml, and every artifact repeats it."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.wheels import DISTRIBUTIONS, Distribution

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION: Final = str(PROJECT["version"])


def test_the_installed_version_matches_the_project() -> None:
    """Run `make install` after a change of pyproject.toml."""
    assert version("payment-service") == VERSION


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda found: found.name)
def test_the_distributions_have_one_version_and_depend_on_exactly_each_other(distribution: Distribution) -> None:
    project = distribution.project
    assert project["version"] == VERSION
    names = {found.name for found in DISTRIBUTIONS}
    extras = [text for texts in project.get("optional-dependencies", {}).values() for text in texts]
    needed = [text for text in project["dependencies"] + extras if re.split(r"[\[>=<]", text)[0] in names]
    assert [text for text in needed if not text.endswith(f"=={VERSION}")] == []


def test_the_contracts_state_the_version() -> None:
    """Run `make docs` after a change of the version."""
    assert json.loads((ROOT / "openapi.json").read_text())["info"]["version"] == VERSION
    assert yaml.safe_load((ROOT / "asyncapi.yaml").read_text())["info"]["version"] == VERSION


@pytest.mark.parametrize("name", ["package.json", "package-lock.json"])
def test_the_npm_package_has_the_version_of_the_service(name: str) -> None:
    assert json.loads((ROOT / "packages" / "payment-service-js" / name).read_text())["version"] == VERSION


def test_the_chart_has_the_version_of_the_service() -> None:
    charts = [yaml.safe_load(path.read_text()) for path in (ROOT / "deploy").rglob("Chart.yaml")]
    assert {str(chart[name]) for chart in charts for name in ("version", "appVersion")} <= {VERSION}


def test_the_image_label_takes_the_version_from_pyproject() -> None:
    script, dockerfile = (ROOT / "scripts" / "build-image").read_text(), (ROOT / "Dockerfile").read_text()
    pattern = re.search(r"sed -n 's/(\^version = .*?)/\\1/p' pyproject\.toml", script)
    assert pattern is not None
    lines = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert lines == [VERSION]
    assert '--build-arg "VERSION=$version"' in script
    assert 'org.opencontainers.image.version="${VERSION}"' in dockerfile


def test_the_changelog_begins_with_the_version() -> None:
    heading = re.search(r"^## \[(?:Unreleased\] )?([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] == VERSION
