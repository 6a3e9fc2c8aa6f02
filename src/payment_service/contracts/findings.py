"""The lines of the report of `payment-service doctor`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Verdict(StrEnum):
    """The result of a check. Only `FAILED` makes the exit code 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the report: the subject, the finding and the fix."""

    verdict: Verdict
    subject: str
    found: str
    fix: str = ""


Findings: TypeAlias = AsyncIterator[Finding]
