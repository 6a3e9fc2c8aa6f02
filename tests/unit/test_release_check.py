"""What a release is asked for before the slow checks."""

from __future__ import annotations

import pytest

from scripts.release_check import in_changelog, licences


def test_a_version_that_is_dated_in_the_changelog_may_be_released() -> None:
    assert in_changelog("1.2.3", "# Changelog\n\n## [1.2.3] - 2026-12-25\n") == ""


@pytest.mark.parametrize(
    "text", ["", "## [Unreleased] 1.2.3\n", "## [1.2.3]\n", "## [1.2.30] - 2026-12-25\n", "## [1x2x3] - 2026-12-25\n"]
)
def test_one_that_is_not_is_told_with_what_to_write(text: str) -> None:
    assert "`## [1.2.3] - YYYY-MM-DD`" in in_changelog("1.2.3", text)


def test_every_library_that_is_shipped_says_its_licence_and_none_binds_who_runs_it() -> None:
    """The GPL and the AGPL would; the LGPL asks no more than to name and to let exchange the library."""
    found = licences()
    assert {"aiohttp", "asyncpg", "stripe"} <= found.keys()
    assert [name for name, licence in found.items() if not licence] == []
    binding = ("AGPL", "Affero", "GNU General Public", "GPL-2", "GPL-3")
    strong = {name: text for name, text in found.items() if any(word in text.replace("LGPL", "") for word in binding)}
    assert strong == {}
