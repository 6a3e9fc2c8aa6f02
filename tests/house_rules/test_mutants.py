"""Each known defect in `tests/mutants/` can still be planted, and its tests exist. `make mutants` runs them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

import pytest

from scripts.mutants import FOLDER, Mutant, apply, mutants, read

ROOT: Final = Path(__file__).parents[2]
MUTANTS: Final = mutants()


def missing_tests(mutant: Mutant) -> list[str]:
    """Return the named tests that do not exist."""
    return [test for test in mutant.tests if not _exists(*test.partition("[")[0].split("::"))]


def _exists(file: str, name: str) -> bool:
    path = ROOT / file
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return path.is_file() and any(
        isinstance(node, functions) and node.name == name for node in ast.parse(path.read_text()).body
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_defect_applies_and_its_tests_exist(mutant: Mutant) -> None:
    """After a change of the source, edit the patch: plant the same defect in the new source."""
    assert apply(mutant, ROOT, "--check") == ""
    assert missing_tests(mutant) == []
    assert mutant.tests
    assert mutant.defect.endswith(".")


def test_only_patches_are_in_the_folder() -> None:
    assert MUTANTS
    assert [path.name for path in FOLDER.iterdir() if path.suffix != ".patch"] == []


def test_a_patch_that_does_not_apply_and_a_missing_test_are_detected(tmp_path: Path) -> None:
    """A check that detects nothing would pass every patch."""
    path = tmp_path / "stale.patch"
    path.write_text(MUTANTS[0].path.read_text().replace("\n-  ", "\n-not in the source"))
    assert "patch does not apply" in apply(read(path), ROOT, "--check")
    path.write_text("A defect.\nFails: tests/unit/test_window.py::test_nothing[one]\n\ndiff --git a/x b/x\n")
    assert missing_tests(read(path)) == ["tests/unit/test_window.py::test_nothing[one]"]
