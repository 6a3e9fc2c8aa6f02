"""Render the Helm chart with helm, as an installation would."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "payment-service"
VALUES: Final = {path.stem: path for path in sorted((ROOT / "tests" / "deploy" / "values").glob("*.yaml"))}
# The oldest version that the chart supports, and the newest one with available schemas.
KUBERNETES: Final = ("1.27", "1.37")
# Without a cluster, a helm built by `go install` assumes 1.20.
PRETENDED: Final = ("--kube-version", KUBERNETES[0])

Manifest = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm. These commands need no cluster."""
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)


def template(
    *arguments: str | Path, values: Path | None = None, chart: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """Render the chart as the release `shop` in the namespace `store`."""
    options: list[str | Path] = ["--values", values] if values else []
    return helm("template", "shop", chart, "--namespace", "store", *PRETENDED, *options, *arguments)


def render(name: str, *arguments: str) -> list[Manifest]:
    """Render the chart with one of the sets of values in tests/deploy/values."""
    result = template(*arguments, values=VALUES[name])
    assert result.returncode == 0, result.stderr
    return [manifest for manifest in yaml.safe_load_all(result.stdout) if manifest]


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the only manifest of this kind and name."""
    (found,) = [it for it in manifests if (it["kind"], it["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name, pod spec) of everything that starts pods."""
    for it in manifests:
        name = it["metadata"]["name"]
        if it["kind"] in {"Deployment", "Job"}:
            yield name, it["spec"]["template"]["spec"]
        elif it["kind"] == "CronJob":
            yield name, it["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (name of the pod's owner, container) of all containers, including init containers."""
    for name, spec in pod_specs(manifests):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield name, container


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a container. Assert that no name occurs twice."""
    variables = {one["name"]: one["value"] for one in container.get("env", [])}
    assert len(variables) == len(container.get("env", []))
    return variables
