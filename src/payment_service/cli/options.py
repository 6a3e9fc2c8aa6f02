"""Arguments and options that several commands have, each said once."""

from __future__ import annotations

from typing import Annotated, Final

import typer

Name = Annotated[str, typer.Argument(metavar="ORDER|PAYMENT", help="An order's id, or a payment's.")]
Amount = Annotated[str | None, typer.Argument(help="Decimal text in the payment's currency; left out: all of it.")]
Reason = Annotated[str, typer.Option(help="For people; the provider is told the words that it knows.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Key = Annotated[str, typer.Option(help="The same change under the same key is made once; shown when you give none.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most, up to 1000; 100 unless you say.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
TIME_HELP: Final = "Such as 2026-12-25T14:00Z, or how long ago: 90m, 12h, 7d."
