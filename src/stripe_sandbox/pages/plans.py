"""Fault plans for people: those that a click switches on, and what is in force in words."""

from __future__ import annotations

from dataclasses import dataclass

from stripe_sandbox.errors import Json
from stripe_sandbox.pages.text import compact

CREATES: Json = {"method": "POST", "path_prefix": "/v1/"}

_MOMENTS = {
    "before": "before the work",
    "instead": "instead of the work",
    "after": "after the work",
    "body": "in the middle of the answer",
}
_STRUCK = ("struck", "slowed", "failed", "refused", "limited")
_BOOKKEEPING = frozenset({*_STRUCK, "left", "left_s", "matched", "seed"})


@dataclass(frozen=True, slots=True)
class Preset:
    """A plan with a name; `text` says what a client lives through."""

    name: str
    title: str
    text: str
    plan: Json


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in force: what it does, in full as JSON, how often it struck (None where nobody counts)."""

    what: str
    details: str
    struck: int | None
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
        "Each event is delivered three times.",
        {"webhooks": {"duplicate": 2}},
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


def in_force(shown: Json) -> list[Fault]:
    """What `GET /sandbox/faults` shows, one line a fault."""
    webhooks: Json = shown["webhooks"]
    found = [_rule(rule) for rule in shown["rules"]]
    found += [_rule(rule, "Webhooks: ") for rule in webhooks.get("rules", ())]
    found += [_setting(name, value) for name, value in webhooks.items() if value and name not in ("rules", "seed")]
    for name in ("latency", "rate_limits", "outage", "brown_out"):
        value = shown.get(name)
        if value and value.get("left_s") != 0:
            found.append(_state(name.replace("_", "-").capitalize(), value))
    return found


def _rule(rule: Json, prefix: str = "") -> Fault:
    moment = _MOMENTS.get(rule.get("phase", ""), "")
    answer = f" {rule['code']}" if rule["action"] == "status" else ""
    what = f"{prefix}{rule['action'].replace('_', ' ')}{answer} {moment}".strip()
    left = "until cleared" if rule["left"] is None else f"{rule['left']} more"
    return Fault(what[0].upper() + what[1:], _details(rule), rule["struck"], left)


def _setting(name: str, value: object) -> Fault:
    return Fault(f"Webhooks: {name.replace('_', ' ')}", compact({name: value}), None, "until cleared")


def _state(what: str, value: Json) -> Fault:
    counted = [value[name] for name in _STRUCK if isinstance(value.get(name), int)]
    left_s = value.get("left_s")
    left = "until cleared" if left_s is None else f"{left_s:.0f} s more"
    return Fault(what, _details(value), sum(counted) if counted else None, left)


def _details(value: Json) -> str:
    """What was asked, without what is left at its default or counted."""
    return compact({name: _asked(part) for name, part in value.items() if name not in _BOOKKEEPING and part})


def _asked(part: object) -> object:
    if not isinstance(part, dict):
        return part
    return {name: value for name, value in part.items() if value and value != "/"}
