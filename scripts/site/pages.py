"""The parts of the site, and the files of the repository that become its pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = "docs/index.md"
DECISIONS: Final = [f"docs/decisions/{path.name}" for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]

# Per part, groups of pages. A page is a file of the repository. Names under `generated/` are made for the site.
PARTS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "Tutorial": {"": ["docs/tutorial.md"]},
    "How-to guides": {
        "In a shop": ["docs/taking-payments.md", "docs/consuming.md", "docs/examples/order-service/README.md", "docs/sandbox.md"],
        "Run it": ["docs/installing.md", "docs/deployment.md", "deploy/helm/payment-service/README.md"],
        "Operate it": ["docs/operating.md", "docs/pages.md", "docs/troubleshooting.md", "docs/runbook.md", "docs/upgrading.md"],
        "Change it": ["CONTRIBUTING.md", "docs/providers.md", "docs/releasing.md"],
    },
    "Reference": {
        "API": ["docs/api.md", "generated/call-*.md", "generated/object-*.md"],
        "Kafka": ["docs/records.md", "generated/topics-*.md"],
        "Operations": ["docs/configuration.md", "docs/cli.md", "generated/cli-*.md", "docs/metrics.md", "docs/alerts.md", "docs/schema.sql"],
        "Packages": [f"packages/{name}/README.md" for name in ("payment-service-client", "payment-service-js", "payment-service-events", "stripe-sandbox")],
        "Project": ["docs/glossary.md", "CHANGELOG.md", "SECURITY.md"],
    },
    "Explanation": {
        "": ["docs/how-it-works.md", "docs/state-machines.md", "docs/invariants.md", "docs/benchmarks.md", "ARCHITECTURE.md"],
        "Decisions": ["docs/decisions/README.md", *DECISIONS],
    },
}  # fmt: skip
# Titles in the navigation, where the heading of the page is too long.
TITLES: Final[Mapping[str, str]] = {
    "docs/api.md": "Every call by example",
    "docs/schema.sql": "Tables",
    "docs/decisions/README.md": "All decisions",
    "docs/sandbox.md": "Test with the sandbox",
}


# Generated pages that have a section of their own in the navigation, which can be folded.
SECTIONS: Final[Mapping[str, str]] = {
    "generated/call-*.md": "Reference of all calls",
    "generated/object-*.md": "Objects",
}


def folder(part: str) -> str:
    """Return the folder of a part in the site."""
    return part.lower().partition(" ")[0]


def place_of(source: str, part: str) -> str:
    """Return the place of a page in the site."""
    path = Path(source)
    if path.parent.name == "decisions":
        return f"{folder(part)}/decisions/{'index' if path.name == 'README.md' else path.stem}.md"
    name = path.parent.name if path.name == "README.md" else path.stem
    return f"{folder(part)}/{name.lower()}.md"


def expanded(sources: Sequence[str], generated: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the pages of a group with their section, or an empty text. Generated pages take the place of their pattern."""
    for source in sources:
        found = (
            [name for name in generated if Path(name).match(source)] if source.startswith("generated/") else [source]
        )
        yield SECTIONS.get(source, ""), found
