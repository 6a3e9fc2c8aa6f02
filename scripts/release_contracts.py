"""Store the schemas of the version in pyproject.toml as a release: `python -m scripts.release_contracts`.

From then on a test fails for each change that would break users of these schemas. The schemas of a version can be stored again
until it has its tag.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from payment_service.contracts.schemas import all_schemas, is_read
from scripts import api_contract
from scripts.compatibility import Schema, Side, broken_by
from scripts.document_api import OPENAPI, described

ROOT: Final = Path(__file__).resolve().parents[1]
SCHEMAS: Final = ROOT / "schemas"
RELEASED: Final = SCHEMAS / "released"


def version() -> str:
    """Return the version in pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def releases(folder: Path = RELEASED) -> list[Path]:
    """Return the folders of the releases, oldest first. The list is empty until the first release."""
    folders = (path for path in folder.iterdir() if path.is_dir())
    return sorted(folders, key=lambda path: [int(part) for part in path.name.split(".")])


def read(folder: Path) -> dict[str, Schema]:
    """Return the schemas of a folder by name, including those of the API."""
    found = {path.name.removesuffix(".json"): json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return found | api_contract.parts(found.pop(OPENAPI.stem))


def made_now() -> dict[str, Schema]:
    """Return the current schemas of models and routes."""
    return all_schemas() | api_contract.parts(described())


def broken_since(release: Path) -> list[str]:
    """Return the breaks of the current schemas against a release."""
    old = read(release)
    return broken_by(old, made_now(), {name: _side(name) for name in old})


def _side(name: str) -> Side:
    return Side.READS if is_read(name) or api_contract.is_read(name) else Side.WRITES


def is_released(name: str) -> bool:
    """Return True if the version has its tag, the last step of a release."""
    command = ["git", "tag", "--list", f"v{name}"]
    return bool(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def keep(folder: Path) -> None:
    """Write the current contracts to `folder` and replace what it held before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (*SCHEMAS.glob("*.json"), OPENAPI):
        shutil.copyfile(path, folder / path.name)


def main() -> int:
    """Copy the schemas and return the exit code."""
    if is_released(version()):
        print(f"release_contracts: {version()} is released and never changes; name the next version in pyproject.toml.")
        return 1
    keep(RELEASED / version())
    print(f"release_contracts: kept the schemas of {version()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
