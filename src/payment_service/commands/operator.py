"""The person at the command line, for the audit: who changes something, and why."""

from __future__ import annotations

import os
import pwd
import re
import socket
import sys
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from payment_service.config.config import ConfigError
from payment_service.db.audit import Actor
from payment_service.domain.guard import clean
from payment_service.http.bodies import Line

# Owner of the idempotency keys of commands. The API creates no key for a client of this name.
CLIENT: Final = "cli"
AS_VARIABLE: Final = "PAYMENT_SERVICE_AS"
_NAME: Final = re.compile(r"[\w.@+-]{1,64}")
# Files and variables that container runtimes set. All processes of a container run under one account, which names nobody.
_CONTAINER_FILES: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
_CONTAINER_VARIABLE: Final = "KUBERNETES_SERVICE_HOST"

# The options of the running command.
_given: Final = {"person": "", "why": ""}


def set_person(name: str) -> None:
    """Take the name of `--as`. Raises ConfigError."""
    _given["person"] = _checked(name, "--as")


def set_why(why: str) -> None:
    """Take the reason of `--why`. Raises ConfigError."""
    try:
        _given["why"] = TypeAdapter(Line).validate_python(why)
    except ValidationError:
        raise ConfigError("--why takes one line of at most 200 characters, without card numbers.") from None


def actor() -> Actor:
    """Return the person for the audit, and ask on a terminal if nothing names one. Raises ConfigError.

    The address is the account and the host, which a person cannot choose by an option.
    """
    person = _given["person"] or _from_environment() or _login() or _ask()
    return Actor(client=CLIENT, person=person, address=f"{_account()}@{socket.gethostname()}"[:255], why=_given["why"])


def _from_environment() -> str:
    name = os.environ.get(AS_VARIABLE, "")
    return _checked(name, AS_VARIABLE) if name else ""


def _login() -> str:
    """Return the login that authenticated on this terminal, before `sudo` or `su`; empty if there is none."""
    if any(file.exists() for file in _CONTAINER_FILES) or _CONTAINER_VARIABLE in os.environ:
        return ""
    try:
        # The kernel keeps the first login of a session (/proc/self/loginuid), whatever account runs the command.
        name = os.getlogin()
    except OSError:
        name = os.environ.get("SUDO_USER", "") if os.getuid() == 0 else ""
    return name if _NAME.fullmatch(name) and clean(name) == name else ""


def _ask() -> str:
    if not sys.stdin.isatty():
        message = f"The audit needs the person who makes this change: use --as NAME, or set {AS_VARIABLE}."
        raise ConfigError(message)
    sys.stderr.write("Your name, for the audit: ")
    sys.stderr.flush()
    _given["person"] = _checked(sys.stdin.readline().strip(), "The name")
    return _given["person"]


def _checked(name: str, source: str) -> str:
    if not _NAME.fullmatch(name) or clean(name) != name:
        raise ConfigError(
            f"{source} takes a name of 1 to 64 letters, digits and . @ + - _ without spaces or card numbers, such as ada."
        )
    return name


def _account() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
