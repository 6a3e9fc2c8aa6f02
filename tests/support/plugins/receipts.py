"""A provider of another package that brings tables, items that need attention, and commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer
from pydantic import Field

from payment_service.config.config import Settings
from payment_service.provider.attention import AttentionItem, AttentionRefused, AttentionSource
from payment_service.provider.plugins import Plugin, ProviderContext

if TYPE_CHECKING:
    from payment_service.provider.attention import Connection
    from payment_service.provider.port import Provider

_COLUMNS: Final = "name, shop AS owner, 'a receipt' AS subject, 'unread' AS reason, '100%' AS detail, at AS since"


class ReceiptSettings(Settings):
    """The settings of the provider."""

    prefix = "RECEIPTS_"

    receipts_shop: str = Field("shop", description="The shop.")


async def items(connection: Connection, limit: int) -> list[AttentionItem]:
    return _read(await connection.fetch(f"SELECT {_COLUMNS} FROM receipts ORDER BY at LIMIT $1", limit))  # noqa: S608


async def count(connection: Connection) -> dict[str, int]:
    return {"unread": await connection.fetchval("SELECT count(*) FROM receipts")}


async def find(connection: Connection, name: str) -> list[AttentionItem]:
    return _read(await connection.fetch(f"SELECT {_COLUMNS} FROM receipts WHERE name = $1", name))  # noqa: S608


async def retry(connection: Connection, name: str, shop: str) -> bool:
    if name == "torn":
        raise AttentionRefused("A torn receipt cannot be read: close it.")
    return await close(connection, name, shop)


async def close(connection: Connection, name: str, shop: str) -> bool:
    deleted = "DELETE FROM receipts WHERE name = $1 AND shop = $2 RETURNING name"
    return bool(await connection.fetch(deleted, name, shop))


def make(_settings: ReceiptSettings, _context: ProviderContext) -> Provider:
    raise NotImplementedError


def _read(rows: list[Any]) -> list[AttentionItem]:
    return [AttentionItem(payment_id=None, **row) for row in rows]


PLUGIN: Final = Plugin(
    settings=ReceiptSettings,
    make=make,
    migrations=(
        "CREATE TABLE receipts (name text, at timestamptz NOT NULL DEFAULT now()); -- 100%, :so",
        "ALTER TABLE receipts ADD shop text NOT NULL DEFAULT 'shop';",
    ),
    rights={"receipts": "SELECT, DELETE"},
    attention=AttentionSource(
        what="receipt", noun="unread receipt", items=items, count=count, find=find, retry=retry, close=close
    ),
)

group = typer.Typer(help="Receipts.", no_args_is_help=True)


@group.callback()
def about() -> None:
    """Read receipts."""


@group.command("shop")
def show_shop() -> None:
    """Print the shop."""
    typer.echo(ReceiptSettings.from_environment().receipts_shop)
