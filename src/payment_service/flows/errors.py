"""What a caller of a flow may have to wait for."""

from __future__ import annotations


class Unavailable(Exception):
    """The work can't be done now; the same request will do in `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(f"Not available now; try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
