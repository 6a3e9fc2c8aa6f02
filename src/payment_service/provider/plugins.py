"""Load payment providers as plugins. Packages register them as entry points; the environment selects which run.

A plugin brings all that its provider needs: settings, tables, privileges, items that need attention. The service only
iterates over the plugins. Tables and items of every installed package count, so that they stay when a provider is disabled.

A package registers a provider's name and its `Plugin` in the group `payment_service.providers`. The service's own
providers do the same. `docs/providers.md` has a complete example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import structlog

from payment_service.config.config import ConfigError, Settings
from payment_service.provider.providers import Providers

if TYPE_CHECKING:
    import asyncpg
    from pydantic import BaseModel

    from payment_service.config.config import Config
    from payment_service.provider.attention import AttentionSource
    from payment_service.provider.port import Provider

log = structlog.get_logger(__name__)

GROUP: Final = "payment_service.providers"

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderContext:
    """The values that the service passes to a provider.

    - `deployment`: the name that the provider's objects must carry.
    - `now_s`: our clock, seconds since 1970.
    - `timeout_s`: the time after which the service treats a call as unknown.
    - `concurrency`: the number of concurrent calls.
    - `pool`: the service's database, for a provider that keeps a ledger in tables of its own.
    - `installation`: the id of this database's installation, for the metadata of objects; empty before the first start.
    """

    deployment: str
    now_s: Callable[[], float]
    timeout_s: float
    concurrency: int
    pool: asyncpg.Pool[asyncpg.Record]
    installation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard(Generic[S]):
    """The provider's own pages. `name`: the provider as people know it.

    `payment` and `dispute` return the URL of a page, from the provider's id and whether it is live. The page of a dispute is where
    people submit evidence. An empty URL means that there is no page.
    """

    name: str
    payment: Callable[[S, str, bool], str]
    dispute: Callable[[S, str, bool], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin(Generic[S]):
    """A provider and all that it brings. Only `settings` and `make` are required.

    - `settings`: read from the environment.
    - `make`: called once, in the event loop's thread.
    - `pay`: the model of `Checkout.pay`, for the description of the API. Its title is unique.
    - `migrations`: SQL scripts of its own tables. `migrate` runs each once, in this order, in a transaction of its own.
      Append scripts; never change a released one.
    - `rights`: the privileges of the service's role on these tables. The reader's role may read them.
    - `attention`: its items that need an operator.
    - `dashboard`: the provider's own pages for people.
    """

    settings: type[S]
    make: Callable[[S, ProviderContext], Provider]
    pay: type[BaseModel] | None = None
    migrations: tuple[str, ...] = ()
    rights: Mapping[str, str] = field(default_factory=dict)
    attention: AttentionSource | None = None
    dashboard: Dashboard[S] | None = None


@cache
def installed() -> Mapping[str, Plugin[Any]]:
    """Return the plugins of all installed packages by name. Leave out, with a warning, one that cannot be loaded."""
    plugins: dict[str, Plugin[Any]] = {}
    for name in sorted(entry_points(group=GROUP).names):
        if not name.isidentifier():
            continue  # PROVIDERS cannot name it
        try:
            plugins[name] = _load(name)
        except ConfigError as error:
            log.warning("provider_not_loaded", provider=name, error=str(error))
    return plugins


def attention_sources() -> dict[str, AttentionSource]:
    """Return the items of all installed providers that need an operator, by kind."""
    return {plugin.attention.what: plugin.attention for plugin in installed().values() if plugin.attention is not None}


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """A page of a provider's dashboard: whose it is, and its URL."""

    name: str
    url: str


def payment_page(name: str, provider_payment_id: str | None, config: Config, *, livemode: bool) -> DashboardPage | None:
    """Return the provider's page about a payment. None: there is none, or the provider is not installed."""
    return _dashboard_page(name, lambda one: one.payment, provider_payment_id, config, livemode=livemode)


def dispute_page(name: str, provider_dispute_id: str, config: Config, *, livemode: bool) -> DashboardPage | None:
    """Return the provider's page on which people submit evidence. None: there is none, or the provider is not installed."""
    return _dashboard_page(name, lambda one: one.dispute, provider_dispute_id, config, livemode=livemode)


def _dashboard_page(
    name: str,
    chosen: Callable[[Dashboard[Any]], Callable[[Any, str, bool], str] | None],
    provider_id: str | None,
    config: Config,
    *,
    livemode: bool,
) -> DashboardPage | None:
    plugin = installed().get(name)
    if plugin is None or plugin.dashboard is None or not provider_id:
        return None
    address_of = chosen(plugin.dashboard)
    url = address_of(_read_settings(plugin, config), provider_id, livemode) if address_of else ""
    return DashboardPage(plugin.dashboard.name, url) if url else None


def open_providers(config: Config, context: ProviderContext) -> Providers:
    """Make the providers that the environment names. Raise ConfigError with one line if one cannot be made."""
    by_name = {name: _make(name, config, context) for name in config.providers}
    return Providers(by_name, config.providers_by_currency)


def require_providers(config: Config) -> None:
    """Check that the configured providers are installed and have their settings. Raise ConfigError with one line."""
    for name in config.providers:
        _read_settings(_load(name), config)


def _read_settings(plugin: Plugin[Any], config: Config) -> Settings:
    # The service's own settings are loaded already. In tests they do not come from the environment.
    kind: type[Settings] = plugin.settings
    return config if isinstance(config, kind) else kind.from_environment()


def _make(name: str, config: Config, context: ProviderContext) -> Provider:
    plugin = _load(name)
    settings = _read_settings(plugin, config)
    try:
        provider: Provider = plugin.make(settings, context)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"The payment provider {name} cannot be started: {_describe(error)}.") from error
    if provider.name != name:
        raise ConfigError(f"The payment provider {name} has the name {provider.name}: both must be the same.")
    return provider


def _load(name: str) -> Plugin[Any]:
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names))
        raise ConfigError(f"PROVIDERS names {name}, which no installed package provides. Installed: {known}.")
    if len(found) > 1:
        raise ConfigError(f"Two installed packages provide the payment provider {name}: remove one of them.")
    try:
        plugin = next(iter(found)).load()
    except Exception as error:
        raise ConfigError(f"The payment provider {name} cannot be loaded: {_describe(error)}.") from error
    if not isinstance(plugin, Plugin):
        raise ConfigError(f"The entry point of the payment provider {name} is not a Plugin.")
    return plugin


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": .")
