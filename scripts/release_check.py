"""Check whether this working copy can be released. `make release-check` runs it; it publishes nothing.

Quick checks run first and report all problems at once. Then `.ci/run` runs, and reports the stages that cannot run here. At last,
`make release` builds the artifacts. Exit code 0: release it; 1: not yet, with the steps to take.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final

from scripts.install import PACKAGES
from scripts.release_contracts import RELEASED, made_now, read, version

ROOT: Final = Path(__file__).resolve().parents[1]
PROJECTS: Final = (ROOT / "pyproject.toml", *(ROOT / folder / "pyproject.toml" for folder in PACKAGES))


def problems() -> Iterator[str]:
    """Yield each problem to fix before the slow part, as one sentence that says how."""
    if git("status", "--porcelain"):
        yield "The working copy has changes: commit them, or remove them."
    yield from other_versions(version(), {path: path.read_text() for path in PROJECTS})
    if git("tag", "--list", f"v{version()}"):
        yield f"{version()} was released already: name the next version in every pyproject.toml."
    if problem := in_changelog(version(), (ROOT / "CHANGELOG.md").read_text()):
        yield problem
    if not (RELEASED / version()).exists() or read(RELEASED / version()) != made_now():
        yield f"schemas/released/{version()} is not what the code makes: run `python -m scripts.release_contracts` and commit it."
    run("make", "docs")
    if stale := git("diff", "--name-only"):
        yield f"Generated docs were out of date, and were written again: commit {', '.join(stale.split())}."
    yield from (f"{name} names no license: look it up." for name, licence in licences().items() if not licence)


def other_versions(name: str, projects: Mapping[Path, str]) -> Iterator[str]:
    """Yield each pyproject.toml whose version, or whose dependency on another wheel, is not the version to release."""
    for path, text in projects.items():
        found = re.findall(
            r'^version = "(.+)"$|"(?:payment-service|stripe-sandbox)[\w-]*==([^"]+)"', text, re.MULTILINE
        )
        if other := {number for pair in found for number in pair if number} - {name}:
            yield f"{path.relative_to(ROOT)} names {', '.join(sorted(other))}: write {name}, as in pyproject.toml."


def in_changelog(name: str, text: str) -> str:
    """Return the problem with the changelog, or an empty text."""
    if re.search(rf"^## \[{re.escape(name)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE):
        return ""
    return f"CHANGELOG.md has no heading `## [{name}] - YYYY-MM-DD`: write it below `## [Unreleased]`."


def licences() -> dict[str, str]:
    """Return the license that each library of the image declares; an empty text if it declares none."""
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
    """Return the output of git, without its last line end."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str) -> int:
    """Run a command with visible output, and return its exit code."""
    print(f"release-check: {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    """Check everything, and return the exit code."""
    for name, licence in licences().items():
        print(f"  {name:<28}{licence}")
    if found := list(problems()):
        for problem in found:
            print(f"release-check: {problem}")
        return 1
    if run(".ci/run") != 0:
        print("release-check: .ci/run failed, see above.")
        return 1
    if run("make", "release") != 0:
        print("release-check: make release failed, see above.")
        return 1
    print(f"release-check: {version()} can be released, and dist/ has it (docs/releasing.md).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
