"""Commands with their options, settings, metrics, topics and tables that the docs name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from payment_service import cli
from payment_service.config.secret_files import FILE_SUFFIX, is_secret
from payment_service.contracts.records import topics_needed
from scripts.document_configuration import FIELDS

ROOT: Final = Path(__file__).parents[2]
SERVICE: Final = ROOT / "src" / "payment_service"
# Decisions and the changelog describe their time of writing.
DOCS: Final = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in ("README.md", "SECURITY.md"))])

COMMAND: Final = re.compile(r"(?<![\w/-])payment-service(?! +payment-service)((?: +(?:\"[^\"\n]*\"|[^\s`|()\"]+))+)")
SETTING: Final = re.compile(
    r"\b((?:ADMIN|KAFKA|STRIPE|PROVIDERS?|SERVICE|METRICS|ORDERS?|DB|WEBHOOK|CAPTURE|PAYMENT|BANK|TRUSTED)_[A-Z_]*[A-Z])\b(?![_…*<])"
)
WORD: Final = re.compile(r"\b(payments_[a-z_]+[a-z])\b(?![…(])")
TOPIC: Final = re.compile(r"`((?:orders|payments)\.[a-z_]+(?:\.[a-z]+)?)`")
# These look like settings, but compose, a script or a test reads them.
NOT_OURS: Final = {"ORDER_ID", "PAYMENT_SERVICE_AS", "STRIPE_SECRETS", "STRIPE_OPENAPI"}
# Any property of librdkafka can follow this prefix.
KAFKA_PROPERTIES: Final = "KAFKA_CONFIG_"
TABLE: Final = re.compile(r"\btables? `(\w+)`|\bFROM (\w+)\b")


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def options() -> dict[str, frozenset[str]]:
    """Return the options of every command, by its words."""
    return dict(_options(typer.main.get_command(cli.app), ""))


def _options(command: Any, words: str) -> Iterator[tuple[str, frozenset[str]]]:
    yield words, frozenset(name for param in command.params for name in param.opts) | {"--help"}
    for name, child in getattr(command, "commands", {}).items():
        yield from _options(child, f"{words} {name}".strip())


def unknown_options(text: str) -> list[str]:
    """Return the options in a text that their commands do not have."""
    found = []
    for found_words in COMMAND.findall(text):
        words = [word.rstrip(".,;:") for word in found_words.split()]
        command = max((name for name in options() if " ".join(words[: len(name.split())]) == name), key=len)
        if not command and not words[0].startswith("--"):
            continue  # the name of a container or a release, passed to another program
        found += [
            f"{command} {word}"
            for word in words
            if word.startswith("--") and word.partition("=")[0] not in options()[command]
        ]
    return found


@cache
def settings() -> frozenset[str]:
    return frozenset(
        name.upper() + suffix
        for name, field in FIELDS.items()
        for suffix in (("", FILE_SUFFIX) if is_secret(field) else ("",))
    )


@cache
def tables() -> frozenset[str]:
    sql = "".join(path.read_text() for path in SERVICE.rglob("*.sql"))
    return frozenset(re.findall(r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW) (?:IF NOT EXISTS )?(\w+)", sql))


@cache
def words() -> frozenset[str]:
    """Return the names that begin with `payments_`: metrics, tables and roles."""
    files = [*SERVICE.rglob("*.sql"), SERVICE / "telemetry" / "metrics.py"]
    files += [path for path in (ROOT / "deploy").rglob("*") if path.suffix in {".yaml", ".yml", ".json"}]
    found = {word for path in files for word in re.findall(r"\bpayments_\w+", path.read_text())}
    return frozenset(found | {f"payments_{role}" for role in ("owner", "service", "reader", "operator")})


@by_name(DOCS)
def test_every_option_that_a_page_names_exists(path: Path) -> None:
    assert unknown_options(path.read_text()) == []


def test_an_unknown_option_is_detected() -> None:
    text = '`payment-service outbox republish --since 1d --all`, `payment-service show "$ORDER" --json`'
    assert unknown_options(text) == ["outbox republish --all"]


@by_name(DOCS)
def test_every_setting_that_a_page_names_exists(path: Path) -> None:
    named = {name for name in SETTING.findall(path.read_text()) if not name.startswith(KAFKA_PROPERTIES)}
    assert named - settings() - NOT_OURS == set()


@by_name(DOCS)
def test_every_metric_and_column_that_a_page_names_exists(path: Path) -> None:
    histograms = r"_(?:bucket|sum|count)$"
    assert [name for name in WORD.findall(path.read_text()) if re.sub(histograms, "", name) not in words()] == []


@by_name(DOCS)
def test_every_topic_that_a_page_names_exists(path: Path) -> None:
    known = topics_needed(orders_cancelled=True)
    assert [name for name in TOPIC.findall(path.read_text()) if name not in known] == []


@by_name([ROOT / "docs" / name for name in ("runbook.md", "troubleshooting.md")])
def test_every_table_that_a_page_for_operators_names_exists(path: Path) -> None:
    named = {first or second for first, second in TABLE.findall(path.read_text())}
    assert named
    assert [name for name in named if name not in tables() and not name.startswith("pg_")] == []
