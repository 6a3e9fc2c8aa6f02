"""Fault plans for people: those that a click switches on, and what is in force in words."""

from __future__ import annotations

import json
from dataclasses import dataclass

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.rules import Faults
from stripe_sandbox.pages.formatting import HIDDEN, compact

CREATES: Json = {"method": "POST", "path_prefix": "/v1/"}

_MOMENTS = {
    "before": "before the work",
    "instead": "instead of the work",
    "after": "after the work",
    "body": "in the middle of the answer",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """A plan with a name; `text` says what a client lives through."""

    name: str
    title: str
    text: str
    plan: Json


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """One fault in force: what it does, in full as JSON, how often it struck (None where nobody counts)."""

    what: str
    details: str
    injected: int | None
    left: str


PRESETS = (
    Preset(
        "lost-answer",
        "Answers lost after the work",
        "The next 3 writes are done, then the connection ends without an answer.",
        {"rules": [{"match": CREATES, "phase": "after", "action": "drop", "times": 3}]},
    ),
    Preset(
        "sticky-500",
        "500, kept under the key",
        "The next 3 writes fail for good: a retry with the same idempotency key gets the same 500.",
        {"rules": [{"match": CREATES, "phase": "instead", "action": "server_error", "times": 3}]},
    ),
    Preset(
        "rate-limited",
        "429 Too Many Requests",
        "The next 10 requests are turned away; clients are to slow down and try again.",
        {"rules": [{"action": "rate_limited", "retry_after_s": 1, "times": 10}]},
    ),
    Preset(
        "outage",
        "Outage of 30 seconds",
        "Every connection to the API ends without an answer. These pages stay.",
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
        "Authorisations take about 1.5 s with spikes, refunds half a second, reads 80 ms.",
        {"latency": "stripe"},
    ),
    Preset(
        "webhooks-doubled",
        "Webhooks doubled",
        "Each event is delivered twice.",
        {"webhooks": {"duplicate": 1}},
    ),
    Preset(
        "webhooks-reordered",
        "Webhooks out of order",
        "Each event waits a while of its own, up to 5 s, so later ones overtake.",
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
        "Webhooks before the answer",
        "Events arrive before the API call that caused them returns.",
        {"webhooks": {"before_response": True}},
    ),
    Preset(
        "webhooks-none",
        "No webhooks at all",
        "Events are recorded, and never delivered.",
        {"webhooks": {"drop": ["*"]}},
    ),
)
BY_NAME = {preset.name: preset for preset in PRESETS}


def active_faults(faults: Faults) -> list[ActiveFault]:
    """One line a fault."""
    report: Json = faults.report()
    asked: Json = json.loads(faults.plan.model_dump_json(exclude_defaults=True))
    webhooks: Json = asked.get("webhooks", {})
    found = [_rule(*pair) for pair in zip(report["rules"], asked.get("rules", ()), strict=True)]
    found += [
        _rule(*pair, "Webhooks: ") for pair in zip(report["webhooks"]["rules"], webhooks.get("rules", ()), strict=True)
    ]
    found += [_setting(name, value) for name, value in webhooks.items() if name not in ("rules", "seed")]
    for name in ("latency", "rate_limits", "outage", "brown_out"):
        if name in asked and report[name].get("left_s") != 0:
            found.append(_section(name.replace("_", "-").capitalize(), report[name], asked[name]))
    return found


def _rule(report: Json, asked: Json, prefix: str = "") -> ActiveFault:
    moment = _MOMENTS.get(report.get("phase", ""), "")
    answer = f" {report['code']}" if report["action"] == "status" else ""
    what = f"{prefix}{report['action'].replace('_', ' ')}{answer} {moment}".strip()
    left = "until cleared" if report["left"] is None else f"{report['left']} more"
    return ActiveFault(what[0].upper() + what[1:], compact(_without_key(asked)), report["injected"], left)


def _setting(name: str, value: object) -> ActiveFault:
    return ActiveFault(f"Webhooks: {name.replace('_', ' ')}", compact({name: value}), None, "until cleared")


def _section(what: str, report: Json, asked: Json) -> ActiveFault:
    refused: Json = report.get("refused", {})
    counted = [report[name] for name in ("slowed", "failed") if name in report] + list(refused.values())
    left_s = report.get("left_s")
    left = "until cleared" if left_s is None else f"{left_s:.0f} s more"
    return ActiveFault(what, compact(asked), sum(counted) if counted else None, left)


def _without_key(rule: Json) -> Json:
    """An API key that a rule aims at is a secret."""
    match = rule.get("match", {})
    return {**rule, "match": {**match, "api_key": HIDDEN}} if "api_key" in match else rule
