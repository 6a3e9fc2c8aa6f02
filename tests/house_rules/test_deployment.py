"""The deployment files, checked without a deployment: by linters, and by schemas that others maintain."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from payment_service.config.config import Config
from payment_service.http import bodies, server

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
DOCKERFILES: Final = {"Dockerfile": "payment-service", "packages/stripe-sandbox/Dockerfile": "sandbox"}


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a linter of this environment on files of the project."""
    return subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_dockerfile_is_clean(name: str) -> None:
    result = lint("hadolint", name)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_the_dockerfile_linter_detects_a_bad_dockerfile(tmp_path: Path) -> None:
    """A linter that detects nothing would pass every file."""
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian:latest\nRUN cd /tmp && sudo apt-get install curl\n")
    assert lint("hadolint", str(bad)).returncode != 0


def test_nginx_has_the_limits_of_the_service() -> None:
    """A higher limit would have no effect, and a lower limit would refuse bodies that the docs allow."""
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    limits = {
        path: int(size) * 1024
        for path, size in re.findall(r"location (?:= )?(\S+) \{\s+client_max_body_size (\d+)k;", text)
    }
    webhook_limit = Config.model_fields["webhook_body_limit_bytes"].default
    assert limits == {"/webhooks/stripe": webhook_limit, "/v1/": bodies.BODY_LIMIT_BYTES}
    assert _seconds(r"client_header_timeout (\d+)s", text) == server.HEAD_TIMEOUT_S
    assert _seconds(r"keepalive 64;[^}]+keepalive_timeout (\d+)s", text) < server.KEEP_ALIVE_TIMEOUT_S
    buffers = re.search(r"large_client_header_buffers (\d+) (\d+)k", text)
    assert buffers is not None
    assert int(buffers[1]) * int(buffers[2]) * 1024 == server.HEAD_LIMIT_BYTES


def _seconds(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, pattern
    return int(found[1])


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return read


OURS: Final = {name for name, service in compose()["services"].items() if service["image"] == "payment-service:latest"}


@pytest.mark.parametrize("name", ["compose.yaml", "compose.dev.yaml"])
def test_the_compose_files_are_valid(name: str) -> None:
    """Use the schema of the Compose specification, since there may be no Docker here."""
    result = lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_compose_schema_detects_an_unknown_key(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text("services: {a: {image: b, comand: [c]}}")
    assert lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(bad)).returncode != 0


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_in_compose_exists(name: str) -> None:
    """An unknown setting would stop the start."""
    known = {field.upper() for field in Config.model_fields}
    known |= {f"{field}_FILE" for field in known} | {"PYTHONPATH"}
    for file in ("compose.yaml", "compose.dev.yaml"):
        assert set(compose(file)["services"].get(name, {}).get("environment", {})) <= known


@pytest.mark.parametrize("name", sorted(compose()["services"]))
def test_compose_containers_have_no_capabilities_and_bounded_logs(name: str) -> None:
    service = compose()["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name != "kafka")
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_a_dockerfile_copies_only_what_the_build_context_holds() -> None:
    """A copied folder that .dockerignore leaves out would fail the build, and there may be no Docker here to try it."""
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    for name in DOCKERFILES:
        copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / name).read_text(), re.MULTILINE)
        sources = {source for line in copies for source in line.split()}
        assert sources
        assert all((ROOT / source).exists() for source in sources)
        assert {re.sub(r"^requirements/[\w.]+$", "requirements/*.txt", source) for source in sources} <= allowed


def test_the_production_image_copies_neither_the_emulator_nor_the_demo() -> None:
    text = (ROOT / "Dockerfile").read_text()
    packages = {path.name for path in (ROOT / "packages").iterdir() if path.is_dir()}
    assert set(re.findall(r"packages/([\w-]+)", text)) == {"payment-service-events"} < packages
    assert "COPY . " not in text


def test_third_party_images_are_pinned() -> None:
    for file in ("compose.yaml", "compose.dev.yaml"):
        images = {service["image"] for service in compose(file)["services"].values() if "image" in service}
        pinned = re.compile(r"(\$\{[A-Z]+_IMAGE:-)?[\w./-]+:v?\d+\.\d+(\.\d+)?(-\w+)?\}?")
        assert [
            image
            for image in images - {"payment-service:latest", "stripe-sandbox:latest"}
            if not pinned.fullmatch(image)
        ] == []


def test_the_image_is_built_once_and_never_pulled() -> None:
    """Parallel builds of one tag fail on a new machine, and anybody can publish a name without a registry."""
    services = compose()["services"]
    assert [name for name in OURS if "build" in services[name]] == ["payment-service"]
    assert {services[name]["pull_policy"] for name in OURS - {"payment-service"}} == {"never"}
    assert services["payment-service"]["pull_policy"] == "build"


def test_only_nginx_publishes_ports() -> None:
    """The operators' pages, and with `compose.dev.yaml` other services, publish ports on loopback only."""
    services = compose()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["pages", "nginx"]
    assert [port.partition(":")[0] for port in services["pages"]["ports"]] == ["127.0.0.1"]
    dev = [port for service in compose("compose.dev.yaml")["services"].values() for port in service.get("ports", [])]
    assert [port for port in dev if not port.startswith("127.0.0.1:")] == []


def test_services_start_after_their_dependencies() -> None:
    services = compose()["services"]
    assert services["payment-service"]["depends_on"].keys() == {"migrate", "topics"}
    assert services["nginx"]["depends_on"]["payment-service"]["condition"] == "service_healthy"
    for service in services.values():
        for name, needed in service.get("depends_on", {}).items():
            ends = services[name].get("restart") == "no"
            assert needed["condition"] == ("service_completed_successfully" if ends else "service_healthy")
            assert ends or "test" in services[name]["healthcheck"] or name in OURS


def test_values_that_compose_repeats_are_equal() -> None:
    """nginx is a trusted proxy only inside its network, and the sandbox signs with the shared secret."""
    text = (ROOT / "compose.yaml").read_text()
    read = compose()
    assert read["networks"]["edge"]["ipam"]["config"][0]["subnet"] == "${EDGE_SUBNET:-172.31.82.0/24}"
    assert read["services"]["payment-service"]["environment"]["TRUSTED_PROXIES"] == "${EDGE_SUBNET:-172.31.82.0/24}"
    secret = (ROOT / "deploy" / "compose" / "sandbox" / "stripe_webhook_secret").read_text().strip()
    assert f"--webhook-secret={secret}" in read["services"]["sandbox"]["command"]
    for dockerfile, name in DOCKERFILES.items():
        build = read["services"][name]["build"]
        base = re.search(r"^ARG BASE=(.+)$", (ROOT / dockerfile).read_text(), re.MULTILINE)
        assert base is not None
        assert build.get("dockerfile", "Dockerfile") == dockerfile
        assert build["args"]["BASE"] == f"${{IMAGE_BASE:-{base[1]}}}"
    mounted = re.findall(r"(?:- |\[\")(\./[\w/.]+):/", text)
    mounted += re.findall(r"\"(\./[\w/.-]+):/", (ROOT / "compose.dev.yaml").read_text())
    assert len(mounted) > 3
    assert [path for path in mounted if not (ROOT / path).exists()] == []
    upstream = (ROOT / "deploy" / "nginx" / "upstream.conf").read_text()
    assert "server payment-service:8082;" in upstream
