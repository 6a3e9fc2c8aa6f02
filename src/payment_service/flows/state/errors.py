"""The errors by which a flow refuses a request."""

from __future__ import annotations

from enum import StrEnum


class Unavailable(Exception):
    """The work cannot be done now. Repeat the request after `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(f"Not available now: retry in {retry_after_s} s.")
        self.retry_after_s = retry_after_s


class RefusalReason(StrEnum):
    """The reason for a refusal."""

    NOT_FOUND = "not_found"  # does not exist
    NOT_ALLOWED = "not_allowed"  # not in this state
    NEEDS_APPROVAL = "needs_approval"  # a second person decides within 24 hours
    NOT_YET = "not_yet"  # retry soon
    BUSY = "busy"  # too many requests, or a dependency does not respond; retry soon
    FORBIDDEN = "forbidden"  # above a limit of the caller
    TOO_MANY = "too_many"  # a limit of the caller is used up until a given time
    INVALID = "invalid"  # the request itself is wrong
    IN_PROGRESS = "in_progress"  # a request with the same key is in progress
    KEY_MISMATCH = "key_mismatch"  # the key was used for another request


class Refusal(Exception):
    """A refused change. Nothing was written. The message is one sentence that says what to do."""

    def __init__(self, reason: RefusalReason, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s
