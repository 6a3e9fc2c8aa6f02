"""A terminal with a shell in it, for a test that types what a page says."""

from __future__ import annotations

import os
import pty
import re
import signal
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from tests.support.eventually import eventually

CTRL_C: Final = b"\x03"


class Terminal:
    """A pseudo terminal. Everything that it shows is in `screen`; what is typed is not."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._shown = bytearray()
        self._typed = 0
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a suite in the background ignores it
            os.execve("/bin/sh", ["sh"], {**env, "PS1": "", "PS2": ""})  # noqa: S606 - the shell is the subject
        self._hide_typing()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _hide_typing(self) -> None:
        mode = termios.tcgetattr(self._fd)
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def _read(self) -> None:
        try:
            while part := os.read(self._fd, 65_536):
                self._shown += part
        except OSError:
            return  # the shell has ended

    @property
    def screen(self) -> str:
        """The text that the terminal has shown, without colors."""
        text = self._shown.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)

    def run(self, commands: str, *, timeout_s: float) -> None:
        """Type commands and wait for their end. The first that fails is an error."""
        self._typed += 1
        done = f"done-{self._typed}:"
        body = " && ".join(commands.splitlines())
        self.type(f"{body}; echo {done}$?.\n")
        eventually(lambda: re.search(rf"^{done}(\d+)\.$", self.screen, re.MULTILINE), timeout_s=timeout_s)
        assert f"{done}0." in self.screen, self.screen

    def type(self, text: str) -> None:
        """Type without waiting."""
        os.write(self._fd, text.encode())

    def interrupt(self, *, timeout_s: float) -> None:
        """Press Ctrl-C and wait for the end of the program in the foreground."""
        running = psutil.Process(self._pid).children()
        os.write(self._fd, CTRL_C)
        psutil.wait_procs(running, timeout=timeout_s)
        assert not any(process.is_running() for process in running), self.screen

    def close(self, *, timeout_s: float) -> None:
        """End the shell and the program in it, which may be at any point."""
        running = psutil.Process(self._pid).children()
        os.write(self._fd, CTRL_C)
        for process in psutil.wait_procs(running, timeout=timeout_s)[1]:
            process.kill()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)
