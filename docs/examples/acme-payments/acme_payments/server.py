"""The simulated servers of Acme: payments and refunds in memory, idempotent calls, events in order."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[int, dict[str, Any]]


@dataclass
class Server:
    """The state of the servers. `now_s` is the clock, in seconds since 1970."""

    now_s: Callable[[], float]
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[object, Answer]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def handle(self, method: str, path: str, form: dict[str, Any], key: str) -> Answer:
        """Answer a call. A repeated key gets the same answer, or a refusal if the request differs."""
        if method == "GET":
            return self._do(method, path, form)
        asked = (path, form)
        if key not in self.answers:
            self.answers[key] = (asked, self._do(method, path, form))
        known, answer = self.answers[key]
        return answer if known == asked else (409, {"code": "key_reused"})

    def customer_pays(self, payment: str) -> None:
        """Pay as a customer if that is still possible. The money is held, or captured at once."""
        one = self.payments[payment]
        if one["state"] == "open":
            self._move(one, "held" if one["hold"] else "paid", taken=0 if one["hold"] else one["amount"])

    def _do(self, method: str, path: str, form: dict[str, Any]) -> Answer:
        match [method, *path.strip("/").split("/")]:
            case ["POST", "payments"]:
                return self._create(form)
            case ["POST", "refunds"]:
                return self._refund(form)
            case [_, "payments", name, *action] if name in self.payments:
                return self._change(self.payments[name], action, form)
            case ["GET", "refunds", name] if name in self.payments:
                return 200, {"refunds": [dict(one) for one in self.refunds.values() if one["payment"] == name]}
            case _:
                return 404, {"code": "not_found"}

    def _create(self, form: dict[str, Any]) -> Answer:
        if not {"amount", "currency", "hold", "names"} <= form.keys():
            return 400, {"code": "incomplete"}
        name = f"acme-{next(self.numbers)}"
        one = {"id": name, "state": "open", "taken": 0, "created": int(self.now_s()), "at": int(self.now_s()), **form}
        self.payments[name] = one
        return 200, dict(one)

    def _change(self, one: dict[str, Any], action: list[str], form: dict[str, Any]) -> Answer:
        match action, one["state"]:
            case ["cancel"], "open" | "held":
                self._move(one, "canceled", taken=0)
            case ["capture"], "held":
                self._move(one, "paid", taken=form["amount"])
            case [_], _:
                return 422, {"code": "wrong_state", "payment": dict(one)}
            case _:
                pass
        return 200, dict(one)

    def _refund(self, form: dict[str, Any]) -> Answer:
        one = self.payments.get(form.get("payment", ""))
        if one is None:
            return 404, {"code": "not_found"}
        given = sum(refund["amount"] for refund in self.refunds.values() if refund["payment"] == one["id"])
        if given + form["amount"] > one["taken"]:
            return 422, {"code": "too_much"}
        name = f"acme-refund-{next(self.numbers)}"
        self.refunds[name] = {"id": name, "currency": one["currency"], "at": int(self.now_s()), **form}
        self._tell("refund", self.refunds[name])
        return 200, dict(self.refunds[name])

    def _move(self, one: dict[str, Any], state: str, *, taken: int) -> None:
        one |= {"state": state, "taken": taken, "at": int(self.now_s())}
        self._tell("payment", one)

    def _tell(self, kind: str, subject: dict[str, Any]) -> None:
        event = {"id": f"event-{next(self.numbers)}", "type": kind, "at": subject["at"], "subject": dict(subject)}
        self.events.append(event)
