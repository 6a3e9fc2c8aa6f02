"""Every invariant of ARCHITECTURE.md has a statement, a number and at least one test that carries its marker."""

from __future__ import annotations

from scripts.document_invariants import PATH, ROOT, collect, document, marked, statements

STATEMENTS = statements((ROOT / "ARCHITECTURE.md").read_text())


def test_the_page_of_invariants_is_current() -> None:
    assert PATH.read_text() == document(), "Run `make docs`."


def test_invariants_are_numbered_without_gaps() -> None:
    assert STATEMENTS
    assert list(STATEMENTS) == [f"I{number}" for number in range(1, len(STATEMENTS) + 1)]


def test_every_invariant_has_a_test_and_every_marker_an_invariant() -> None:
    assert set(collect(ROOT / "tests")) == set(STATEMENTS)


def test_markers_are_found_on_functions_methods_and_coroutines() -> None:
    source = """
@pytest.mark.invariant("I1")
@pytest.mark.invariant("I2")
def test_a(): ...

class TestB:
    @pytest.mark.kafka
    @pytest.mark.invariant("I3")
    async def test_c(self): ...

@pytest.mark.kafka
def test_d(): ...
"""
    assert set(marked(source)) == {("I1", "test_a"), ("I2", "test_a"), ("I3", "test_c")}


def test_statements_end_at_a_blank_line() -> None:
    text = "**I1** A statement\nover two lines.\n\n**I2** Another.\n\n## Rules\n"
    assert statements(text) == {"I1": "A statement over two lines.", "I2": "Another."}
