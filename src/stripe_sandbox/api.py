"""One API request from its headers to its answer: credentials, parameters, faults, idempotency."""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web

from stripe_sandbox import errors
from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.faults.rules import Answer, Rule, injected, suffer
from stripe_sandbox.resources.events import API_VERSION
from stripe_sandbox.resources.listing import expanded
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state.store import Transaction
from stripe_sandbox.state.work import Reply, Work, new_id
from stripe_sandbox.wire import forms
from stripe_sandbox.wire.idempotency import fingerprint
from stripe_sandbox.wire.parameters import Schema

log = logging.getLogger(__name__)

_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z_]+)?(;.*)?")
_SHOULD_RETRY = {400: "false", 401: "false", 402: "false", 403: "false", 404: "false", 409: "true"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the route table; `run` takes (work, typed parameters, parts of the path)."""

    method: str
    path: str
    run: Callable[[Work, Json, Json], Reply]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in."""

    method: str
    path: str
    parts: Json
    raw: Json
    origin: str
    request_id: str
    key: str | None


class Api:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def serve(self, request: web.Request, operation: Operation | None) -> web.StreamResponse:
        request_id = new_id("req_")
        try:
            answer = await self._admit(request, operation, request_id)
        except ApiError as error:
            answer = _refusal(error, request_id)
        except web.HTTPRequestEntityTooLarge as error:
            answer = _refusal(ApiError(413, error.text or "The request is too large."), request_id)
        except Exception:
            log.exception("request %s failed", request_id)
            answer = _refusal(_broken(), request_id)
        if answer.cut is not None:
            return _cut(request, answer.cut)
        return self._response(request, answer, request_id)

    async def _admit(self, request: web.Request, operation: Operation | None, request_id: str) -> Answer:
        self._sandbox.api_keys.check(request.headers.get("Authorization"))
        if operation is None:
            raise errors.unknown_url(request.method, request.path)
        version = request.headers.get("Stripe-Version", API_VERSION)
        if _VERSION.fullmatch(version) is None:
            raise errors.invalid(f"Invalid Stripe API version: {version}")
        write = operation.method == "POST"
        text = await request.read() if write else request.rel_url.raw_query_string.encode()
        call = Call(
            method=request.method,
            path=request.path,
            parts=dict(request.match_info),
            raw=forms.decode(text),
            origin=f"http://{request.host}",
            request_id=request_id,
            key=(request.headers.get("Idempotency-Key") or None) if write else None,
        )
        metadata = self._sandbox.metadata_of(call.raw, call.parts.get("id"))
        rule = self._sandbox.faults.take(call.method, call.path, call.key, metadata)
        answer = await self._work(operation, call, rule)
        if answer.cut is not None:
            return answer
        return await suffer(rule, "after") or answer

    async def _work(self, operation: Operation, call: Call, rule: Rule | None) -> Answer:
        """Everything up to the durable answer, under the idempotency key if there is one."""
        if call.key is None:
            fault = await suffer(rule, "before")
            return fault or await self._execute(operation, call, rule, "")
        print_ = fingerprint(call.method, call.path, call.raw)
        kept = self._sandbox.keys.begin(call.key, print_)
        if kept is not None:
            return await suffer(rule, "before") or _replayed(kept)
        try:
            fault = await suffer(rule, "before")
            return fault or await self._execute(operation, call, rule, print_)
        finally:
            self._sandbox.keys.end(call.key)

    async def _execute(self, operation: Operation, call: Call, rule: Rule | None, print_: str) -> Answer:
        params = operation.schema.read(call.raw)
        work = self._begin(call)
        if rule is not None and rule.phase == "instead":
            answer = injected(rule)
        else:
            work, answer = self._run(operation, call, work, params)
        kept = self._kept(rule, answer)
        if call.key is not None and kept is not None:
            keys = self._sandbox.keys
            keys.keep(work.tx, call.key, print_, call.request_id, kept.status, kept.text)
        await self._sandbox.commit(work)
        return answer

    def _run(self, operation: Operation, call: Call, work: Work, params: Json) -> tuple[Work, Answer]:
        """Run the operation; what it raises undoes all it did."""
        try:
            reply = operation.run(work, params, call.parts)
            if reply.status == HTTPStatus.OK:
                reply = replace(reply, body=expanded(work.tx, reply.body, params.get("expand", [])))
            else:
                reply = replace(reply, body=errors.body(reply.body["error"], call.request_id))
            return work, Answer(reply.status, _dumps(reply.body))
        except ApiError as error:
            return self._begin(call), _refusal(error, call.request_id)

    def _begin(self, call: Call) -> Work:
        return Work(
            Transaction(self._sandbox.store),
            self._sandbox.clock.now(),
            call.origin,
            call.request_id,
            call.key,
        )

    @staticmethod
    def _kept(rule: Rule | None, answer: Answer) -> Answer | None:
        """What the idempotency key will answer from now on."""
        if rule is None or rule.phase == "before" or rule.action != "status":
            return answer if answer.cut is None else None
        if rule.kept:
            return injected(rule)
        return None if rule.phase == "instead" else answer

    def _response(self, request: web.Request, answer: Answer, request_id: str) -> web.Response:
        headers = {
            "Content-Type": "application/json",
            "Date": formatdate(self._sandbox.clock.now(), usegmt=True),
            "Request-Id": request_id,
            "Stripe-Version": API_VERSION,
        }
        key = request.headers.get("Idempotency-Key")
        if key is not None and request.method == "POST":
            headers |= {"Idempotency-Key": key, "Original-Request": request_id}
        if answer.status in _SHOULD_RETRY:
            headers["Stripe-Should-Retry"] = _SHOULD_RETRY[answer.status]
        return web.Response(status=answer.status, body=answer.text.encode(), headers=headers | answer.headers)


def _replayed(kept: Json) -> Answer:
    headers = {"Idempotent-Replayed": "true", "Original-Request": kept["request_id"]}
    return Answer(kept["status"], kept["text"], headers)


def _refusal(error: ApiError, request_id: str) -> Answer:
    return Answer(error.status, _dumps(errors.body(error.error, request_id)))


def _broken() -> ApiError:
    return ApiError(500, "The sandbox failed; its log says why.", kind="api_error")


def _cut(request: web.Request, how: str) -> web.Response:
    """End the connection without an answer; `reset` makes the peer see ECONNRESET."""
    transport = request.transport
    if transport is not None:
        if how == "reset":
            connection = transport.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()


def _dumps(body: Json) -> str:
    return json.dumps(body, separators=(",", ":"))
