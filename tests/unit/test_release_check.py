"""Checks of a release that run before the slow checks."""

from __future__ import annotations

import pytest

from scripts.release_check import PROJECTS, ROOT, in_changelog, licences, other_versions


def test_a_version_dated_in_the_changelog_can_be_released() -> None:
    assert in_changelog("1.2.3", "# Changelog\n\n## [1.2.3] - 2026-12-25\n") == ""


@pytest.mark.parametrize(
    "text", ["", "## [Unreleased] 1.2.3\n", "## [1.2.3]\n", "## [1.2.30] - 2026-12-25\n", "## [1x2x3] - 2026-12-25\n"]
)
def test_a_missing_changelog_entry_is_reported_with_the_line_to_write(text: str) -> None:
    assert "`## [1.2.3] - YYYY-MM-DD`" in in_changelog("1.2.3", text)


def test_every_shipped_library_states_a_license_without_strong_copyleft() -> None:
    """The GPL and the AGPL would bind operators; the LGPL requires only attribution and a replaceable library."""
    found = licences()
    assert {"aiohttp", "asyncpg", "uvicorn"} <= found.keys()
    assert [name for name, licence in found.items() if not licence] == []
    binding = ("AGPL", "Affero", "GNU General Public", "GPL-2", "GPL-3")
    strong = {name: text for name, text in found.items() if any(word in text.replace("LGPL", "") for word in binding)}
    assert strong == {}


def test_a_wheel_of_another_version_is_reported_with_its_file() -> None:
    texts = {path: path.read_text() for path in PROJECTS}
    [number] = {line for line in (PROJECTS[0].read_text()).splitlines() if line.startswith("version = ")}
    version = number.split('"')[1]
    assert list(other_versions(version, texts)) == []
    problems = list(other_versions("9.8.7", texts))
    assert [problem.split()[0] for problem in problems] == [str(path.relative_to(ROOT)) for path in PROJECTS]
    path = ROOT / "packages" / "payment-service-demo" / "pyproject.toml"
    changed = texts[path].replace(f"stripe-sandbox=={version}", "stripe-sandbox==0.0.9")
    assert list(other_versions(version, {path: changed})) == [
        f"packages/payment-service-demo/pyproject.toml names 0.0.9: write {version}, as in pyproject.toml."
    ]
