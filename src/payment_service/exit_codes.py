"""The exit codes of all commands, for scripts. `docs/cli.md` lists them too."""

from __future__ import annotations

from typing import Final

DONE: Final = 0  # done, or done before
FAILED: Final = 1  # refused or failed
USAGE: Final = 2  # wrong usage or configuration
NOT_PREPARED: Final = 3  # the schema, the topics or the installation do not match
NOT_FOUND: Final = 4  # the object does not exist
NOT_NOW: Final = 5  # nothing was changed; retry soon
DIFFERENCES: Final = 6  # the comparison found differences; 1 means that it could not compare
INTERRUPTED: Final = 130  # interrupted by Ctrl-C; the shell's own convention
