"""Rules for the source beyond those of the linters. Each rule states its reason."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from payment_service.http import docs

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src"
SERVICE: Final = SOURCE / "payment_service"
FUNCTION_LINES_MAX: Final = 70  # one screen
FILE_LINES_MAX: Final = 400
BUILT: Final = {"node_modules", "dist", "generated"}  # by npm

# Money is an integer of minor units, so code that handles amounts has no `float`.
FLOATLESS: Final = (
    "packages/payment-service-events/src",
    "src/payment_service/domain",
    "src/payment_service/contracts",
    "src/payment_service/bank_transfer",
    "src/payment_service/provider/stripe/amounts.py",
)
# Awaited inside a transaction, these calls would hold a connection and row locks for as long as they take.
REMOTE: Final = {"provider", "send", "sleep", "session", "client"}
RESIDUE: Final = re.compile(
    "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "brea" + "kpoint\\(", "\\.\\./sha" + "red"))
)
TEXT_SUFFIXES: Final = {".py", ".sql", ".md", ".toml", ".yaml", ".yml", ".html", ".in", ".sh", ""}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Return the Python files of these folders of the project, or all that this project maintains."""
    places = [ROOT / folder for folder in folders or ("src", "packages", "tests", "bench", "scripts")]
    return sorted(path for place in places for path in ([place] if place.is_file() else place.rglob("*.py")))


def parse(path: Path) -> ast.Module:
    """Read a file as Python."""
    return ast.parse(path.read_text(), filename=str(path))


def where(path: Path, node: ast.stmt | ast.expr) -> str:
    """Name a place in the form that editors understand."""
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{node.lineno}"


def floats(tree: ast.Module) -> Iterator[ast.expr]:
    """Find float literals and the name `float`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node
        if isinstance(node, ast.Name) and node.id == "float":
            yield node


def remote_awaits(tree: ast.Module) -> Iterator[ast.Await]:
    """Find awaited remote calls inside `async with ….transaction(…)`."""
    for block in ast.walk(tree):
        if isinstance(block, ast.AsyncWith) and any(_opens_transaction(item.context_expr) for item in block.items):
            inside = (node for statement in block.body for node in ast.walk(statement))
            yield from (node for node in inside if isinstance(node, ast.Await) and _names(node.value) & REMOTE)


def _opens_transaction(expression: ast.expr) -> bool:
    if not isinstance(expression, ast.Call):
        return False
    called = expression.func
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    return name.endswith("transaction")


def _names(expression: ast.expr) -> set[str]:
    """Return the names by which an awaited object is called, without those of its arguments."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    names = {node.id for node in ast.walk(called) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(called) if isinstance(node, ast.Attribute)}
    return {name.lstrip("_") for name in names | attributes}


def test_no_function_is_longer_than_a_screen() -> None:
    """A function that must be scrolled does two things."""
    lines = {
        where(path, node): (node.end_lineno or 0) - node.lineno
        for path in python_files()
        for node in ast.walk(parse(path))
        if isinstance(node, Function)
    }
    assert lines
    assert [place for place, count in lines.items() if count >= FUNCTION_LINES_MAX] == []


def test_no_file_is_too_long() -> None:
    """A file that needs a table of contents has two subjects."""
    others = [
        path
        for folder in ("src", "packages")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".css", ".html", ".js", ".mjs", ".sql", ".ts"}
        and path != docs.BUNDLE
        and not BUILT & set(path.parts)
    ]
    assert len(others) > 10
    assert [p.name for p in (*python_files(), *others) if len(p.read_text().splitlines()) > FILE_LINES_MAX] == []


@pytest.mark.invariant("I13")
def test_code_that_handles_money_has_no_floats() -> None:
    """In floats, 0.1 + 0.2 is not 0.3, so a sum could be a cent off."""
    files = [path for folder in FLOATLESS for path in python_files(folder)]
    assert all(path.exists() for path in files)
    assert len(files) > len(FLOATLESS)
    assert [where(path, node) for path in files for node in floats(parse(path))] == []


def test_no_remote_call_is_awaited_inside_a_transaction() -> None:
    """A transaction would stay open, and its connection in use, while a provider or a broker responds."""
    files = python_files("src/payment_service")
    assert [where(path, node) for path in files for node in remote_awaits(parse(path))] == []


def test_the_core_names_neither_bank_transfers_nor_their_tables() -> None:
    """A provider brings its own settings, tables, items and commands, so a new one touches no other module."""
    package = SERVICE / "bank_transfer"
    tables = re.findall(r"CREATE TABLE (\w+)", "".join(path.read_text() for path in package.glob("migrations/*.sql")))
    assert tables
    names = re.compile("|".join(("bank_transfer", "BankTransfer", "payment-service bank", *tables)), re.IGNORECASE)
    files = [path for path in SERVICE.rglob("*") if path.suffix in {".py", ".sql"}]
    named = [path for path in files if names.search(path.read_text())]
    assert package / "plugin.py" in named
    assert [str(path.relative_to(SERVICE)) for path in named if not path.is_relative_to(package)] == []


def test_no_unfinished_note_is_left() -> None:
    """A note to oneself belongs in an issue, where others see it."""
    folders = [ROOT / name for name in ("src", "packages", "tests", "bench", "scripts", "docs", "deploy", ".ci")]
    files = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in TEXT_SUFFIXES and not BUILT & set(path.parts)
    ]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".toml", ".yaml"}]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if RESIDUE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("async def f():\n async with db.transaction() as tx:\n  await self._provider.create(tx)", 1),
        ("async def f():\n async with transaction(pool) as tx:\n  if tx:\n   await provider.create(tx)", 1),
        ("async def f():\n async with db.transaction() as tx:\n  await record(tx, provider)", 0),
        ("async def f():\n async with db.transaction() as tx:\n  pass\n await provider.create()", 0),
    ],
)
def test_a_remote_call_in_a_transaction_is_detected(code: str, found: int) -> None:
    """A check that detects nothing would pass every file."""
    assert len(list(remote_awaits(ast.parse(code)))) == found


@pytest.mark.parametrize(("code", "found"), [("x = 0.5", 1), ("x = float('1')", 1), ("x: float", 1), ("x = 5", 0)])
def test_floats_are_detected(code: str, found: int) -> None:
    """Literals, calls and annotations all count."""
    assert len(list(floats(ast.parse(code)))) == found
