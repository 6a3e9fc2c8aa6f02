"""Read docs/api.md: its commands, each with the response shown below it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "api.md"
_SHOWN: Final = re.compile(r"^```sh\n(.*?)^```\n```http\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    """A response as `curl -i` prints it. The page leaves out uninteresting headers."""

    status: str
    headers: dict[str, str]
    body: Any

    @classmethod
    def read(cls, text: str) -> Shown:
        """Parse the output of curl, or a block of the page."""
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        status, *lines = head.splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return cls(status, headers, json.loads(body))


def steps() -> list[tuple[str, Shown]]:
    """Return the commands of the page, in order, with their responses."""
    return [(command, Shown.read(answer)) for command, answer in _SHOWN.findall(PAGE.read_text())]


def difference(shown: Any, real: Any, path: str = "$") -> list[str]:
    """Return where a real body differs in fields, types or kinds of entries from the one shown, ignoring values."""
    if isinstance(shown, dict) and isinstance(real, dict):
        if shown.keys() != real.keys():
            return [f"{path}: {sorted(shown)} is shown, {sorted(real)} came"]
        return [found for name in shown for found in difference(shown[name], real[name], f"{path}.{name}")]
    if isinstance(shown, list) and isinstance(real, list):
        if len(shown) != len(real):
            return [f"{path}: {len(shown)} are shown, {len(real)} came"]
        return [
            found
            for number, (one, other) in enumerate(zip(shown, real, strict=True))
            for found in difference(one, other, f"{path}[{number}]")
        ]
    kinds = {type(shown), type(real)}
    return [] if len(kinds) == 1 or type(None) in kinds else [f"{path}: {shown!r} is shown, {real!r} came"]
