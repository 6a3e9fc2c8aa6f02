"""Serialized events, encoded once for all endpoints and early retries."""

from __future__ import annotations

import json
from collections import OrderedDict

from stripe_sandbox.errors import Json
from stripe_sandbox.resources.events import API_VERSION, pending_webhooks
from stripe_sandbox.state.store import Store

CACHED_EVENTS = 512  # about 3 kB each; an event goes to all its endpoints at about the same time


class Payloads:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._bodies: OrderedDict[str, bytes] = OrderedDict()

    def of(self, event: Json, endpoint: Json) -> bytes:
        """Return the event for `endpoint` now: its API version and the current count of pending webhooks."""
        version = endpoint["api_version"] or API_VERSION
        pending = pending_webhooks(self._store, event["id"])
        head = b'{"id":"%s","object":"event","api_version":"%s","pending_webhooks":%d,'
        return head % (event["id"].encode(), version.encode(), pending) + self._body(event)

    def _body(self, event: Json) -> bytes:
        """Return the part common to all endpoints, without the opening brace."""
        body = self._bodies.get(event["id"])
        if body is None:
            common = {name: value for name, value in event.items() if name not in ("id", "object", "api_version")}
            body = json.dumps(common, separators=(",", ":")).encode()[1:]
            self._bodies[event["id"]] = body
            if len(self._bodies) > CACHED_EVENTS:
                self._bodies.popitem(last=False)
        return body
