"""docs/sandbox.md is correct: its commands run, its faults have the documented effect, its tables are complete."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, get_args

import pytest
import typer
from typer.main import get_command

from stripe_sandbox import cli, control
from stripe_sandbox.faults import rules
from stripe_sandbox.faults.matching import Match
from stripe_sandbox.faults.plan_file import parse_plan, read_plan
from stripe_sandbox.resources import cards
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state.ledger import Effect
from tests.support.sandbox import SandboxProcess

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "sandbox.md").read_text()
ADDRESS: Final = "http://127.0.0.1:12111"
RULE: Final = re.compile(
    r"^\| `(\{\"phase\".*?\})` \| ((?:curl: \(|HTTP )\d+)\)? \| (was made|was not made)", re.MULTILINE
)
PLAN: Final = re.compile(r"^\| `(\{.*?\})` \| (?!curl|HTTP)", re.MULTILINE)
PATH: Final = re.compile(r"(?<!tests)/sandbox/[a-z_/{}]+")

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None, reason="curl is not installed, so the documented commands cannot run"
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def documented_rules() -> list[tuple[str, str]]:
    """Return (rule, outcome) rows. An outcome has curl's exit code or the HTTP status, and whether the payment was made."""
    return [(rule, f"{end}: the payment {made}") for rule, end, made in RULE.findall(PAGE)]


@needs_curl
def test_documented_commands_run_as_written(sandbox: SandboxProcess, tmp_path: Path) -> None:
    script = "\n".join(blocks("sh")).replace("curl -sS", "curl -sS --fail-with-body").replace(ADDRESS, sandbox.base_url)
    ended = subprocess.run(
        ["/bin/sh", "-eu"], input=script, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert '"status":"succeeded"' in ended.stdout
    assert script.count("curl ") >= 9


@pytest.mark.parametrize("block", blocks("python"))
def test_documented_python_runs(block: str, sandbox: SandboxProcess) -> None:
    program = block.replace(ADDRESS, sandbox.base_url)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_curl
@pytest.mark.parametrize(("rule", "outcome"), documented_rules(), ids=[rule for rule, _ in documented_rules()])
def test_documented_fault_has_the_documented_effect(rule: str, outcome: str, sandbox: SandboxProcess) -> None:
    sandbox.faults(json.loads(rule))
    payment = blocks("sh")[0].split("\ncurl")[0].replace(ADDRESS, sandbox.base_url).replace("-sS", "-s -o /dev/null")
    before = len(sandbox.ledger())
    ended = subprocess.run(
        ["/bin/sh", "-c", payment.rstrip() + " -w '%{http_code}'"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    made = "was made" if len(sandbox.ledger()) > before else "was not made"
    end = f"curl: ({ended.returncode}" if ended.returncode else f"HTTP {ended.stdout}"
    assert f"{end}: the payment {made}" == outcome


def test_every_action_phase_and_field_of_a_rule_is_documented() -> None:
    shown = [json.loads(rule) for rule, _ in documented_rules()]
    assert {rule["action"] for rule in shown} == set(get_args(rules.Action))
    assert {rule["phase"] for rule in shown} == set(get_args(rules.Phase))
    for name in (*rules.Rule.model_fields, *Match.model_fields):
        assert re.search(rf"`{name}`|\"{name}\"", PAGE), name


@pytest.mark.parametrize("plan", PLAN.findall(PAGE))
def test_documented_plan_is_accepted(plan: str, sandbox: SandboxProcess) -> None:
    assert parse_plan(plan) != rules.Plan()
    assert sandbox.control("POST", "/sandbox/faults", json.loads(plan))


def test_every_part_of_a_plan_is_documented() -> None:
    parts = {part for plan in PLAN.findall(PAGE) for part in json.loads(plan)}
    assert parts | {"rules", "seed"} == set(rules.Plan.model_fields)


def test_example_faults_file_is_accepted() -> None:
    assert read_plan(ROOT / "docs" / "faults.example.json").rules


def test_every_command_line_option_is_documented() -> None:
    app = typer.Typer()
    app.command()(cli.serve)
    options = {name for option in get_command(app).params for name in option.opts if name.startswith("--")}
    assert options - {"--install-completion", "--show-completion", "--help"} == set(
        re.findall(r"`(--[a-z-]+)", PAGE.partition("| Option |")[2].partition("\n\n")[0])
    )


def test_documentation_lists_exactly_the_control_api_calls() -> None:
    offered = {route.path for route in control.routes(Sandbox(None, []))}
    named = {path.rstrip("/") for path in PATH.findall(PAGE)}
    assert offered == named


def test_every_ledger_effect_is_documented() -> None:
    documented = re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE.partition("Effects:")[2].partition("\n\n")[0])
    assert sorted(documented) == sorted(get_args(Effect))


def test_every_documented_card_exists() -> None:
    named = set(re.findall(r"`(pm_\w+)`", PAGE))
    assert len(named) > 15
    assert [name for name in sorted(named) if cards.by_alias(name) is None] == []


def test_documented_install_command_lists_exactly_the_imported_packages() -> None:
    """The sandbox can be installed without the service's dependencies."""
    installed = set(re.search(r"pip install (aiohttp.*)", PAGE)[1].split())  # type: ignore[index]
    source = "".join(path.read_text() for path in (ROOT / "packages/stripe-sandbox/src/stripe_sandbox").rglob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
    assert imported - sys.stdlib_module_names - {"stripe_sandbox"} == installed
