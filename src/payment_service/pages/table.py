"""The parts of a table of pages: pages with their permissions, entries of the navigation, and those that a provider brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from payment_service.http.bodies import BODY_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from payment_service.pages.permissions import Permission
    from payment_service.pages.site import Page

# The entry points are named like the providers, so that pages of a provider that is not in PROVIDERS are never imported.
GROUP: Final = "payment_service.pages"


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page and the permission that it needs. `limit_bytes`: the largest body that its form may have."""

    method: str
    path: str
    permission: Permission
    page: Page
    limit_bytes: int = BODY_LIMIT_BYTES


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation, for those who have the permission."""

    name: str
    path: str
    text: str
    permission: Permission


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPages:
    """Pages that a provider brings. `notes`: sentences that a redirect may show, by name. `templates`: the folder of its own."""

    sections: tuple[Section, ...]
    routes: tuple[PageRoute, ...]
    templates: Path
    notes: Mapping[str, str] = field(default_factory=dict)


def provider_pages(providers: Iterable[str]) -> list[ProviderPages]:
    """Load the pages of these providers, in the order of their names."""
    wanted = frozenset(providers)
    return [
        found.load() for found in sorted(entry_points(group=GROUP), key=lambda one: one.name) if found.name in wanted
    ]
