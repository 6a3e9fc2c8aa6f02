"""Serialized events, encoded once for all endpoints of a kind of version, and early retries."""

from __future__ import annotations

import json
from collections import OrderedDict

from stripe_sandbox.errors import Json
from stripe_sandbox.resources import old_versions
from stripe_sandbox.resources.events import API_VERSION, ONLY_OLD, pending_webhooks
from stripe_sandbox.state.store import Store

CACHED_EVENTS = 512  # about 3 kB each; an event goes to all its endpoints at about the same time


_NOT_COMMON = frozenset({"id", "object", "api_version", ONLY_OLD})


class Payloads:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._bodies: OrderedDict[tuple[str, bool], bytes] = OrderedDict()

    def of(self, event: Json, endpoint: Json) -> bytes:
        """Return the event for `endpoint` now: its API version and the current count of pending webhooks."""
        version = endpoint["api_version"] or API_VERSION
        pending = pending_webhooks(self._store, event["id"])
        head = b'{"id":"%s","object":"event","api_version":"%s","pending_webhooks":%d,'
        return head % (event["id"].encode(), version.encode(), pending) + self._body(
            event, old=old_versions.is_old(endpoint)
        )

    def _body(self, event: Json, *, old: bool) -> bytes:
        """Return the part common to all endpoints, without the opening brace. `old`: for a version before basil."""
        body = self._bodies.get((event["id"], old))
        if body is None:
            common = {name: value for name, value in event.items() if name not in _NOT_COMMON}
            if old:
                common["data"] = old_versions.data_of(event)
            body = json.dumps(common, separators=(",", ":")).encode()[1:]
            self._bodies[event["id"], old] = body
            if len(self._bodies) > CACHED_EVENTS:
                self._bodies.popitem(last=False)
        return body
