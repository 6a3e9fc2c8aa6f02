"""Named moments at which a test kills the process, to see what the others make of it.

`CRASH_AT=name` (or `name:3` for the third time) in the environment arms one; without it every call is a comparison with None.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

_ARMED, _, _times = os.environ.get("CRASH_AT", "").partition(":")
_countdown: Final = {_ARMED: int(_times or "1")} if _ARMED else None


def reached(name: str) -> None:
    """Die by SIGKILL if this is the armed moment; the name goes to stderr first, so that a test knows it was here."""
    if _countdown is None or name not in _countdown:
        return
    _countdown[name] -= 1
    if _countdown[name] > 0:
        return
    sys.stderr.write(f"crash point reached: {name}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)
