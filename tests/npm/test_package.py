"""The npm package: installed alone into an empty project, type-checked there, and used with a service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from scripts.sample_records import ANNOUNCEMENTS, record_of
from tests.support.harness import Harness
from tests.support.wheels import ROOT, call

pytestmark = [pytest.mark.npm, pytest.mark.timeout(120)]

README = ROOT / "packages" / "payment-service-js" / "README.md"
PROJECT = Path(os.environ.get("NPM_PROJECT", ""))
TSC = ROOT / "packages" / "payment-service-js" / "node_modules" / ".bin" / "tsc"
OPTIONS = ("--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext", "--types", "node")


async def run(program: Path, harness: Harness, **variables: str) -> str:
    """Compile a program in the project, run it with Node, and return its output."""
    types = ["--typeRoots", str(ROOT / "packages" / "payment-service-js" / "node_modules" / "@types"), "--skipLibCheck"]
    await asyncio.to_thread(call, TSC, *OPTIONS, *types, program, cwd=PROJECT)
    env = {**os.environ, "API_URL": f"http://127.0.0.1:{harness.port}", "API_KEY": harness.key, **variables}
    return await asyncio.to_thread(call, "node", program.with_suffix(".js"), cwd=PROJECT, env=env)


async def test_the_readme_compiles_and_prints_what_it_says(harness: Harness) -> None:
    await harness.flows.accept("order-1001")
    await harness.flows.run_calls()
    program, printed = (
        "".join(re.findall(rf"```{kind}\n(.*?)```", README.read_text(), re.DOTALL)) for kind in ("ts", "text")
    )
    path = PROJECT / "readme.ts"
    path.write_text(program)
    assert await run(path, harness) == printed


async def test_changes_are_made_once_errors_are_typed_and_all_records_are_read(
    harness: Harness, tmp_path: Path
) -> None:
    payment = await harness.pay("order-1001")
    records = [record_of(published) for published in ANNOUNCEMENTS]
    texts = [
        {
            "topic": record.topic,
            "value": (record.value or b"").decode(),
            "headers": {name: (text or b"").decode() for name, text in record.headers},
        }
        for record in records
    ]
    (tmp_path / "records.json").write_text(json.dumps(texts))
    path = Path(shutil.copy(Path(__file__).with_name("use.ts"), PROJECT))
    await run(path, harness, PAYMENT_ID=str(payment), RECORDS=str(tmp_path / "records.json"))
    refunds = (await harness.get(f"/v1/payments/{payment}/refunds")).json["data"]
    assert [refund["amount"] for refund in refunds] == ["5.00"]
