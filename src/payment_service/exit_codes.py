"""How a command has ended, for scripts; docs/cli.md has these too."""

from __future__ import annotations

from typing import Final

DONE: Final = 0  # done, or done before
FAILED: Final = 1  # refused, or something broke
USAGE: Final = 2  # usage or configuration
NOT_PREPARED: Final = 3  # schema or topics are missing
NOT_FOUND: Final = 4  # there is no such thing
NOT_NOW: Final = 5  # nothing was changed; the same command will do in a moment
INTERRUPTED: Final = 130  # by Ctrl-C, before it was done; the shell's own convention
