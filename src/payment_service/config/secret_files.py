"""Secrets from files, as container platforms provide them: `NAME_FILE` is the path of the file that contains NAME."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

FILE_SUFFIX: Final = "_FILE"
# Keys, connection strings and webhook secrets have hundreds of bytes; a larger file is the wrong file.
FILE_LIMIT_BYTES: Final = 16_384


class SecretFileError(Exception):
    """A secret file cannot be read; the message names the variable and the reason."""


def is_secret(field: FieldInfo) -> bool:
    """Return True if a setting contains secrets: they are masked, and may come from a file."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


def read_secrets(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Read the settings that the environment provides in files. Raises SecretFileError."""
    secrets = [name.upper() for name, field in fields.items() if is_secret(field)]
    return {name.lower(): _read(name) for name in secrets if os.environ.get(name + FILE_SUFFIX)}


def read_named(prefix: str) -> dict[str, str]:
    """Read every variable with this prefix, directly or from its NAME_FILE. Raises SecretFileError."""
    names = {name.removesuffix(FILE_SUFFIX) for name, value in os.environ.items() if name.startswith(prefix) and value}
    return {
        name: _read(name) if os.environ.get(name + FILE_SUFFIX) else os.environ[name]
        for name in sorted(names - {prefix})
    }


def _read(name: str) -> str:
    """Read one secret without the line end that editors add."""
    variable = name + FILE_SUFFIX
    if os.environ.get(name):
        raise SecretFileError(f"{name} and {variable} are both set: remove one of them.")
    # Messages do not repeat the path: it may be the secret itself, set in the wrong variable.
    try:
        with Path(os.environ[variable]).open("rb") as file:
            text = file.read(FILE_LIMIT_BYTES + 1).decode().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SecretFileError(
            f"{variable} cannot be read: {reason}. Check the path and the file's permissions."
        ) from None
    if not text or len(text) > FILE_LIMIT_BYTES:
        what = "too large" if text else "empty"
        raise SecretFileError(f"{variable} names a file that is {what}: write the secret into it.")
    return text
