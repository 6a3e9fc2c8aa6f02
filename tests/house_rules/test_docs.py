"""Tests, functions, files, links, commands and records that the docs name exist."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from starlette.routing import Route

from payment_service import cli
from payment_service.doctor.checks import TYPES_NEEDED
from payment_service.domain.ids import payment_id
from payment_service.domain.order import Reason
from payment_service.domain.payment import Status
from payment_service.domain.payment_event import PaymentEvent
from payment_service.flows.state.outbox_records import outbox_record
from payment_service.http.app import build_operations_app
from payment_service_events.published_events import Succeeded
from scripts.document_api import public_app
from scripts.document_states import SAMPLE
from scripts.site.pages import HOME, PARTS

ROOT: Final = Path(__file__).parents[2]
SERVICE: Final = ROOT / "src" / "payment_service"
PACKAGES: Final = sorted((ROOT / "packages").glob("*/src/*/"))
DOCS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packages").glob("*/*.md")])

TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
FUNCTION: Final = re.compile(r"`((?:src/|tests/|scripts/|bench/)?[\w/]+\.py):([\w.]+)`")
CODE_PATH: Final = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|sql|md|toml|yaml)|(?:[\w.-]+/)+)`")
# Folders that a target of make writes.
BUILT: Final = {"dist/"}
LINK: Final = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
FENCED: Final = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
COMMAND: Final = re.compile(r"^ *(?:[-|] *)?`?payment-service ((?:[a-z]+ ?)+)", re.MULTILINE)
TARGET: Final = re.compile(r"`make ([a-z-]+)")
README_LINES_MAX: Final = 60


def page(name: str) -> str:
    return (ROOT / name).read_text()


def between(name: str, mark: str) -> str:
    """Return the part of a page between two marks, which are comments in its source."""
    return page(name).partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0]


def located(path: str) -> Path | None:
    """Find a path as the docs write it: from the root, or from the service's folder."""
    return next((base / path for base in (ROOT, SERVICE, *PACKAGES) if (base / path).exists()), None)


@cache
def names(path: Path) -> frozenset[str]:
    """Return the functions and classes of a file, and methods with their class."""
    return frozenset(_names(ast.parse(path.read_text()).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{node.name}.")


def commands() -> set[str]:
    """Return every command of the command line, and groups with their commands."""
    found = {name.replace("_", "-") for command in cli.app.registered_commands if (name := _name(command))}
    for group in cli.app.registered_groups:
        assert group.typer_instance is not None
        found |= {f"{group.name} {_name(command)}" for command in group.typer_instance.registered_commands}
    return found


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_file_and_function_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text()
    absent = [f"{file}::{test}" for file, test in TEST.findall(text) if not _holds(ROOT / file, test)]
    absent += [f"{file}:{name}" for file, name in FUNCTION.findall(text) if not _holds(located(file), name)]
    absent += [name for name in CODE_PATH.findall(text) if "/" in name and name not in BUILT and located(name) is None]
    assert absent == []


def _holds(file: Path | None, name: str) -> bool:
    return file is not None and file.exists() and name in names(file)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_resolves(path: Path) -> None:
    """A link leads to a file, and its anchor to a heading of that page."""
    assert broken_links(path, path.read_text()) == []


def broken_links(path: Path, text: str) -> list[str]:
    """Return the links of a page that do not resolve."""
    return [
        f"{link}#{anchor}"
        for link, anchor in LINK.findall(FENCED.sub("", text))
        if not (path.parent / link).exists() or (anchor and anchor not in anchors(_target(path, link) or text))
    ]


def _target(path: Path, link: str) -> str:
    """Return the text that a link leads to; empty for the page itself."""
    return (path.parent / link).read_text() if link else ""


def anchors(text: str) -> list[str]:
    """Return the anchors of a page's headings, as GitHub makes them; repeated headings get a number."""
    headings = re.findall(r"^#+ (.+?)\s*$", FENCED.sub("", text), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return [
        name if (before := plain[:index].count(name)) == 0 else f"{name}-{before}" for index, name in enumerate(plain)
    ]


def test_a_broken_link_is_detected() -> None:
    """A check that detects nothing would pass every page."""
    text = "# A `name`, twice\n# A name twice\n[a](#a-name-twice-1) [b](CHANGELOG.md) [c](none.md) [d](#none) [e](README.md#none)"
    assert broken_links(ROOT / "page.md", text) == ["none.md#", "#none", "README.md#none"]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_make_target_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text()
    known = commands()
    absent = [
        words
        for words in COMMAND.findall(text)
        if not any(f"{words.strip()} ".startswith(f"{command} ") for command in known)
    ]
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    assert absent + [name for name in TARGET.findall(text) if name not in targets] == []


def test_the_records_page_lists_every_reason_of_a_dead_letter() -> None:
    assert re.findall(r"`(\w+)`", between("docs/records.md", "reasons")) == [str(reason) for reason in Reason]


def test_the_installation_page_lists_the_events_that_the_webhook_needs() -> None:
    assert set(re.findall(r"`([\w.]+)`", between("docs/installing.md", "events"))) == TYPES_NEEDED


def test_the_installation_page_lists_the_routes_of_the_metrics_port() -> None:
    def unused(*_: object) -> Any:
        raise NotImplementedError

    operations = build_operations_app(readiness=unused, openapi_of=public_app())
    text = page("docs/installing.md").partition("On `METRICS_PORT`:")[2].partition("## ")[0]
    routes = {route.path for route in operations.routes if isinstance(route, Route)}
    assert routes - {"/docs/{name}"} == set(re.findall(r"`(/[\w.]+)`", text))


def test_the_example_record_equals_a_published_one() -> None:
    """Ids, names and order are the same, so that a consumer can be written from the example."""
    head, value = re.findall(r"```\w*\n(.*?)\n```", between("docs/records.md", "example"), re.DOTALL)
    shown = [tuple(line.split(maxsplit=1)) for line in head.splitlines()]
    payment = replace(
        SAMPLE,
        id=payment_id("default", "order-1001", 1),
        order_id="order-1001",
        user_id="user-7",
        status=Status.SUCCEEDED,
        captured=SAMPLE.amount,
        sequence=2,
        provider_payment_id="pi_3SxYz1",
    )
    succeeded = Succeeded(
        amount=SAMPLE.amount,
        amount_ordered=SAMPLE.amount,
        payment_date=datetime(2026, 12, 25, 14, 0, 1, tzinfo=UTC),
        payment_method="card",
        provider_id="pi_3SxYz1",
        payment_method_id="pm_1SxYz1",
    )
    event = PaymentEvent("pi_3SxYz1:succeeded", succeeded)
    now = datetime(2026, 12, 25, 14, 0, 2, 417_000, tzinfo=UTC)
    record = outbox_record(payment, event, deployment="default", now=now)
    assert record.key is not None
    assert shown == [("key", record.key.decode()), *((name, (text or b"").decode()) for name, text in record.headers)]
    assert value.encode() == record.value
    assert json.loads(value)


def test_every_log_event_that_the_runbook_names_exists() -> None:
    source = "".join(path.read_text() for path in SERVICE.rglob("*.py"))
    lists = re.findall(r"\blog (?:says? )?((?:`\w+`[^`.;]*)+)", " ".join(page("docs/runbook.md").split()))
    named = [name for names in lists for name in re.findall(r"`(\w+)`", names)]
    assert len(named) > 5
    assert [name for name in named if f'"{name}"' not in source and not name.startswith("payments_")] == []


def test_every_decision_record_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    linked = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert linked == {path.name for path in folder.glob("[0-9]*.md")}


def test_every_part_of_the_service_is_on_the_code_map() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", page("ARCHITECTURE.md").partition("## Code map")[2], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    parts = {f"{path.name}/" if path.is_dir() else path.name for path in SERVICE.iterdir() if path.name[0] not in "._"}
    plain = {"py.typed"}
    assert sorted(parts - named - plain) == []


def test_every_page_is_in_one_part_of_the_site() -> None:
    placed = [source for groups in PARTS.values() for sources in groups.values() for source in sources]
    assert len(placed) == len(set(placed))
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")} - {HOME}
    assert sorted(pages - set(placed)) == []


def test_the_readme_fits_a_screen_and_leads_to_every_part_of_the_site() -> None:
    assert len(page("README.md").splitlines()) <= README_LINES_MAX
    linked = {path for path, _ in LINK.findall(page("README.md"))}
    for part, groups in PARTS.items():
        assert linked & {source for sources in groups.values() for source in sources}, part
        assert f"| {part} |" in page("README.md")
