"""Run Apache Kafka, one node in KRaft mode, for `make test-kafka`.

It needs Java; Maven fetches the jars (tests/kafka).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Final, Self

from confluent_kafka import KafkaException

from payment_service_demo.embedded.process import ChildProcess, EmbeddedError, Server, WorkFolder, free_port
from tests.support.kafka import admin

JARS: Final = Path(os.environ.get("TEST_KAFKA_JARS") or Path(__file__).parents[2] / ".cache" / "kafka")
# Ready in 3 s on an idle machine.
START_TIMEOUT_S: Final = 60
JAVA: Final = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*")

PROPERTIES: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={folder}/data
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


class ApacheKafka(Server):
    """A broker on 127.0.0.1. `stop` removes its data."""

    @property
    def bootstrap_servers(self) -> str:
        """The value for `bootstrap.servers` of Kafka clients."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Format a new data folder, start the broker and wait until it responds to clients."""
        if not any(JARS.glob("kafka_*.jar")):
            message = f"No Kafka in {JARS}: run make test-kafka, which fetches it."
            raise EmbeddedError(message)
        self._folder = WorkFolder("kafka")
        folder = self._folder.path
        self._port = free_port()
        try:
            properties = folder / "server.properties"
            properties.write_text(self._properties(folder, self._port, self._other_port()))
            _format(properties, self._format_options())
            self._child = ChildProcess(
                [*JAVA, "kafka.Kafka", properties],
                log=folder / "kafka.log",
                stop_signal=signal.SIGKILL,  # also removes its data
            )
            self._child.wait_until(self._answers, timeout_s=START_TIMEOUT_S, name="Apache Kafka")
        except BaseException:
            self.stop()
            raise
        return self

    def _properties(self, folder: Path, port: int, controller_port: int) -> str:
        return PROPERTIES.format(port=port, controller_port=controller_port, folder=folder)

    def _format_options(self) -> list[str]:
        return []

    def _other_port(self) -> int:
        while (port := free_port()) == self._port:
            pass
        return port

    def _answers(self) -> bool:
        with contextlib.suppress(KafkaException):
            return bool(admin(self.bootstrap_servers).list_topics(timeout=1).brokers)
        return False


def _format(properties: Path, options: list[str]) -> None:
    command = [*JAVA, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(properties), *options]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_TIMEOUT_S)
    if result.returncode != 0:
        message = f"Kafka's storage could not be formatted:\n{result.stdout}{result.stderr}"
        raise EmbeddedError(message)
