"""Check that the tests detect known defects: `make mutants`.

Each patch in `tests/mutants/` plants one defect in a copy of this working copy. Its header says what the defect is and names
the tests that must fail with it:

    Send a retry under a new idempotency key.
    Fails: tests/unit/test_x.py::test_y

Only exit code 1 of pytest counts as a failure: a test that is missing or cannot be collected detects nothing. The named tests
run in the process of pytest, since processes that they start import the original source.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "tests" / "mutants"
FAILED: Final = 1  # pytest's exit code if tests ran and some failed
TEST_TIMEOUT_S: Final = 600  # of one named test; it takes seconds, but a test machine may be shared
_TEST: Final = re.compile(r"^Fails: (\S.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A defect, and the tests that must fail with it."""

    path: Path
    defect: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name of the patch."""
        return self.path.stem


def read(path: Path) -> Mutant:
    """Read the header of a patch: lines of text up to the first `diff`."""
    header = path.read_text().partition("\ndiff ")[0]
    defect = " ".join(line for line in header.splitlines() if line and not line.startswith("Fails: "))
    return Mutant(path=path, defect=defect, tests=tuple(_TEST.findall(header)))


def mutants() -> list[Mutant]:
    """Return all mutants, by name."""
    return [read(path) for path in sorted(FOLDER.glob("*.patch"))]


def apply(mutant: Mutant, tree: Path, *options: str) -> str:
    """Apply a patch in a tree, or revert or check it. Return git's error, or an empty string."""
    done = subprocess.run(
        ["git", "apply", *options, str(mutant.path)], cwd=tree, capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def copy_tree(tree: Path) -> None:
    """Copy the files that git would commit, changed ones included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def run_tests(tree: Path, *tests: str, shown: bool = False) -> int:
    """Run tests on the source of a tree, with their output or without. Return pytest's exit code."""
    sources = [tree / "src", *sorted((tree / "packages").glob("*/src"))]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sources))},
        stdout=None if shown else subprocess.DEVNULL,
        stderr=None if shown else subprocess.DEVNULL,
        timeout=TEST_TIMEOUT_S * len(tests),
        check=False,
    )
    return done.returncode


def problem_of(mutant: Mutant, tree: Path) -> str:
    """Plant the defect, run its tests, and remove it. Return what is wrong, or an empty string."""
    if error := apply(mutant, tree):
        return f"does not apply: {error}"
    try:
        passed = [test for test in mutant.tests if run_tests(tree, test) != FAILED]
    finally:
        apply(mutant, tree, "--reverse")
    return f"survives {', '.join(passed)}" if passed else ""


def select(names: list[str]) -> list[Mutant]:
    """Return the mutants of these names, or all. Raise SystemExit for an unknown name."""
    known = {mutant.name: mutant for mutant in mutants()}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"No such mutant: {', '.join(unknown)}. Choose from: {', '.join(known)}.")
    return [known[name] for name in names] if names else list(known.values())


def main(names: list[str]) -> int:
    """Check the named mutants, or all. Return the exit code."""
    chosen, problems = select(names), 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        print("Without any mutant, the named tests pass:", flush=True)
        if run_tests(tree, *tests, shown=True) != 0:
            print("The named tests must pass without any mutant: fix them first.")
            return 1
        for mutant in chosen:
            problem = problem_of(mutant, tree)
            problems += bool(problem)
            print(f"{'SURVIVED' if problem else 'killed'}  {mutant.name}  {problem}".rstrip(), flush=True)
    print(f"{len(chosen) - problems} of {len(chosen)} mutants killed.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
