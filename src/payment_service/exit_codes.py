"""Exit codes of commands, for scripts; docs/cli.md lists them too."""

from __future__ import annotations

from typing import Final

DONE: Final = 0  # done, now or before
FAILED: Final = 1  # refused or failed
USAGE: Final = 2  # usage or configuration
NOT_PREPARED: Final = 3  # schema or topics are missing
NOT_FOUND: Final = 4  # the object does not exist
NOT_NOW: Final = 5  # nothing was changed; retry the same command shortly
INTERRUPTED: Final = 130  # by Ctrl-C, before it was done; the shell's own convention
