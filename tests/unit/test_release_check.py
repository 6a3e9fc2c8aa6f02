"""Checks of a release that run before the slow checks."""

from __future__ import annotations

import pytest

from scripts.release_check import in_changelog, licences


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
    assert {"aiohttp", "asyncpg", "stripe"} <= found.keys()
    assert [name for name, licence in found.items() if not licence] == []
    binding = ("AGPL", "Affero", "GNU General Public", "GPL-2", "GPL-3")
    strong = {name: text for name, text in found.items() if any(word in text.replace("LGPL", "") for word in binding)}
    assert strong == {}
