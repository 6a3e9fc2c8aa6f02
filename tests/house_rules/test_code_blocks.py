"""Every block of code on a page has a proof: a test runs it, or reads it as the program for which it is written."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer
import yaml

from payment_service import cli
from payment_service.contracts.cancelled_orders import decode_cancelled_order
from payment_service.contracts.orders import decode_order
from payment_service.domain.order import Rejected
from tests.house_rules.test_docs import DOCS, names

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [*DOCS, ROOT / "deploy" / "helm" / "payment-service" / "README.md"]
BLOCK: Final = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
PIECE: Final = re.compile(r"```.*?^ *```$", re.DOTALL | re.MULTILINE)
HERE: Final = "tests/house_rules/test_code_blocks.py"
PARSED: Final = f"{HERE}::test_every_block_can_be_parsed"
COMMANDS: Final = f"{HERE}::test_every_command_of_the_service_has_valid_arguments"
EVENTS_README: Final = (
    "tests/installation/test_package.py::test_the_events_install_nothing_else_and_their_readme_example_works"
)

# Per page and language, the test that runs the blocks; or, where their program is elsewhere, the one that parses them.
PROOFS: Final = {
    ("docs/alerts.md", "promql"): "tests/unit/test_generated_docs.py::test_the_pages_on_metrics_and_alerts_are_current",
    (
        "docs/api.md",
        "sh",
    ): "tests/integration/test_api_page.py::test_every_command_on_the_page_returns_the_response_shown",
    (
        "docs/api.md",
        "http",
    ): "tests/integration/test_api_page.py::test_every_command_on_the_page_returns_the_response_shown",
    (
        "docs/consuming.md",
        "sh",
    ): "tests/installation/test_package.py::test_the_events_install_nothing_else_and_their_readme_example_works",
    ("docs/consuming.md", "python"): "tests/unit/test_documented_code.py::test_the_fragment_reads_every_event",
    ("docs/deployment.md", "sh"): COMMANDS,
    ("docs/deployment.md", "text"): f"{HERE}::test_the_connection_strings_are_valid",
    ("docs/deployment.md", "nginx"): f"{HERE}::test_the_directives_of_nginx_are_complete",
    ("docs/installing.md", "sh"): COMMANDS,
    ("docs/providers.md", "csv"): "tests/unit/test_documented_code.py::test_the_statement_is_read",
    ("docs/providers.md", "toml"): PARSED,
    ("docs/providers.md", "python"): "tests/unit/test_documented_code.py::test_the_conformance_test_is_valid",
    ("docs/records.md", "json"): "tests/house_rules/test_docs.py::test_the_example_record_equals_a_published_one",
    ("docs/records.md", ""): "tests/house_rules/test_docs.py::test_the_example_record_equals_a_published_one",
    ("docs/runbook.md", "sh"): COMMANDS,
    ("docs/runbook.md", "sql"): "tests/integration/test_runbook.py::test_every_statement_fits_the_schema",
    ("docs/sandbox.md", "sh"): "tests/sandbox/test_documentation.py::test_documented_commands_run_as_written",
    ("docs/sandbox.md", "python"): "tests/sandbox/test_documentation.py::test_documented_python_runs",
    ("docs/sandbox.md", "js"): "tests/clients/node/payments.test.js",
    ("docs/sandbox.md", "go"): "tests/clients/go/sandbox_test.go",
    ("docs/sandbox.md", "java"): "tests/clients/java/src/test/java/clients/SandboxTest.java",
    ("docs/state-machines.md", "mermaid"): "tests/unit/test_generated_docs.py::test_the_state_machine_page_is_current",
    ("docs/taking-payments.md", "json"): f"{HERE}::test_every_order_on_a_page_is_accepted",
    (
        "docs/troubleshooting.md",
        "sh",
    ): "tests/installation/test_troubleshooting.py::test_every_command_of_the_page_runs_and_prints_output",
    ("docs/troubleshooting.md", "sql"): "tests/integration/test_runbook.py::test_every_statement_fits_the_schema",
    **{
        (
            "docs/tutorial.md",
            language,
        ): "tests/installation/test_tutorial.py::test_following_the_tutorial_leads_to_a_paying_shop"
        for language in ("sh", "text", "python")
    },
    ("packages/payment-service-events/README.md", "sh"): EVENTS_README,
    ("packages/payment-service-events/README.md", "text"): EVENTS_README,
    (
        "packages/payment-service-events/README.md",
        "python",
    ): "tests/unit/test_documented_code.py::test_the_loop_passes_every_event_on",
    ("packages/payment-service-demo/README.md", "sh"): COMMANDS,
    ("packages/payment-service-client/README.md", "sh"): PARSED,
    **{
        (
            "packages/payment-service-client/README.md",
            language,
        ): "tests/integration/test_client.py::test_the_readme_prints_what_it_says"
        for language in ("python", "text")
    },
    **{
        (
            "packages/payment-service-js/README.md",
            language,
        ): "tests/npm/test_package.py::test_the_readme_compiles_and_prints_what_it_says"
        for language in ("ts", "text")
    },
    ("docs/examples/order-service/README.md", "text"): "tests/examples/test_order_services.py",
    ("packages/stripe-sandbox/README.md", "sh"): "tests/sandbox/test_readme.py::test_the_commands_of_the_readme_run",
    (
        "packages/stripe-sandbox/README.md",
        "python",
    ): "tests/sandbox/test_readme.py::test_the_program_of_the_readme_runs",
    ("deploy/helm/payment-service/README.md", "sh"): COMMANDS,
    ("deploy/helm/payment-service/README.md", "yaml"): "tests/deploy/test_chart.py",
}
# Commands belong into fenced blocks, where the tests find them. These pages show variables, or are changed by their tests.
INDENTED: Final = {
    "docs/examples/order-service/README.md",
    "README.md",
    "docs/sandbox.md",
    "docs/releasing.md",
    "docs/runbook.md",
    "packages/stripe-sandbox/README.md",
}
INDENTED_COMMAND: Final = re.compile(
    r"(?<=\n\n) {4,}(?:payment-service|pip|make|docker|helm|kubectl|curl|psql|stripe-sandbox) "
)
# Languages without a parser here. The proof of their blocks runs them.
LANGUAGES: Final = {"", "http", "text", "promql", "sql", "mermaid", "nginx", "js", "ts", "go", "java"}


def blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each block of a page."""
    for indent, language, text in BLOCK.findall(path.read_text()):
        yield language, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)


ALL: Final = [(str(path.relative_to(ROOT)), *block) for path in PAGES for block in blocks(path)]


def test_every_block_has_a_proof_and_every_proof_a_block() -> None:
    assert {(page, language) for page, language, _ in ALL} == PROOFS.keys()


@pytest.mark.parametrize("proof", sorted(set(PROOFS.values())))
def test_every_proof_exists(proof: str) -> None:
    file, _, test = proof.partition("::")
    assert (ROOT / file).exists()
    assert not test or test in names(ROOT / file)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_in_a_fenced_block(path: Path) -> None:
    text = PIECE.sub("", path.read_text())
    assert str(path.relative_to(ROOT)) in INDENTED or INDENTED_COMMAND.findall(text) == []


@pytest.mark.parametrize(("page", "language", "text"), ALL)
def test_every_block_can_be_parsed(page: str, language: str, text: str) -> None:
    """A language without a parser here is read by the test that PROOFS names."""
    if language == "sh":
        result = subprocess.run(["/bin/sh", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
    elif language == "json":
        json.loads(text)
    elif language == "yaml":
        yaml.safe_load(text)
    elif language == "toml":
        tomllib.loads(text)
    elif language == "csv":
        assert len({len(row) for row in csv.reader(text.splitlines())}) == 1
    elif language == "python":
        compile(text, page, "exec")
    else:
        assert language in LANGUAGES


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command of the service in a block, with its page."""
    for page, language, text in ALL:
        for line in text.replace("\\\n", " ").splitlines() if language == "sh" else ():
            if line.startswith("payment-service "):
                yield page, shlex.split(re.split(r" (?:>|\|\|?) ", line)[0], comments=True)[1:]


@pytest.mark.parametrize(("page", "words"), list(commands()), ids=str)
def test_every_command_of_the_service_has_valid_arguments(page: str, words: list[str]) -> None:
    """Parse the arguments as the command does, without running it."""
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context("payment-service", list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(
            name, list(words), parent=context, resilient_parsing=hasattr(command, "commands")
        )


def test_every_order_on_a_page_is_accepted() -> None:
    orders = [text for _, language, text in ALL if language == "json" and '"total"' in text]
    cancellations = [
        text
        for page, language, text in ALL
        if page == "docs/records.md" and language == "json" and '"reason": "The' in text
    ]
    found = [decode_order(text.encode(), timestamp_ms=1_800_000_000_000) for text in orders]
    found += [decode_cancelled_order(text.encode(), timestamp_ms=1_800_000_000_000) for text in cancellations]  # type: ignore[misc]
    assert len(orders) > 1
    assert len(cancellations) == 1
    assert [rejected for rejected in found if isinstance(rejected, Rejected)] == []


def test_the_connection_strings_are_valid() -> None:
    import psycopg.conninfo  # noqa: PLC0415

    [text] = [text for page, language, text in ALL if (page, language) == ("docs/deployment.md", "text")]
    uri, pairs = (psycopg.conninfo.conninfo_to_dict(line) for line in text.splitlines())
    assert uri == {**pairs, "host": uri["host"]}


def test_the_directives_of_nginx_are_complete() -> None:
    """Where nginx is installed, `make test-nginx` lets it read the files that these lines change."""
    for page, language, text in ALL:
        if language == "nginx":
            assert page == "docs/deployment.md"
            assert all(re.fullmatch(r"[a-z_]+ +\S.*;", line) for line in text.splitlines())
