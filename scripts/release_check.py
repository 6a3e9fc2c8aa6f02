"""Is this working copy fit to be released? `make release-check` runs it; nothing is published, and nothing is changed but papers.

First what takes seconds, all of it told at once; then `.ci/run`, which says what could not be tried here. Exit code 0: release it; 1: not yet, with what to do.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

from scripts.release_contracts import RELEASED, made_now, read, version

ROOT: Final = Path(__file__).resolve().parents[1]


def problems() -> Iterator[str]:
    """Give what must be mended before the slow part is worth its time, each as one sentence that says how."""
    if git("status", "--porcelain"):
        yield "The working copy has changes: commit them, or remove them."
    if git("tag", "--list", f"v{version()}"):
        yield f"{version()} was released already: name the next version in pyproject.toml."
    if problem := in_changelog(version(), (ROOT / "CHANGELOG.md").read_text()):
        yield problem
    if not (RELEASED / version()).exists() or read(RELEASED / version()) != made_now():
        yield f"schemas/released/{version()} is not what the code makes: run `python -m scripts.release_contracts` and commit it."
    run("make", "docs")
    if stale := git("diff", "--name-only"):
        yield f"Papers were not up to date, and are now: commit {', '.join(stale.split())}."
    yield from (f"{name} names no licence: look it up." for name, licence in licences().items() if not licence)


def in_changelog(name: str, text: str) -> str:
    """Say what the changelog lacks for a version to be released; nothing: empty."""
    if re.search(rf"^## \[{re.escape(name)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE):
        return ""
    return f"CHANGELOG.md has no heading `## [{name}] - YYYY-MM-DD`: write it in the place of [Unreleased]."


def licences() -> dict[str, str]:
    """Give the licence of each library that is shipped in the image, as it says itself; empty: it says none."""
    text = (ROOT / "requirements" / "service.txt").read_text()
    found: dict[str, str] = {}
    for name in re.findall(r"^([a-z0-9][\w.-]*)(?:\[[\w,]+\])?==", text, re.MULTILINE):
        try:
            found[name] = _licence(name)
        except PackageNotFoundError:
            continue  # pinned for another platform
    return found


def _licence(name: str) -> str:
    about = metadata(name).json
    classifiers = [line for line in about.get("classifier", []) if line.startswith("License :: OSI Approved")]
    named = ", ".join(line.rpartition(" :: ")[2] for line in classifiers)
    return str(about.get("license_expression") or named or str(about.get("license", "")).partition("\n")[0])


def git(*arguments: str) -> str:
    """Give what git says, without the end of its last line."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str) -> int:
    """Run a command where its output is seen, and give its exit code."""
    print(f"release-check: {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Check everything, and give the exit code."""
    for name, licence in licences().items():
        print(f"  {name:<28}{licence}")
    if found := list(problems()):
        for problem in found:
            print(f"release-check: {problem}")
        return 1
    if run(".ci/run") != 0:
        print("release-check: .ci/run failed, see above.")
        return 1
    print(f"release-check: {version()} can be released (docs/releasing.md).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
