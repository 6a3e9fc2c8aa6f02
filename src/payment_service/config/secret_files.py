"""Secrets that stand in files, as container platforms hand them over: `NAME_FILE` names the file that holds NAME."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

FILE_SUFFIX: Final = "_FILE"
# A key, a connection string or a few webhook secrets have hundreds of bytes; a larger file is another one than was meant.
FILE_LIMIT_BYTES: Final = 16_384


class SecretFileError(Exception):
    """A secret can't be read from its file; the message says which and why."""


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a setting is a secret, or several: masked, and readable from a file."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def read_secrets(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Read those of these settings that the environment says are in files. Raises SecretFileError."""
    secrets = [name.upper() for name, field in fields.items() if is_secret(field)]
    return {name.lower(): _read(name) for name in secrets if os.environ.get(name + FILE_SUFFIX)}


def read_named(prefix: str) -> dict[str, str]:
    """Read every variable that begins with `prefix`, by itself or from the file that NAME_FILE names. Raises SecretFileError."""
    names = {name.removesuffix(FILE_SUFFIX) for name, value in os.environ.items() if name.startswith(prefix) and value}
    return {
        name: _read(name) if os.environ.get(name + FILE_SUFFIX) else os.environ[name]
        for name in sorted(names - {prefix})
    }


def _read(name: str) -> str:
    """Read one; the line end that editors add is none of it."""
    variable = name + FILE_SUFFIX
    if os.environ.get(name):
        raise SecretFileError(f"{name} and {variable} are both set: remove one of them.")
    # Messages don't repeat the path: it may be the secret itself, put into the wrong variable.
    try:
        with Path(os.environ[variable]).open("rb") as file:
            text = file.read(FILE_LIMIT_BYTES + 1).decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise SecretFileError(f"{variable} can't be read ({reason}): name a file that this user may read.") from None
    if not text or len(text) > FILE_LIMIT_BYTES:
        what = "too large" if text else "empty"
        raise SecretFileError(f"{variable} names a file that is {what}: write the secret into it.")
    return text
