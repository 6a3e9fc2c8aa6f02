"""The Helm chart as helm renders it: valid for Kubernetes, with few privileges, and able to start the service."""

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

from payment_service.config.config import ROLES, Config
from payment_service.config.secret_files import is_secret
from scripts.document_configuration import FIELDS
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
def test_helm_lint_passes(name: str) -> None:
    result = helm("lint", "--strict", CHART, *PRETENDED, "--values", VALUES[name])
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_packaged_chart_renders_the_same_manifests(tmp_path: Path) -> None:
    """The package contains the alerts, to which the folder only links."""
    packaged = helm("package", CHART, "--destination", tmp_path)
    assert packaged.returncode == 0, packaged.stderr
    [archive] = tmp_path.glob("payment-service-*.tgz")
    for values in VALUES.values():
        result = template(values=values, chart=archive)
        assert (result.returncode, result.stdout) == (0, template(values=values).stdout), result.stderr
        assert helm("lint", "--strict", archive, *PRETENDED, "--values", values).returncode == 0


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUES)
def test_manifests_are_valid_for_kubernetes(name: str, version: str, tmp_path: Path) -> None:
    """In the schemas of Kubernetes, an unknown name is an error."""
    manifests = [it for it in render(name) if it["kind"] not in KINDS_OF_OPERATORS]
    result = validate(manifests, version, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_unknown_field_is_detected(tmp_path: Path) -> None:
    """A check that detects nothing would pass every manifest."""
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
        (["settings.KAFKA_BROKERS=kafka:9092", "database.existingSecret=a", "pages.enabled=true"], "database.operator.existingSecret"),
        (["settings.KAFKA_BROKERS=kafka:9092", "database.existingSecret=a", "pages.enabled=true", "database.operator.dsn=b"], "settings.ADMIN_URL"),
    ],
)  # fmt: skip
def test_missing_required_values_are_named(given: list[str], missing: str) -> None:
    """The required values are the brokers, the database and Stripe's secrets."""
    result = template(*(f"--set={value}" for value in given))
    assert result.returncode != 0
    assert f"{missing} is not set: " in result.stderr


def test_the_three_required_values_are_enough() -> None:
    result = template("--set=settings.KAFKA_BROKERS=kafka:9092,database.existingSecret=a,stripe.existingSecret=b")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "wrong",
    ["settings.KAFKA_BROKER=kafka:9092", "settings.STRIPE_SECRET_KEY=sk_1",
     "settings.KAFKA_CONFIG_SASL_PASSWORD=x", "replica=3", "roles.intake.replicas=2", "stripe.secretKey=pk_test_1", "settings.SERVICE_PORT=80", "replicas=0.5", "serviceMonitor.interval=15",
     "image.digest=sha256:ab", "pages.enabled=yes"],
)  # fmt: skip
def test_mistyped_or_harmful_values_are_rejected(wrong: str) -> None:
    """A secret under `settings` would be readable in the pod. A role without the other three would leave work undone."""
    assert template(values=VALUES["minimal"]).returncode == 0
    assert template(f"--set={wrong}", values=VALUES["minimal"]).returncode != 0


@pytest.mark.parametrize("name", VALUES)
def test_pods_have_no_privileges_and_bounded_resources(name: str) -> None:
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


def test_secrets_appear_only_in_secret_manifests() -> None:
    """Many people can read a pod's spec and annotations."""
    manifests = render("secrets-in-values")
    secrets = [it for it in manifests if it["kind"] == "Secret"]
    assert len(secrets) == 4
    elsewhere = [it for it in manifests if it["kind"] != "Secret"]
    assert "seen-by-nobody" in json.dumps(secrets)
    assert "seen-by-nobody" not in json.dumps(elsewhere)


@pytest.mark.parametrize("name", VALUES)
def test_every_mounted_secret_exists_or_is_named_in_the_values(name: str) -> None:
    manifests = render(name)
    made = {it["metadata"]["name"] for it in manifests if it["kind"] == "Secret"}
    for _, spec in pod_specs(manifests):
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
        named = {source["secret"]["name"] for source in volume["projected"]["sources"]}
        assert [it for it in named - made if it not in VALUES[name].read_text()] == []


def test_only_the_jobs_get_the_database_login_of_the_owner() -> None:
    """The owner of the tables could change published events. The jobs, in turn, get no Stripe secrets."""
    for name in ("roles", "secrets-in-values"):
        for pod, spec in pod_specs(render(name)):
            sources = [source["secret"] for source in spec["volumes"][0]["projected"]["sources"]]
            database = next(it["name"] for it in sources if it["items"][0]["path"] == "DB_DSN")
            is_job = pod.endswith(("-migrate", "-maintain"))
            assert ("owner" in database or "migrate" in database) is is_job, pod
            assert any("stripe" in it["name"] for it in sources) is not is_job


@pytest.mark.parametrize("name", VALUES)
def test_every_variable_of_a_pod_is_a_setting(name: str) -> None:
    """An unknown variable would stop the start, and only secrets are read from files."""
    known = {field.upper() + ("_FILE" if is_secret(it) else "") for field, it in FIELDS.items()}
    known |= {"ACME_API_KEY_FILE", "ACME_BASE"}
    for _, container in containers(render(name)):
        assert {it for it in environment(container) if not it.startswith("KAFKA_CONFIG_")} <= known


@pytest.mark.parametrize("name", VALUES)
def test_the_service_starts_with_the_environment_of_its_pod(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """YAML must not alter the configured values."""
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
def test_ports_and_probes_match_those_of_the_service(name: str) -> None:
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
    pages = [[8083]] if name == "everything" else []
    assert [[port["port"] for port in ports] for ports in services.values()] == [[8082], [9464], *pages]


@pytest.mark.parametrize(("name", "grace_s"), [("minimal", 20), ("roles", 45)])
def test_pods_terminate_after_the_shutdown_grace_of_the_service(name: str, grace_s: int) -> None:
    for _, spec in pod_specs(render(name)):
        (container,) = spec["containers"]
        if container["args"][0] == "serve":
            pause = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["", "0"])[1]
            assert spec["terminationGracePeriodSeconds"] >= grace_s + int(pause) + 5


def test_each_role_has_a_deployment_and_only_http_gets_requests() -> None:
    manifests = render("roles")
    deployments = [it for it in manifests if it["kind"] == "Deployment"]
    arguments = {it["spec"]["template"]["spec"]["containers"][0]["args"][1] for it in deployments}
    assert arguments == {f"--only={role}" for role in ROLES if role != "pages"}
    wanted = one(manifests, "Service", "shop-payment-service")["spec"]["selector"]
    chosen = [it["metadata"]["name"] for it in deployments if wanted.items() <= labels(it).items()]
    assert chosen == ["shop-payment-service-http"]
    watched = one(manifests, "Service", "shop-payment-service-metrics")["spec"]["selector"]
    assert all(watched.items() <= labels(it).items() for it in deployments)


@pytest.mark.parametrize("name", VALUES)
def test_selectors_match_only_their_own_pods(name: str) -> None:
    """Deployments, disruption budgets and spread constraints must not count pods of another role or of a job."""
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


def test_the_schema_is_migrated_before_the_service_starts() -> None:
    """A hook runs first, so it must not depend on resources of the release."""
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


def test_one_daily_job_creates_partitions() -> None:
    job = one(render("roles"), "CronJob", "shop-payment-service-maintain")["spec"]
    assert (job["concurrencyPolicy"], job["timeZone"]) == ("Forbid", "Etc/UTC")
    assert job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] == ["maintain"]


def test_the_ingress_exposes_only_the_public_routes() -> None:
    spec = one(render("everything"), "Ingress", "shop-payment-service")["spec"]
    (rule,) = spec["rules"]
    assert {(it["path"], it["pathType"]) for it in rule["http"]["paths"]} == {
        ("/webhooks/stripe", "Exact"),
        ("/webhooks/acme", "Exact"),
        ("/v1", "Prefix"),
    }
    assert {it["backend"]["service"]["port"]["name"] for it in rule["http"]["paths"]} == {"http"}


def test_the_pages_run_apart_with_the_operators_login() -> None:
    """Customers reach neither their pods nor their Service, and no other pod has the login that decides approvals."""
    manifests = render("everything")
    deployment = one(manifests, "Deployment", "shop-payment-service-pages")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert (container["args"], deployment["spec"]["replicas"]) == (["serve", "--only=pages"], 2)
    variables = environment(container)
    assert (variables["ADMIN_PORT"], variables["ADMIN_HOST"]) == ("8083", "0.0.0.0")  # noqa: S104 - the pod's address
    chosen = one(manifests, "Service", "shop-payment-service-pages")["spec"]
    pods = {it["metadata"]["name"]: labels(it) for it in manifests if it["kind"] == "Deployment"}
    assert [pod for pod, found in pods.items() if chosen["selector"].items() <= found.items()] == [
        "shop-payment-service-pages"
    ]
    public = one(manifests, "Service", "shop-payment-service")["spec"]["selector"]
    assert not public.items() <= pods["shop-payment-service-pages"].items()
    logins = {
        pod: spec["volumes"][0]["projected"]["sources"][0]["secret"]["name"] for pod, spec in pod_specs(manifests)
    }
    assert [pod for pod, secret in logins.items() if secret == "payments-operator"] == ["shop-payment-service-pages"]
    policy = one(manifests, "NetworkPolicy", "shop-payment-service")["spec"]
    [rule] = [it for it in policy["ingress"] if it["ports"] == [{"protocol": "TCP", "port": 8083}]]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "office"}}}]
    refused = template("--set=settings.ADMIN_PORT=8083", values=VALUES["everything"])
    assert (refused.returncode != 0, "remove them from settings" in refused.stderr) == (True, True)


def test_a_digest_pins_the_image_of_every_pod() -> None:
    digest = yaml.safe_load(VALUES["everything"].read_text())["image"]["digest"]
    images = {container["image"] for _, container in containers(render("everything"))}
    assert images == {f"registry.example.com/payment-service:0.1.0-1@{digest}"}
    assert {it["image"] for _, it in containers(render("minimal"))} == {"payment-service:0.1.0"}


def test_metrics_are_open_only_to_the_namespace_by_default() -> None:
    policy = one(render("least"), "NetworkPolicy", "shop-payment-service")["spec"]
    world, metrics = policy["ingress"]
    assert "from" not in world
    assert metrics == {"ports": [{"protocol": "TCP", "port": 9464}], "from": [{"podSelector": {}}]}


def test_the_alerts_of_the_chart_equal_the_alert_file() -> None:
    rule = one(render("everything"), "PrometheusRule", "shop-payment-service")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    alerts = (CHART.parents[1] / "prometheus" / "alerts.yaml").read_text()
    linked = alerts.replace(": docs/runbook.md#", ": https://wiki.example.com/payments#")
    assert linked != alerts
    assert rule["spec"] == yaml.safe_load(linked)


def test_the_monitor_selects_the_metrics_service_and_names_its_job() -> None:
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
def test_only_the_intake_scales_and_has_no_fixed_replica_count(name: str, role: str) -> None:
    """Every upgrade would restore a replica count in the Deployment."""
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
def test_manifest_names_are_unique(name: str) -> None:
    counted = Counter((it["kind"], it["metadata"]["name"]) for it in render(name))
    assert [it for it, count in counted.items() if count > 1] == []
    assert all(len(it[1]) <= 52 for it in counted)


def test_a_long_release_name_gives_valid_manifest_names() -> None:
    result = helm("template", "x" * 53, CHART, *PRETENDED, "--values", VALUES["roles"])
    names = [it["metadata"]["name"] for it in yaml.safe_load_all(result.stdout) if it]
    assert names
    assert max(map(len, names)) <= 63


def test_the_notes_name_commands_and_warn_about_missing_settings(tmp_path: Path) -> None:
    """The test renders the notes as a manifest, since helm prints notes only for a cluster."""
    copy = Path(shutil.copytree(CHART, tmp_path / "payment-service"))
    notes = (copy / "templates" / "NOTES.txt").read_text()
    (copy / "templates" / "notes.yaml").write_text("notes: |\n" + "".join(f"  {it}\n" for it in notes.splitlines()))
    shown: list[str | Path] = [*PRETENDED, "--values", VALUES["minimal"], "--show-only", "templates/notes.yaml"]
    result = helm("template", "shop", copy, "--namespace", "store", *shown)
    assert "--namespace store exec deploy/shop-payment-service -- payment-service doctor" in result.stdout
    assert "The service is not reachable from outside yet" in result.stdout
