"""Errors in the words of PostgreSQL, the network or the operating system, for messages and logs."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LIMIT_CHARACTERS: Final = 300

# By SQLSTATE, or its class: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "25006": "Let DB_DSN name the primary, and run `payment-service doctor`",
        "28": "Check the user and the password in DB_DSN, and the server's pg_hba.conf",
        "3D": "Create the database, or correct its name in DB_DSN",
        "42501": "Run `payment-service doctor` for the missing privileges",
        "42P01": "Run `payment-service migrate`",
        "42703": "Run `payment-service migrate`",
        "53100": "Free space on the server's disk",
        "53200": "Give the server more memory, or lower DB_POOL_SIZE",
        "53300": "Raise the server's max_connections, or lower DB_POOL_SIZE or the number of replicas",
        "55P03": "Run `payment-service doctor`, which names the session that holds the lock",
        "57014": "Run `payment-service doctor`, and look for a busy server or a slow disk",
        "57P": "Wait until the server is up; the service connects again by itself",
        "58": "Look into the server's log: its disk may have failed",
        "XX": "Look into the server's log: its files may be damaged",
    }
)
# SQLSTATEs without which no statement runs: no connection, no login, no database, no free session, no running server.
_NOT_CONNECTED: Final = ("08", "28", "3D", "53300", "57P")
_CHECK_SERVER: Final = "Check DB_DSN and that the server runs"

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def describe_error(error: BaseException) -> str:
    """Return one line without a full stop. It never contains the name of a Python class."""
    if isinstance(error, TimeoutError):
        return "timed out"
    text = " ".join(str(error).split())
    if isinstance(error, OSError):
        number = error.errno or next((int(found[1]) for found in _ERRNO.finditer(text)), None)
        text = os.strerror(number) if number and number > 0 else error.strerror or text
    return text[:LIMIT_CHARACTERS].rstrip(".") or "no details are known"


def explain_database_error(error: BaseException) -> str:
    """Return two sentences: what PostgreSQL or the network says, and what to do."""
    state = getattr(error, "sqlstate", None)
    refused = isinstance(state, str) and not state.startswith(_NOT_CONNECTED)
    what = "PostgreSQL refused the request" if refused else "Cannot connect to PostgreSQL"
    return f"{what}: {describe_error(error)}. {_cure(error)}."


def error_fields(error: BaseException) -> dict[str, str]:
    """Return the fields of a log line: the words and the cure of a database's error, or the class and text of a defect."""
    if isinstance(getattr(error, "sqlstate", None), str):
        return {"error": describe_error(error), "fix": _cure(error)}
    if isinstance(error, OSError):
        return {"error": describe_error(error)}
    return {"error": type(error).__name__, "detail": describe_error(error)}


def _cure(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None) or ""
    for length in (5, 3, 2):
        if cure := _CURES.get(state[:length]):
            return cure
    if isinstance(error, socket.gaierror):
        return "Check the host in DB_DSN, and the name server"
    if isinstance(error, ssl.SSLError):
        return "Check sslmode and sslrootcert in DB_DSN"
    if isinstance(error, TimeoutError):
        return "Check the host and port in DB_DSN, the network and the server's load"
    return "Look into the server's log" if state else _CHECK_SERVER
