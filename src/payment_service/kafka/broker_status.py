"""What keeps this process from its brokers, in one sentence: no address that answers, a login or a certificate that is refused.

The library tries again by itself and says so through its error callback, again and again. It says nothing when it is back, so trouble
ends with the first success, or when nothing was heard of it for a while. That all brokers are down it says, too, when they have only
closed connections that were idle; it is so if connecting fails as well.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from collections.abc import Callable

# Once and a half of the 50 s after which a consumer says again that all are down (measured, librdkafka 2.16; a producer: 1 s).
FORGOTTEN_AFTER_S: Final = 75.0
DETAIL_LIMIT_CHARACTERS: Final = 200

_NOT_REACHED: Final = "no broker is reached: check KAFKA_BROKERS and the network"
_ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001 - the library's names for its own findings begin so
_NOT_CONNECTED: Final = {KafkaError._TRANSPORT, KafkaError._RESOLVE}  # noqa: SLF001
_REFUSALS: Final = {
    KafkaError._AUTHENTICATION: "the login is refused: check KAFKA_CONFIG_SASL_…",  # noqa: SLF001
    KafkaError._SSL: "no TLS comes about: check KAFKA_CONFIG_SSL_…",  # noqa: SLF001
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the user may not write: give it the rules of docs/deployment.md",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the user may not join the group KAFKA_GROUP_ID: give it READ on it",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the user may not use a topic: give it the rules of docs/deployment.md",
}


class BrokerStatus:
    """Told by the clients of one process, from their threads. `clock`: seconds that only go on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.works()

    def failed(self, error: KafkaError) -> None:
        """Note an error; one that says nothing of the way to the brokers is left out."""
        code, now = error.code(), self._clock()
        if code == _ALL_DOWN:
            self._down_at = now
        elif code in _NOT_CONNECTED:
            self._not_connected_at = now
        elif code in _REFUSALS:
            self._refusal = (f"{_REFUSALS[code]} ({error.str()[:DETAIL_LIMIT_CHARACTERS]})", now)

    def works(self) -> None:
        """Note that a broker did what it was asked."""
        self._down_at = self._not_connected_at = -math.inf
        self._refusal = ("", -math.inf)

    def trouble(self) -> str:
        """Say in one sentence what is wrong and what to do; nothing: empty. A refusal is told before "all are down", which follows it."""
        since = self._clock() - FORGOTTEN_AFTER_S
        refusal, refused_at = self._refusal
        if refused_at > since:
            return refusal
        return _NOT_REACHED if min(self._down_at, self._not_connected_at) > since else ""
