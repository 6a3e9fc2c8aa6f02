"""Handle one API request: credentials, parameters, faults, idempotency, response."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from stripe_sandbox import errors
from stripe_sandbox.errors import ApiError, Json
from stripe_sandbox.faults.broken_connections import break_connection
from stripe_sandbox.faults.injection import (
    ApiResponse,
    apply_after_work,
    apply_before_work,
    during_outage,
    replacement_for,
    stored_response,
)
from stripe_sandbox.faults.matching import Target, objects_of, operation_name
from stripe_sandbox.faults.rules import Injection
from stripe_sandbox.resources.events import API_VERSION
from stripe_sandbox.resources.pagination import check_expansion, expanded
from stripe_sandbox.sandbox import Sandbox
from stripe_sandbox.state.store import Transaction
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork, new_id
from stripe_sandbox.wire import cors, forms, headers, not_covered
from stripe_sandbox.wire.auth import presented_key
from stripe_sandbox.wire.idempotency import fingerprint
from stripe_sandbox.wire.parameters import Schema
from stripe_sandbox.wire.publishable import secret_key_required, stripped, visible
from stripe_sandbox.wire.rate_limits import LimitedRequest

log = logging.getLogger(__name__)

SEARCH = "search"  # takes the place of an id in the path: Stripe searches there, the sandbox does not
_SHOULD_RETRY = {400: "false", 401: "false", 402: "false", 403: "false", 404: "false", 409: "true"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the route table; `run` takes (unit of work, typed parameters, path parameters).

    If `publishable` is set, a publishable key is enough to call it.
    """

    method: str
    path: str
    run: Callable[[UnitOfWork, Json, Json], Reply]
    schema: Schema
    publishable: bool = False

    @property
    def name(self) -> str:
        """The method and the path of Stripe's reference."""
        return f"{self.method} {self.path}"

    def read(self, raw: Json) -> Json:
        """Return typed parameters. Raises `ApiError` 400; for what only Stripe accepts, with a message that says so."""
        try:
            return self.schema.read(raw)
        except ApiError:
            not_covered.check_parameters(self.name, raw)
            raise


@dataclass(frozen=True, slots=True)
class Call:
    """An incoming request, decoded."""

    method: str
    path: str
    path_params: Json
    raw: Json
    origin: str
    request_id: str
    key: str | None
    account: str | None
    publishable: bool

    @property
    def key_scope(self) -> str:
        """The name under which the idempotency key is stored: each account has its own keys."""
        return f"{self.account} {self.key}" if self.account else str(self.key)


class Api:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def serve(self, request: web.Request, operation: Operation | None) -> web.StreamResponse:
        if request.method == "OPTIONS" and request.path.startswith("/v1/"):
            return web.Response(headers=cors.PREFLIGHT)
        request_id = new_id("req_")
        try:
            response = await self._serve_or_raise(request, operation, request_id)
        except ApiError as error:
            response = _error_response(error, request_id)
        except web.HTTPRequestEntityTooLarge as error:
            response = _error_response(ApiError(413, error.text or "The request is too large."), request_id)
        except (BadHttpMessage, web.RequestPayloadError):
            response = _error_response(errors.invalid("The request's body could not be read."), request_id)
        except Exception:
            log.exception("request %s failed", request_id)
            response = _error_response(_internal_error(), request_id)
        if response.connection_break is not None:
            return await self._break_connection(request, response, request_id)
        return self._response(request, response, request_id)

    async def _serve_or_raise(self, request: web.Request, operation: Operation | None, request_id: str) -> ApiResponse:
        if (outage := self._sandbox.faults.current_outage()) is not None:
            return await during_outage(*outage)
        if operation is None or request.match_info.get("id") == SEARCH:
            not_covered.check_endpoint(request.method, request.path)
            raise errors.unknown_url(request.method, request.path)
        raw = forms.decode(await _form(request))
        publishable = self._sandbox.api_keys.check(request.headers.get("Authorization"), raw.get("key"))
        if publishable and not operation.publishable:
            raise secret_key_required()
        headers.check_version(request.headers.get("Stripe-Version"))
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        call = Call(
            method=request.method,
            path=request.path,
            path_params=dict(request.match_info),
            raw=stripped(raw) if publishable else raw,
            origin=f"http://{request.host}",
            request_id=request_id,
            key=headers.idempotency_key(key),
            account=headers.account(request.headers.get("Stripe-Account")),
            publishable=publishable,
        )
        if self._sandbox.faults.requests_unaffected:
            return await self._handle(operation, call, None)
        return await self._handle_with_faults(operation, call, request.headers.get("Authorization"))

    async def _handle_with_faults(self, operation: Operation, call: Call, authorization: str | None) -> ApiResponse:
        faults = self._sandbox.faults
        target = Target(
            method=call.method,
            path=call.path,
            operation=operation_name(operation.method, operation.path),
            key=call.key,
            params=call.raw,
            objects=objects_of(self._sandbox.store, call.path_params.get("id"), call.raw),
            api_key=presented_key(authorization) or "",
        )
        with faults.limiter.admitted(LimitedRequest("_live_" in target.api_key, target.operation, target.changed)):
            injection = faults.select(target)
            try:
                return await apply_after_work(injection, await self._handle(operation, call, injection))
            finally:
                faults.return_unused(injection)

    async def _handle(self, operation: Operation, call: Call, injection: Injection | None) -> ApiResponse:
        """Produce the durable response, under the idempotency key if there is one."""
        if call.key is None:
            return await self._perform(operation, call, injection, "")
        # Keys are scoped by key type: a browser must not receive a response made for a secret key.
        caller = "publishable " if call.publishable else ""
        request_fingerprint = fingerprint(caller + call.method, call.path, call.raw)
        stored = self._sandbox.keys.begin(call.key_scope, request_fingerprint)
        if stored is not None:
            return await apply_before_work(injection) or _replayed(stored)
        try:
            return await self._perform(operation, call, injection, request_fingerprint)
        finally:
            self._sandbox.keys.end(call.key_scope)

    async def _perform(
        self, operation: Operation, call: Call, injection: Injection | None, request_fingerprint: str
    ) -> ApiResponse:
        if injection is None:
            return await self._execute(operation, call, None, request_fingerprint)
        with self._sandbox.faults.limiter.locked(injection.changed_object):
            return await apply_before_work(injection) or await self._execute(
                operation, call, injection, request_fingerprint
            )

    async def _execute(
        self, operation: Operation, call: Call, injection: Injection | None, request_fingerprint: str
    ) -> ApiResponse:
        params = operation.read(call.raw)
        if "expand" in params:
            check_expansion(operation.method, operation.path, params["expand"])
        work = self._begin(call)
        if (response := replacement_for(injection)) is None:
            work, response = self._run(operation, call, work, params)
        stored = stored_response(injection, response)
        if call.key is not None and stored is not None:
            keys = self._sandbox.keys
            keys.store(work.tx, call.key_scope, request_fingerprint, call.request_id, stored.status, stored.text)
        await self._sandbox.commit(work)
        return response

    def _run(self, operation: Operation, call: Call, work: UnitOfWork, params: Json) -> tuple[UnitOfWork, ApiResponse]:
        """Run the operation; an `ApiError` rolls back everything it did."""
        try:
            reply = operation.run(work, params, call.path_params)
            if reply.status == HTTPStatus.OK:
                reply = replace(reply, body=expanded(work, reply.body, params.get("expand", [])))
            else:
                reply = replace(reply, body=errors.body(reply.body["error"], call.request_id))
            return work, ApiResponse(reply.status, _dumps(_visible_to(call, reply.body)))
        except ApiError as error:
            error.error = _visible_to(call, error.error)
            return self._begin(call), _error_response(error, call.request_id)

    def _begin(self, call: Call) -> UnitOfWork:
        return UnitOfWork(
            Transaction(self._sandbox.store),
            self._sandbox.clock.now(),
            call.origin,
            call.request_id,
            call.key,
            publishable=call.publishable,
        )

    async def _break_connection(self, request: web.Request, response: ApiResponse, request_id: str) -> web.Response:
        """Break the response on the wire; aiohttp then finds the connection closed."""
        if response.connection_break is not None and request.transport is not None:
            whole = self._response(request, response, request_id)
            await break_connection(
                request.transport,
                response.connection_break,
                response.status,
                whole.headers,
                response.text.encode(),
            )
        return web.Response()

    def _response(self, request: web.Request, response: ApiResponse, request_id: str) -> web.Response:
        if response.proxy:
            return web.Response(status=response.status, body=response.text.encode(), headers=response.headers)
        sent = {
            "Content-Type": "application/json",
            "Cache-Control": "no-cache, no-store",
            "Date": formatdate(self._sandbox.clock.now(), usegmt=True),
            "Request-Id": request_id,
            "Stripe-Version": headers.version(request.headers.get("Stripe-Version")) or API_VERSION,
            **(cors.HEADERS if request.path.startswith("/v1/") else {}),
        }
        if "Idempotency-Key" in request.headers or "Stripe-Account" in request.headers:
            sent |= _echoed(request, request_id)
        if response.status in _SHOULD_RETRY:
            sent["Stripe-Should-Retry"] = _SHOULD_RETRY[response.status]
        if response.status == HTTPStatus.UNAUTHORIZED:
            sent["WWW-Authenticate"] = 'Basic realm="Stripe"'
        return web.Response(status=response.status, body=response.text.encode(), headers=sent | response.headers)


async def _form(request: web.Request) -> bytes:
    """Return the parameters of the query string and the body; the body wins because it comes last."""
    query = request.rel_url.raw_query_string.encode("utf-8", "surrogateescape")
    if not request.can_read_body:
        return query
    kind = request.headers.get("Content-Type")
    if request.method == "POST":
        headers.check_form(kind)
    elif not headers.is_form(kind):
        return query
    body = await request.read()
    return query + b"&" + body if query else body


def _echoed(request: web.Request, request_id: str) -> dict[str, str]:
    """Return the request headers that Stripe repeats in its response; invalid ones are left out."""
    echoed: dict[str, str] = {}
    with contextlib.suppress(ApiError):
        if (account := headers.account(request.headers.get("Stripe-Account"))) is not None:
            echoed["Stripe-Account"] = account
        key = headers.idempotency_key(request.headers.get("Idempotency-Key"))
        if key is not None and request.method == "POST":
            echoed |= {"Idempotency-Key": key, "Original-Request": request_id}
    return echoed


def _replayed(stored: Json) -> ApiResponse:
    headers = {"Idempotent-Replayed": "true", "Original-Request": stored["request_id"]}
    return ApiResponse(stored["status"], stored["text"], headers)


def _error_response(error: ApiError, request_id: str) -> ApiResponse:
    return ApiResponse(error.status, _dumps(errors.body(error.error, request_id)), error.headers)


def _visible_to(call: Call, body: Json) -> Json:
    visible_body: Json = visible(body) if call.publishable else body
    return visible_body


def _internal_error() -> ApiError:
    return ApiError(500, "The sandbox failed: see its log.", kind="api_error")


def _dumps(body: Json) -> str:
    return json.dumps(body, separators=(",", ":"))
