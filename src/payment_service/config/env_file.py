"""Variables from a file of `NAME=value` lines, as Docker, Compose and systemd read them."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv.parser import parse_stream

from payment_service.config.sections import ConfigError


def load_env_file(path: Path) -> None:
    """Add a file's variables to the environment, which takes precedence. Raises ConfigError.

    Values are literal: a password may contain `$`. A message never repeats a line, which may be a secret.
    """
    try:
        with path.open(encoding="utf-8") as file:
            bindings = list(parse_stream(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"--env-file {path} cannot be read: {reason}. Check the path and the permissions.") from None
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            line = binding.original.line
            raise ConfigError(f"Line {line} of {path} is not NAME=value: correct it, or begin it with # as a comment.")
    for binding in bindings:
        if binding.key and binding.value is not None:
            os.environ.setdefault(binding.key, binding.value)
