"""Run Apache Kafka with TLS: SASL, mutual TLS and ACLs, plus a plain listener for the suite."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from payment_service_demo.embedded.process import free_port
from tests.support.apache_kafka import PROPERTIES, ApacheKafka
from tests.support.certificates import Authority, Certificate

USER: Final = "payment-service"
PASSWORD: Final = "canary-of-the-suite"
# The plain listener's user is ANONYMOUS with all privileges. On the other listeners ACLs apply.
SECURITY: Final = """
listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{sasl_port},SSL://127.0.0.1:{ssl_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://localhost:{sasl_port},SSL://localhost:{ssl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class SecuredKafka(ApacheKafka):
    """A broker with three listeners: plain (`bootstrap_servers`), `sasl` and `mutual`."""

    def __init__(self, authority: Authority, server: Certificate) -> None:
        super().__init__()
        self._sasl_port, self._ssl_port = free_port(), free_port()
        self._keystore = authority.folder / "keystore.pem"
        self._keystore.write_text(server.key.read_text() + server.certificate.read_text())
        self._truststore = authority.certificate

    @property
    def sasl(self) -> str:
        """The listener for SASL."""
        return f"localhost:{self._sasl_port}"

    @property
    def mutual(self) -> str:
        """The listener that requires a client certificate."""
        return f"localhost:{self._ssl_port}"

    def _properties(self, folder: Path, port: int, controller_port: int) -> str:
        plain = [
            line for line in PROPERTIES.splitlines() if not line.startswith(("listeners=", "advertised.listeners="))
        ]
        return ("\n".join(plain) + SECURITY).format(
            port=port,
            controller_port=controller_port,
            folder=folder,
            sasl_port=self._sasl_port,
            ssl_port=self._ssl_port,
            keystore=self._keystore,
            truststore=self._truststore,
            user=USER,
            password=PASSWORD,
        )

    def _format_options(self) -> list[str]:
        return ["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"]
