"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from payment_service.config.env_file import load_env_file

Name = Annotated[str, typer.Argument(metavar="ORDER|PAYMENT", help="The id of an order or a payment.")]
Amount = Annotated[
    str | None, typer.Argument(help="Decimal text in the payment's currency; default: the whole amount.")
]
Reason = Annotated[str, typer.Option(help="Free text. The provider also receives the reasons that it defines.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Key = Annotated[
    str,
    typer.Option(help="Idempotency key: the same change with the same key is made once. Printed if you do not set it."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def _load(path: Path | None) -> Path | None:
    if path is not None:
        load_env_file(path)
    return path


EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        is_eager=True,
        callback=_load,
        help="Read variables from this file; the environment takes precedence.",
    ),
]
TIME_HELP: Final = "Such as 2026-12-25T14:00Z, or an age: 90m, 12h, 7d."
