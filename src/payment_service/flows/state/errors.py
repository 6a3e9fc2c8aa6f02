"""How a flow says no to its caller."""

from __future__ import annotations

from enum import StrEnum


class Unavailable(Exception):
    """The work can't be done now; the same request will do in `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(f"Not available now; try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class RefusalReason(StrEnum):
    """Why a change is refused."""

    NOT_FOUND = "not_found"  # there is no such thing
    NOT_ALLOWED = "not_allowed"  # not in this state
    NOT_YET = "not_yet"  # in a moment
    BUSY = "busy"  # too much, or somebody we need does not answer; in a moment
    INVALID = "invalid"  # never as it was asked
    IN_PROGRESS = "in_progress"  # the same key is at work
    KEY_MISMATCH = "key_mismatch"  # the key was used for something else


class Refusal(Exception):
    """A change that was asked for is not made; nothing was written. The message is one sentence that says what to do."""

    def __init__(self, reason: RefusalReason, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s
