"""The installed version. Its only source is pyproject.toml."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer


def _print(asked: bool) -> None:  # noqa: FBT001 - typer gives what was parsed by position
    if asked:
        typer.echo(f"payment-service {version('payment-service')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", is_eager=True, callback=_print, help="Print the version and exit.")]
