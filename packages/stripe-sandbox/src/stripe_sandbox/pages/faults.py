"""The faults page: faults in force, presets, and an editor for the plan as JSON."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from stripe_sandbox.errors import Json
from stripe_sandbox.faults.plan_file import parse_plan
from stripe_sandbox.faults.rules import Faults, Plan, PlanError
from stripe_sandbox.pages.fault_presets import BY_NAME, PRESETS, active_faults
from stripe_sandbox.pages.site import Site

DONE = {"set": "These faults are now in force. They replace all earlier ones.", "cleared": "All faults are off."}
EXAMPLE: Json = {
    "rules": [
        {
            "match": {"operation": "payment_intents.create", "metadata": {"order_id": "order-7"}},
            "phase": "after",
            "action": "reset",
            "times": 1,
        }
    ]
}


async def overview(site: Site, request: web.Request) -> web.StreamResponse:
    return _faults(site, note=DONE.get(request.query.get("done", "")))


async def set_plan(site: Site, request: web.Request) -> web.StreamResponse:
    """Set a preset by name, or the plan in the text area."""
    form = await request.post()
    text = str(form.get("plan", ""))
    preset = BY_NAME.get(str(form.get("preset", "")))
    try:
        site.sandbox.faults.set(parse_plan(text) if preset is None else Plan.model_validate(preset.plan))
    except PlanError as error:
        return _faults(site, text=text, problem=str(error), status=HTTPStatus.BAD_REQUEST)
    raise web.HTTPSeeOther("/faults?done=set")


async def clear(site: Site, request: web.Request) -> web.StreamResponse:
    site.sandbox.faults.clear()
    raise web.HTTPSeeOther("/faults?done=cleared")


def _faults(site: Site, *, text: str | None = None, status: int = HTTPStatus.OK, **context: Any) -> web.Response:
    faults = site.sandbox.faults
    active = active_faults(faults)
    return site.page(
        "faults.html",
        section="faults",
        status=status,
        faults=active,
        presets=PRESETS,
        text=_editable(faults) if text is None else text,
        **context,
    )


def _editable(faults: Faults) -> str:
    """Return the current plan for editing, or an example; a plan with an API key is never shown."""
    plan: Json = json.loads(faults.plan.model_dump_json(exclude_defaults=True))
    matches_key = any("api_key" in rule.get("match", {}) for rule in plan.get("rules", ()))
    return json.dumps(EXAMPLE if matches_key or not plan else plan, indent=2)
