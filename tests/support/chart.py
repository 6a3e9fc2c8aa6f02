"""The Helm chart, rendered by helm as an installation would be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "payment-service"
VALUES: Final = {path.stem: path for path in sorted((ROOT / "tests" / "deploy" / "values").glob("*.yaml"))}
# The oldest that the chart says it can be installed on, and the newest whose schemas are at hand.
KUBERNETES: Final = ("1.27", "1.37")
# Without a cluster to ask; a helm that was built by `go install` would take it for 1.20.
PRETENDED: Final = ("--kube-version", KUBERNETES[0])

Manifest = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm, which needs no cluster for what is asked here."""
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
    """Give the one manifest of this kind and name."""
    (found,) = [it for it in manifests if (it["kind"], it["metadata"]["name"]) == (kind, name)]
    return found


def pod_specs(manifests: list[Manifest]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give (name, pod spec) of everything that starts pods."""
    for it in manifests:
        name = it["metadata"]["name"]
        if it["kind"] in {"Deployment", "Job"}:
            yield name, it["spec"]["template"]["spec"]
        elif it["kind"] == "CronJob":
            yield name, it["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give (name of the pod's owner, container) of all containers, those that run first too."""
    for name, spec in pod_specs(manifests):
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            yield name, container


def environment(container: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables of a container; no name comes twice."""
    variables = {one["name"]: one["value"] for one in container.get("env", [])}
    assert len(variables) == len(container.get("env", []))
    return variables
