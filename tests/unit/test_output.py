"""Commands print ids that can be copied whole, and no control characters."""

from __future__ import annotations

import io
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.console import Console

from payment_service.commands import output

ID = "ae21913b-5b2f-5c29-8abf-153dfb1cfa87"


class Said(BaseModel):
    """A model that holds any text."""

    text: str


@given(st.text())
def test_any_text_is_shown_with_printable_characters_only(text: str) -> None:
    assert output.plain(text).isprintable()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_output_is_printable_ascii_with_the_same_content(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out := io.StringIO())
        output.print_json(Said(text=text))
    [line] = out.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line) == {"text": text}


@pytest.mark.parametrize("width", [50, 80, 200])
def test_an_id_is_never_wrapped_if_it_fits(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = io.StringIO()
    monkeypatch.setattr(output, "_console", lambda: Console(file=out, width=width, color_system=None))
    row = [UUID(ID), UUID(ID), "a reason of some length"]
    output.print_table("Parked", ("id", "payment", "reason"), [row, row])
    assert out.getvalue().count(ID) == 4


def test_an_empty_table_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("Parked", ("id",), [])
    assert capsys.readouterr().out == ""
