"""Named moments at which a test kills the process.

`CRASH_AT=name` (or `name:3` for the third time) in the environment arms one. Without it every call is a comparison with
None.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

_ARMED, _, _times = os.environ.get("CRASH_AT", "").partition(":")
_countdown: Final = {_ARMED: int(_times or "1")} if _ARMED else None


def reached(name: str) -> None:
    """Die by SIGKILL at the armed moment. Write its name to stderr first, so that a test can see it."""
    if _countdown is None or name not in _countdown:
        return
    _countdown[name] -= 1
    if _countdown[name] > 0:
        return
    sys.stderr.write(f"crash point reached: {name}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)
