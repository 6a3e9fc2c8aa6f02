"""Arguments and options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

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

_As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="You, for the audit. Default: PAYMENT_SERVICE_AS, or your login; else the command asks.",
    ),
]
_Why = Annotated[str | None, typer.Option(metavar="TEXT", help="Why you do it, on one line; stored in the audit.")]

C = TypeVar("C", bound=Callable[..., None])


def changes(command: C) -> C:
    """Add the options `--as` and `--why` to a command that changes something."""

    @wraps(command)
    def with_operator(*args: Any, as_name: str | None = None, why: str | None = None, **options: Any) -> None:
        from payment_service.commands import operator

        if as_name is not None:
            operator.set_person(as_name)
        if why is not None:
            operator.set_why(why)
        command(*args, **options)

    own = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in (("as_name", _As), ("why", _Why))
    ]
    with_operator.__annotations__ = {"as_name": _As, "why": _Why} | {n: p.annotation for n, p in own.parameters.items()}
    vars(with_operator)["__signature__"] = own.replace(parameters=[*own.parameters.values(), *added])
    return cast("C", with_operator)
