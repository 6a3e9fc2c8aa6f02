"""Preset fault plans, and descriptions of the faults in force."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.rules import Faults
from stripe_sandbox.pages.formatting import HIDDEN, compact

CREATES: Json = {"method": "POST", "path_prefix": "/v1/"}

_PHASES = {
    "before": "before the work",
    "instead": "instead of the work",
    "after": "after the work",
    "body": "in the response body",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A named plan; `text` describes its effect on a client."""

    name: str
    title: str
    text: str
    plan: Json


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault in force: a description, its JSON, and its count (None if it is not counted)."""

    what: str
    details: str
    injected: int | None
    left: str


PRESETS = (
    Preset(
        "lost-response",
        "Responses lost after the work",
        "The next 3 writes succeed, then the connection closes without a response.",
        {"rules": [{"match": CREATES, "phase": "after", "action": "drop", "times": 3}]},
    ),
    Preset(
        "sticky-500",
        "500, stored under the key",
        "The next 3 writes fail permanently: a retry with the same idempotency key gets the same 500.",
        {"rules": [{"match": CREATES, "phase": "instead", "action": "server_error", "times": 3}]},
    ),
    Preset(
        "rate-limited",
        "429 Too Many Requests",
        "The next 10 requests are rejected; clients should slow down and retry.",
        {"rules": [{"action": "rate_limited", "retry_after_s": 1, "times": 10}]},
    ),
    Preset(
        "outage",
        "Outage of 30 seconds",
        "Every connection to the API closes without a response. These pages still work.",
        {"outage": {"kind": "drop", "seconds": 30}},
    ),
    Preset(
        "brown-out",
        "Brown-out",
        "Until cleared, half the requests take 2 s and a fifth fail with 503.",
        {"brown_out": {"share": 0.5, "latency_ms": 2000, "error_share": 0.2}},
    ),
    Preset(
        "slow",
        "As slow as Stripe",
        "Authorizations take about 1.5 s with spikes, refunds 0.5 s, reads 80 ms.",
        {"latency": "stripe"},
    ),
    Preset(
        "webhooks-duplicated",
        "Webhooks duplicated",
        "Each event is delivered twice.",
        {"webhooks": {"duplicate": 1}},
    ),
    Preset(
        "webhooks-reordered",
        "Webhooks out of order",
        "Each event waits a random time of up to 5 s, so later events overtake it.",
        {"webhooks": {"reorder_ms": 5000}},
    ),
    Preset(
        "webhooks-late",
        "Webhooks late",
        "Each event is delivered an hour late, by the sandbox's clock.",
        {"webhooks": {"delay_ms": 3_600_000}},
    ),
    Preset(
        "webhooks-early",
        "Webhooks before the response",
        "Events arrive before the API call that caused them returns.",
        {"webhooks": {"before_response": True}},
    ),
    Preset(
        "webhooks-none",
        "No webhooks at all",
        "Events are recorded but never delivered.",
        {"webhooks": {"drop": ["*"]}},
    ),
)
BY_NAME = {preset.name: preset for preset in PRESETS}


def active_faults(faults: Faults) -> list[ActiveFault]:
    """List the faults in force, one line each."""
    report: Json = faults.report()
    plan: Json = json.loads(faults.plan.model_dump_json(exclude_defaults=True))
    webhooks: Json = plan.get("webhooks", {})
    found = [_rule(*pair) for pair in zip(report["rules"], plan.get("rules", ()), strict=True)]
    found += [
        _rule(*pair, "Webhooks: ") for pair in zip(report["webhooks"]["rules"], webhooks.get("rules", ()), strict=True)
    ]
    found += [_setting(name, value) for name, value in webhooks.items() if name not in ("rules", "seed")]
    for name in ("latency", "rate_limits", "outage", "brown_out"):
        if name in plan and report[name].get("left_s") != 0:
            found.append(_section(name.replace("_", "-").capitalize(), report[name], plan[name]))
    return found


def _rule(report: Json, plan: Json, prefix: str = "") -> ActiveFault:
    phase = _PHASES.get(report.get("phase", ""), "")
    status = f" {report['code']}" if report["action"] == "status" else ""
    what = f"{prefix}{report['action'].replace('_', ' ')}{status} {phase}".strip()
    left = "until cleared" if report["left"] is None else f"{report['left']} more"
    return ActiveFault(what[0].upper() + what[1:], compact(_without_key(plan)), report["injected"], left)


def _setting(name: str, value: object) -> ActiveFault:
    return ActiveFault(f"Webhooks: {name.replace('_', ' ')}", compact({name: value}), None, "until cleared")


def _section(what: str, report: Json, plan: Json) -> ActiveFault:
    refused: Json = report.get("refused", {})
    counted = [report[name] for name in ("slowed", "failed") if name in report] + list(refused.values())
    left_s = report.get("left_s")
    left = "until cleared" if left_s is None else f"{left_s:.0f} s more"
    return ActiveFault(what, compact(plan), sum(counted) if counted else None, left)


def _without_key(rule: Json) -> Json:
    """Hide the API key that a rule matches: it is a secret."""
    match = rule.get("match", {})
    return {**rule, "match": {**match, "api_key": HIDDEN}} if "api_key" in match else rule
