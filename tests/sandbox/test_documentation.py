"""docs/sandbox.md says what is so: its commands run, its faults do what they say, its tables leave nothing out."""

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
from tests.support.wheels import SANDBOX

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "sandbox.md").read_text()
ADDRESS: Final = "http://127.0.0.1:12111"
RULE: Final = re.compile(
    r"^\| `(\{\"phase\".*?\})` \| ((?:curl: \(|HTTP )\d+)\)? \| (was made|was not made)", re.MULTILINE
)
PLAN: Final = re.compile(r"^\| `(\{.*?\})` \| (?!curl|HTTP)", re.MULTILINE)
PATH: Final = re.compile(r"(?<!tests)/sandbox/[a-z_/{}]+")

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here to run the page's commands")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def struck() -> list[tuple[str, str]]:
    """(rule, what becomes of a payment: curl's exit code or the status, and whether it was made)."""
    return [(rule, f"{end}: the payment {made}") for rule, end, made in RULE.findall(PAGE)]


@needs_curl
def test_the_commands_of_the_page_work_as_they_are_typed(sandbox: SandboxProcess, tmp_path: Path) -> None:
    script = "\n".join(blocks("sh")).replace("curl -sS", "curl -sS --fail-with-body").replace(ADDRESS, sandbox.base_url)
    ended = subprocess.run(
        ["/bin/sh", "-eu"], input=script, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert '"status":"succeeded"' in ended.stdout
    assert script.count("curl ") >= 9


@pytest.mark.parametrize("block", blocks("python"))
def test_the_python_of_the_page_runs(block: str, sandbox: SandboxProcess) -> None:
    program = block.replace(ADDRESS, sandbox.base_url)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_curl
@pytest.mark.parametrize(("rule", "outcome"), struck(), ids=[rule for rule, _ in struck()])
def test_a_fault_of_the_page_strikes_as_it_says(rule: str, outcome: str, sandbox: SandboxProcess) -> None:
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


def test_every_action_and_phase_of_a_rule_is_on_the_page() -> None:
    shown = [json.loads(rule) for rule, _ in struck()]
    assert {rule["action"] for rule in shown} == set(get_args(rules.Action))
    assert {rule["phase"] for rule in shown} == set(get_args(rules.Phase))
    for name in (*rules.Rule.model_fields, *Match.model_fields):
        assert re.search(rf"`{name}`|\"{name}\"", PAGE), name


@pytest.mark.parametrize("plan", PLAN.findall(PAGE))
def test_a_plan_of_the_page_is_taken(plan: str, sandbox: SandboxProcess) -> None:
    assert parse_plan(plan) != rules.Plan()
    assert sandbox.control("POST", "/sandbox/faults", json.loads(plan))


def test_the_plans_of_the_page_have_every_part() -> None:
    parts = {part for plan in PLAN.findall(PAGE) for part in json.loads(plan)}
    assert parts | {"rules", "seed"} == set(rules.Plan.model_fields)


def test_the_example_of_a_file_of_faults_is_taken() -> None:
    assert read_plan(ROOT / "docs" / "faults.example.json").rules


def test_every_option_of_the_command_is_on_the_page() -> None:
    app = typer.Typer()
    app.command()(cli.serve)
    options = {name for option in get_command(app).params for name in option.opts if name.startswith("--")}
    assert options - {"--install-completion", "--show-completion", "--help"} == set(
        re.findall(r"`(--[a-z-]+)", PAGE.partition("| Option |")[2].partition("\n\n")[0])
    )


def test_every_call_of_the_control_api_is_on_the_page_and_no_other() -> None:
    offered = {route.path for route in control.routes(Sandbox(None, []))}
    named = {path.rstrip("/") for path in PATH.findall(PAGE)}
    assert offered == named


def test_every_effect_of_the_ledger_is_on_the_page() -> None:
    told = re.findall(r"`([a-z]+\.[a-z_]+)`", PAGE.partition("Effects:")[2].partition("\n\n")[0])
    assert sorted(told) == sorted(get_args(Effect))


def test_every_card_of_the_page_is_one() -> None:
    named = set(re.findall(r"`(pm_\w+)`", PAGE))
    assert len(named) > 15
    assert [name for name in sorted(named) if cards.by_alias(name) is None] == []


def test_the_sandbox_depends_on_exactly_what_it_imports() -> None:
    """A dependency that is missing, or no longer used, shows here without an installation."""
    declared = {re.split(r"[\[>=<]", text)[0] for text in SANDBOX.project["dependencies"]}
    source = "".join(path.read_text() for path in SANDBOX.path.rglob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (\w+)", source, re.MULTILINE))
    assert declared == imported - sys.stdlib_module_names - {"stripe_sandbox"}
