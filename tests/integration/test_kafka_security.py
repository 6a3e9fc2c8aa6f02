"""Test SASL, TLS and ACLs on Apache Kafka: the errors that an operator sees, and the least privileges of a user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from payment_service.contracts.records import ORDERS_CREATED, topics_needed
from tests.support.certificates import Authority
from tests.support.command import run
from tests.support.eventually import eventually
from tests.support.kafka import DEAD_LETTERS, Topics, admin, create_topics
from tests.support.secured_kafka import PASSWORD, USER, SecuredKafka
from tests.support.service import StartService
from tests.support.shop import ask, broker_state

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(os.environ.get("TEST_KAFKA") != "apache", reason="the embedded broker knows no security"),
]
GROUP: Final = "payment-service-group"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Authority]:
    """Create a trusted authority and an untrusted one."""
    folder = tmp_path_factory.mktemp("certificates")
    return Authority.make(folder / "trusted"), Authority.make(folder / "stranger")


@pytest.fixture(scope="module")
def kafka(authorities: tuple[Authority, Authority]) -> Iterator[SecuredKafka]:
    trusted, _ = authorities
    with SecuredKafka(trusted, trusted.issue("broker", "DNS:localhost")) as kafka:
        create_topics(kafka.bootstrap_servers, topics_needed(orders_cancelled=False))
        yield kafka


def rule(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{USER}", "*", operation, AclPermissionType.ALLOW)


RULES: Final = [
    rule(ResourceType.GROUP, GROUP, AclOperation.READ),
    rule(ResourceType.TOPIC, ORDERS_CREATED, AclOperation.READ),
    rule(ResourceType.TOPIC, ORDERS_CREATED, AclOperation.DESCRIBE_CONFIGS),
    *(
        rule(ResourceType.TOPIC, name, AclOperation.WRITE)
        for name in topics_needed(orders_cancelled=False)
        if name != ORDERS_CREATED
    ),
]


def remove_rule(kafka: SecuredKafka, kind: ResourceType, name: str | None = None) -> None:
    anything: Any = None  # the library's types require text
    which = AclBindingFilter(
        kind, name or anything, ResourcePatternType.ANY, anything, anything, AclOperation.ANY, AclPermissionType.ANY
    )
    client = admin(kafka.bootstrap_servers)
    for deleted in client.delete_acls([which]).values():
        deleted.result(timeout=30)


def await_topics_seen(kafka: SecuredKafka, authority: Authority, expected: set[str]) -> None:
    """Wait until the user sees exactly these topics: the controller answers before the broker applies a rule."""
    client = AdminClient(
        {
            "bootstrap.servers": kafka.sasl,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(authority.certificate),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
        }
    )
    eventually(lambda: set(client.list_topics(timeout=10).topics) == expected)


@pytest.fixture
def kafka_with_rules(kafka: SecuredKafka, authorities: tuple[Authority, Authority]) -> Iterator[SecuredKafka]:
    """Start the broker with the rules of docs/deployment.md, and remove them afterwards."""
    client = admin(kafka.bootstrap_servers)
    for made in client.create_acls(RULES).values():
        made.result(timeout=30)
    await_topics_seen(kafka, authorities[0], set(topics_needed(orders_cancelled=False)))
    yield kafka
    remove_rule(kafka, ResourceType.ANY)
    await_topics_seen(kafka, authorities[0], set())


@pytest.fixture
def scram(kafka: SecuredKafka, authorities: tuple[Authority, Authority]) -> dict[str, str]:
    return {
        "KAFKA_BROKERS": kafka.sasl,
        "KAFKA_GROUP_ID": GROUP,
        "KAFKA_CONFIG_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_CONFIG_SSL_CA_LOCATION": str(authorities[0].certificate),
        "KAFKA_CONFIG_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_CONFIG_SASL_USERNAME": USER,
        "KAFKA_CONFIG_SASL_PASSWORD": PASSWORD,
    }


def doctor_report(env: Mapping[str, str]) -> list[str]:
    """Return doctor's report about the broker and its topics."""
    stripe = {
        "STRIPE_SECRET_KEY": "sk_test_suite",
        "STRIPE_WEBHOOK_SECRET": "whsec_suite",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }
    result = run("doctor", env={"DB_DSN": "postgresql://x@127.0.0.1:9/x", **stripe, **env})
    assert PASSWORD not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return [" ".join(line.split()) for line in result.stdout.splitlines() if " broker" in line or " topics" in line]


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_a_user_with_the_documented_rules_can_connect(
    kafka_with_rules: SecuredKafka, scram: dict[str, str], mechanism: str
) -> None:
    count = len(topics_needed(orders_cancelled=False))
    assert doctor_report({**scram, "KAFKA_CONFIG_SASL_MECHANISM": mechanism}) == [
        "ok broker answers",
        f"ok topics all {count} exist",
    ]


def test_a_client_certificate_replaces_a_password(
    kafka_with_rules: SecuredKafka, authorities: tuple[Authority, Authority]
) -> None:
    trusted, stranger = authorities
    env = {
        "KAFKA_BROKERS": kafka_with_rules.mutual,
        "KAFKA_CONFIG_SECURITY_PROTOCOL": "SSL",
        "KAFKA_CONFIG_SSL_CA_LOCATION": str(trusted.certificate),
    }
    for authority, verdict in ((trusted, "ok broker answers"), (stranger, "failed broker cannot connect: ")):
        client = authority.issue(USER)
        certificate = {
            "KAFKA_CONFIG_SSL_CERTIFICATE_LOCATION": str(client.certificate),
            "KAFKA_CONFIG_SSL_KEY_LOCATION": str(client.key),
        }
        assert doctor_report({**env, **certificate})[0].startswith(verdict)
    assert doctor_report(env)[0].startswith("failed broker cannot connect: ")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"KAFKA_CONFIG_SASL_PASSWORD": "wrong-canary"}, "Authentication failed"),
        ({"KAFKA_CONFIG_SSL_CA_LOCATION": "stranger"}, "certificate verify failed"),
        ({"KAFKA_BROKERS": "by address"}, "certificate verify failed"),
    ],
)
def test_a_refused_connection_is_explained_in_one_line(
    kafka_with_rules: SecuredKafka,
    scram: dict[str, str],
    authorities: tuple[Authority, Authority],
    trouble: dict[str, str],
    reason: str,
) -> None:
    """The certificate is valid for localhost, so connecting by IP address must fail."""
    places = {
        "stranger": str(authorities[1].certificate),
        "by address": kafka_with_rules.sasl.replace("localhost", "127.0.0.1"),
    }
    [line] = doctor_report({**scram, **{name: places.get(value, value) for name, value in trouble.items()}})
    assert line.startswith("failed broker cannot connect: ")
    assert reason in line
    assert "canary" not in line


@pytest.mark.parametrize("left_out", [ORDERS_CREATED, "payments.failed"])
def test_a_missing_rule_is_reported_by_its_topic(
    kafka_with_rules: SecuredKafka,
    scram: dict[str, str],
    authorities: tuple[Authority, Authority],
    left_out: str,
) -> None:
    """A broker hides a topic from a user without any privilege on it."""
    remove_rule(kafka_with_rules, ResourceType.TOPIC, left_out)
    await_topics_seen(kafka_with_rules, authorities[0], set(topics_needed(orders_cancelled=False)) - {left_out})
    line = doctor_report(scram)[1]
    assert line.startswith(f"failed topics missing: {left_out} → ")
    assert "ACL" in line


@pytest.mark.parametrize(
    ("trouble", "sentence"),
    [
        ({"KAFKA_CONFIG_SASL_PASSWORD": "wrong-canary"}, "the login was refused"),
        ({"KAFKA_CONFIG_SSL_CA_LOCATION": "stranger"}, "TLS handshake failed"),
        ({"KAFKA_GROUP_ID": "another"}, "no permission to join the group"),
    ],
)
def test_ready_reports_why_the_broker_refuses_the_service(
    kafka_with_rules: SecuredKafka,
    scram: dict[str, str],
    authorities: tuple[Authority, Authority],
    start_service: StartService,
    trouble: dict[str, str],
    sentence: str,
) -> None:
    """The service is ready all the same, because it still accepts webhooks."""
    places = {"stranger": str(authorities[1].certificate)}
    changes = {name: places.get(value, value) for name, value in trouble.items()}
    service = start_service("intake,relay,http", **{**scram, **changes})
    eventually(lambda: sentence in broker_state(service))
    assert "canary" not in broker_state(service)
    eventually(lambda: "\npayments_broker_unavailable 1.0\n" in ask(f"{service.metrics_url}/metrics")[1])


def test_the_service_reads_and_writes_with_the_documented_rules(
    kafka_with_rules: SecuredKafka, scram: dict[str, str], start_service: StartService
) -> None:
    topics = Topics(kafka_with_rules.bootstrap_servers)
    service = start_service("intake,relay,http", **scram)
    topics.produce([b"no order"])
    [letter] = topics.read_count(1, topics=[DEAD_LETTERS])
    assert letter.value == b"no order"
    assert broker_state(service) == "ok"
