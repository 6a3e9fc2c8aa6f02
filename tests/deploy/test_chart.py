"""The Helm chart as helm renders it: what Kubernetes accepts, what a pod may do, and that the service starts by it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from payment_service.config.config import ROLES, BankTransferSettings, Config
from payment_service.config.secret_files import is_secret
from tests.support.chart import (
    CHART,
    KUBERNETES,
    PRETENDED,
    VALUES,
    containers,
    environment,
    helm,
    one,
    pod_specs,
    render,
    template,
)

pytestmark = [pytest.mark.helm, pytest.mark.timeout(120)]

SECRETS: Final = "/run/secrets/payment-service/"
KINDS_OF_OPERATORS: Final = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
SELECTOR: Final = {"app.kubernetes.io/name": "payment-service", "app.kubernetes.io/instance": "shop"}


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_complain_about(name: str) -> None:
    result = helm("lint", "--strict", CHART, *PRETENDED, "--values", VALUES[name])
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_chart_as_it_is_packaged_is_the_same(tmp_path: Path) -> None:
    """In it stands what the folder only links to: the alerts."""
    packaged = helm("package", CHART, "--destination", tmp_path)
    assert packaged.returncode == 0, packaged.stderr
    [archive] = tmp_path.glob("payment-service-*.tgz")
    for values in VALUES.values():
        result = template(values=values, chart=archive)
        assert (result.returncode, result.stdout) == (0, template(values=values).stdout), result.stderr
        assert helm("lint", "--strict", archive, *PRETENDED, "--values", values).returncode == 0


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_knows_every_field_and_value(name: str, version: str, tmp_path: Path) -> None:
    """By Kubernetes' own schemas, in which a name that is not there is an error."""
    manifests = [it for it in render(name) if it["kind"] not in KINDS_OF_OPERATORS]
    result = validate(manifests, version, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_kubernetes_does_not_know_is_found(tmp_path: Path) -> None:
    """A check that lets everything pass would say nothing above."""
    manifests = render("minimal")
    one(manifests, "Deployment", "shop-payment-service")["spec"]["template"]["spec"]["restartPolice"] = "Always"
    assert validate(manifests, KUBERNETES[0], tmp_path).returncode != 0


def validate(manifests: list[dict[str, Any]], version: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    command = Path(sys.executable).with_name("kubernetes-validate")
    return subprocess.run([command, "--strict", "-k", version, file], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ([], "settings.KAFKA_BROKERS"),
        (["settings.KAFKA_BROKERS=kafka:9092"], "database.existingSecret"),
        (["settings.KAFKA_BROKERS=kafka:9092", "database.existingSecret=a"], "stripe.existingSecret"),
        (["settings.KAFKA_BROKERS=kafka:9092", "database.existingSecret=a", "stripe.secretKey=sk_1"], "stripe.existingSecret"),
    ],
)  # fmt: skip
def test_what_has_no_default_is_asked_for_by_name(given: list[str], missing: str) -> None:
    """Three values: the brokers, the database, Stripe's secrets."""
    result = template(*(f"--set={value}" for value in given))
    assert result.returncode != 0
    assert f"{missing} is not set: " in result.stderr


def test_three_values_are_enough() -> None:
    result = template("--set=settings.KAFKA_BROKERS=kafka:9092,database.existingSecret=a,stripe.existingSecret=b")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "wrong",
    ["settings.KAFKA_BROKER=kafka:9092", "settings.STRIPE_SECRET_KEY=sk_1",
     "settings.KAFKA_CONFIG_SASL_PASSWORD=x", "replica=3", "roles.intake.replicas=2", "stripe.secretKey=pk_test_1", "settings.SERVICE_PORT=80", "replicas=0.5", "serviceMonitor.interval=15"],
)  # fmt: skip
def test_a_value_that_is_mistyped_or_would_do_harm_is_refused(wrong: str) -> None:
    """A secret as a setting would stand in the pod; one role without the other three would leave work undone."""
    assert template(values=VALUES["minimal"]).returncode == 0
    assert template(f"--set={wrong}", values=VALUES["minimal"]).returncode != 0


@pytest.mark.parametrize("name", VALUES)
def test_no_pod_may_do_more_than_it_needs(name: str) -> None:
    for _, spec in pod_specs(manifests := render(name)):
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    for _, container in containers(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"].keys() == {"memory"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_secrets_stand_in_secrets_and_nowhere_else() -> None:
    """Neither in a pod's spec, which many may read, nor in an annotation."""
    manifests = render("secrets-in-values")
    secrets = [it for it in manifests if it["kind"] == "Secret"]
    assert len(secrets) == 4
    elsewhere = [it for it in manifests if it["kind"] != "Secret"]
    assert "seen-by-nobody" in json.dumps(secrets)
    assert "seen-by-nobody" not in json.dumps(elsewhere)


@pytest.mark.parametrize("name", VALUES)
def test_every_secret_that_is_mounted_is_there_or_is_named_in_the_values(name: str) -> None:
    manifests = render(name)
    made = {it["metadata"]["name"] for it in manifests if it["kind"] == "Secret"}
    for _, spec in pod_specs(manifests):
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
        named = {source["secret"]["name"] for source in volume["projected"]["sources"]}
        assert [it for it in named - made if it not in VALUES[name].read_text()] == []


def test_only_the_jobs_get_the_owners_way_into_the_database() -> None:
    """Who owns the tables could change what was announced; the jobs, again, can't pay."""
    for name in ("roles", "secrets-in-values"):
        for pod, spec in pod_specs(render(name)):
            sources = [source["secret"] for source in spec["volumes"][0]["projected"]["sources"]]
            database = next(it["name"] for it in sources if it["items"][0]["path"] == "DB_DSN")
            is_job = pod.endswith(("-migrate", "-maintain"))
            assert ("owner" in database or "migrate" in database) is is_job, pod
            assert any("stripe" in it["name"] for it in sources) is not is_job


@pytest.mark.parametrize("name", VALUES)
def test_a_variable_in_a_pod_is_one_that_the_service_knows(name: str) -> None:
    """An unknown one would stop the start; a file is read for secrets alone."""
    fields = {**Config.model_fields, **BankTransferSettings.model_fields}
    known = {field.upper() + ("_FILE" if is_secret(it) else "") for field, it in fields.items()}
    known |= {"ACME_API_KEY_FILE", "ACME_BASE"}
    for _, container in containers(render(name)):
        assert {it for it in environment(container) if not it.startswith("KAFKA_CONFIG_")} <= known


@pytest.mark.parametrize("name", VALUES)
def test_the_service_starts_by_what_its_pod_is_given(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the values that were written, whatever YAML made of them on the way."""
    contents = {
        "DB_DSN": "postgresql://db/payments",
        "STRIPE_SECRET_KEY": "sk_test_1",
        "STRIPE_WEBHOOK_SECRET": "whsec_secret",
        "KAFKA_CONFIG_SASL_PASSWORD": "password",
    }
    for file, text in contents.items():
        (tmp_path / file).write_text(text)
    container = next(it for pod, it in containers(render(name)) if not pod.endswith(("-migrate", "-maintain")))
    for variable, value in environment(container).items():
        monkeypatch.setenv(variable, value.replace(SECRETS, f"{tmp_path}/"))
    config = Config.from_environment()
    given = yaml.safe_load(VALUES[name].read_text())["settings"]
    assert config.kafka_brokers == given["KAFKA_BROKERS"]
    assert config.max_amount_minor == given.get("MAX_AMOUNT_MINOR", 999_999_999_999)
    assert config.provider_rate_per_second == float(given.get("PROVIDER_RATE_PER_SECOND", 20))
    assert config.orders_cancelled is given.get("ORDERS_CANCELLED", False)


@pytest.mark.parametrize("name", VALUES)
def test_ports_and_probes_are_those_on_which_the_service_answers(name: str) -> None:
    for _, spec in pod_specs(manifests := render(name)):
        for container in spec["containers"]:
            if container["args"][0] != "serve":
                continue
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert ports["metrics"] == Config.model_fields["metrics_port"].default
            assert ports.get("http", 8082) == Config.model_fields["service_port"].default
            asked = {it: container[it]["httpGet"] for it in ("startupProbe", "livenessProbe", "readinessProbe")}
            assert {it: probe["path"] for it, probe in asked.items()} == {
                "startupProbe": "/health",
                "livenessProbe": "/health",
                "readinessProbe": "/ready",
            }
            assert {probe["port"] for probe in asked.values()} == {"metrics"}
    services = {it["metadata"]["name"]: it["spec"]["ports"] for it in manifests if it["kind"] == "Service"}
    assert [[port["port"] for port in ports] for ports in services.values()] == [[8082], [9464]]


@pytest.mark.parametrize(("name", "grace_s"), [("minimal", 20), ("roles", 45)])
def test_a_pod_is_given_more_time_to_end_than_the_service_takes(name: str, grace_s: int) -> None:
    for _, spec in pod_specs(render(name)):
        (container,) = spec["containers"]
        if container["args"][0] == "serve":
            pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])[1]
            assert spec["terminationGracePeriodSeconds"] >= grace_s + int(pause) + 5


def test_each_role_has_a_deployment_and_only_http_is_asked_by_others() -> None:
    manifests = render("roles")
    deployments = [it for it in manifests if it["kind"] == "Deployment"]
    arguments = {it["spec"]["template"]["spec"]["containers"][0]["args"][1] for it in deployments}
    assert arguments == {f"--only={role}" for role in ROLES}
    wanted = one(manifests, "Service", "shop-payment-service")["spec"]["selector"]
    chosen = [it["metadata"]["name"] for it in deployments if wanted.items() <= labels(it).items()]
    assert chosen == ["shop-payment-service-http"]
    watched = one(manifests, "Service", "shop-payment-service-metrics")["spec"]["selector"]
    assert all(watched.items() <= labels(it).items() for it in deployments)


@pytest.mark.parametrize("name", VALUES)
def test_what_selects_pods_selects_those_of_its_own(name: str) -> None:
    """A Deployment, a budget, a spread over machines: none counts the pods of another role, or of a job."""
    manifests = render(name)
    pods = [labels(it) for it in manifests if it["kind"] in {"Deployment", "Job"}]
    for it in manifests:
        if it["kind"] in {"Deployment", "PodDisruptionBudget"}:
            wanted = it["spec"]["selector"]["matchLabels"]
            assert sum(wanted.items() <= pod.items() for pod in pods) == 1
            assert wanted.items() >= SELECTOR.items()


def labels(manifest: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = manifest["spec"]["template"]["metadata"]["labels"]
    return found


def test_the_schema_is_there_before_what_needs_it() -> None:
    """As a hook, which may need nothing that the release itself brings."""
    manifests = render("secrets-in-values")
    job = one(manifests, "Job", "shop-payment-service-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    spec = job["spec"]["template"]["spec"]
    assert [it["args"] for it in [*spec["initContainers"], *spec["containers"]]] == [["migrate"], ["topics", "create"]]
    assert "serviceAccountName" not in spec
    (source,) = spec["volumes"][0]["projected"]["sources"]
    secret = one(manifests, "Secret", source["secret"]["name"])
    assert secret["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(secret["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
        job["metadata"]["annotations"]["helm.sh/hook-weight"]
    )
    assert secret["stringData"]["dsn"].startswith("postgresql://payments_owner:")


def test_partitions_are_made_daily_by_one_job_at_a_time() -> None:
    job = one(render("roles"), "CronJob", "shop-payment-service-maintain")["spec"]
    assert (job["concurrencyPolicy"], job["timeZone"]) == ("Forbid", "Etc/UTC")
    assert job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["maintain"]


def test_the_ingress_lets_through_what_the_world_needs_and_nothing_else() -> None:
    spec = one(render("everything"), "Ingress", "shop-payment-service")["spec"]
    (rule,) = spec["rules"]
    assert {(it["path"], it["pathType"]) for it in rule["http"]["paths"]} == {
        ("/webhooks/stripe", "Exact"),
        ("/webhooks/acme", "Exact"),
        ("/v1", "Prefix"),
    }
    assert {it["backend"]["service"]["port"]["name"] for it in rule["http"]["paths"]} == {"http"}


def test_metrics_are_open_to_the_namespace_alone_where_nobody_is_named() -> None:
    policy = one(render("least"), "NetworkPolicy", "shop-payment-service")["spec"]
    world, metrics = policy["ingress"]
    assert "from" not in world
    assert metrics == {"ports": [{"protocol": "TCP", "port": 9464}], "from": [{"podSelector": {}}]}


def test_the_alerts_in_the_cluster_are_those_of_the_file() -> None:
    rule = one(render("everything"), "PrometheusRule", "shop-payment-service")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    alerts = (CHART.parents[1] / "prometheus" / "alerts.yaml").read_text()
    there = alerts.replace(": docs/runbook.md#", ": https://wiki.example.com/payments#")
    assert there != alerts
    assert rule["spec"] == yaml.safe_load(there)


def test_the_monitor_finds_the_service_of_metrics_and_names_the_job_as_alerts_do() -> None:
    manifests = render("everything")
    monitor = one(manifests, "ServiceMonitor", "shop-payment-service")["spec"]
    services = [it for it in manifests if it["kind"] == "Service"]
    wanted = monitor["selector"]["matchLabels"]
    (found,) = [it for it in services if wanted.items() <= it["metadata"]["labels"].items()]
    assert found["spec"]["ports"][0]["name"] == monitor["endpoints"][0]["port"]
    assert found["metadata"]["labels"][monitor["jobLabel"]] == "payment-service"


@pytest.mark.parametrize(
    ("name", "role"), [("everything", "shop-payment-service"), ("roles", "shop-payment-service-intake")]
)
def test_what_scales_by_itself_is_the_intake_and_has_no_number_of_its_own(name: str, role: str) -> None:
    """A number in the Deployment would be put back by every upgrade."""
    manifests = render(name)
    scaled = one(manifests, "ScaledObject", role)["spec"]
    assert scaled["scaleTargetRef"] == {"name": role}
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["consumerGroup"] == Config.model_fields["kafka_group_id"].default
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger.get("authenticationRef") == ({"name": "kafka"} if name == "roles" else None)
    replicas = {it["metadata"]["name"]: "replicas" in it["spec"] for it in manifests if it["kind"] == "Deployment"}
    assert {it for it, fixed in replicas.items() if not fixed} == {role}


@pytest.mark.parametrize("name", VALUES)
def test_no_two_manifests_have_one_name(name: str) -> None:
    counted = Counter((it["kind"], it["metadata"]["name"]) for it in render(name))
    assert [it for it, count in counted.items() if count > 1] == []
    assert all(len(it[1]) <= 52 for it in counted)


def test_a_long_name_of_a_release_still_gives_names_that_kubernetes_takes() -> None:
    result = helm("template", "x" * 53, CHART, *PRETENDED, "--values", VALUES["roles"])
    names = [it["metadata"]["name"] for it in yaml.safe_load_all(result.stdout) if it]
    assert names
    assert max(map(len, names)) <= 63


def test_the_notes_name_commands_and_warn_of_what_was_left_open(tmp_path: Path) -> None:
    """From a copy in which they are a manifest, since helm shows notes to none but a cluster."""
    copy = Path(shutil.copytree(CHART, tmp_path / "payment-service"))
    notes = (copy / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "notes.yaml").write_text("notes: |\n" + "".join(f"  {it}\n" for it in notes.splitlines()))
    shown: list[str | Path] = [*PRETENDED, "--values", VALUES["minimal"], "--show-only", "templates/notes.yaml"]
    result = helm("template", "shop", copy, "--namespace", "store", *shown)
    assert "--namespace store exec deploy/shop-payment-service -- payment-service doctor" in result.stdout
    assert "Nothing is reachable from outside yet" in result.stdout
