"""The connection to the brokers in one sentence: no broker reachable, or login, certificate or permission refused.

librdkafka reconnects by itself. It repeats errors through its callback and does not report recovery, so a problem ends
with the first success, or after a while without errors. It also reports "all brokers down" when only idle connections
closed. That counts as a problem only if connecting fails too.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from collections.abc import Callable

# 1.5 times the 50 s after which a consumer repeats "all brokers down" (measured with librdkafka 2.16; a producer
# repeats it after 1 s).
FORGOTTEN_AFTER_S: Final = 75.0
DETAIL_LIMIT_CHARACTERS: Final = 200

_NOT_REACHED: Final = "no broker can be reached: check KAFKA_BROKERS and the network"
_ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the library's names for its own findings begin so
_NOT_CONNECTED: Final = {KafkaError._TRANSPORT, KafkaError._RESOLVE}  # noqa: SLF001
_REFUSALS: Final = {
    KafkaError._AUTHENTICATION: "the login was refused: check KAFKA_CONFIG_SASL_…",  # noqa: SLF001
    KafkaError._SSL: "TLS handshake failed: check KAFKA_CONFIG_SSL_…",  # noqa: SLF001
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user has no permission to write: grant the ACLs in docs/deployment.md",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user has no permission to join the group KAFKA_GROUP_ID: grant READ on the group",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user has no permission for a topic: grant the ACLs in docs/deployment.md",
}


class BrokerStatus:
    """Collects errors and successes from the Kafka clients of one process; thread-safe. `clock` must be monotonic, in
    seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.record_success()

    def record_error(self, error: KafkaError) -> None:
        """Record an error. Errors unrelated to the connection are ignored."""
        code, now = error.code(), self._clock()
        if code == _ALL_DOWN:
            self._down_at = now
        elif code in _NOT_CONNECTED:
            self._not_connected_at = now
        elif code in _REFUSALS:
            self._refusal = (f"{_REFUSALS[code]} ({error.str()[:DETAIL_LIMIT_CHARACTERS]})", now)

    def record_success(self) -> None:
        """Record that a broker handled a request."""
        self._down_at = self._not_connected_at = -math.inf
        self._refusal = ("", -math.inf)

    def problem(self) -> str:
        """Return one sentence with the problem and its fix, or an empty string. A refusal wins over the "all down" that
        follows it.
        """
        since = self._clock() - FORGOTTEN_AFTER_S
        refusal, refused_at = self._refusal
        if refused_at > since:
            return refusal
        return _NOT_REACHED if min(self._down_at, self._not_connected_at) > since else ""
