"""Write the sources of the documentation site to `.cache/site`.

`make site` runs it before Zensical. The pages stay in `docs/`. `pages.py` assigns each to a part of the site.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from scripts.site.api_pages import api_pages
from scripts.site.command_pages import command_pages, commands_only
from scripts.site.links import rewrite
from scripts.site.pages import HOME, PARTS, ROOT, TITLES, expanded, place_of
from scripts.site.record_pages import record_pages

STAGE: Final = ROOT / ".cache" / "site"
SETTINGS: Final = Path(__file__).with_name("mkdocs.yml")
ASSETS: Final = Path(__file__).with_name("assets")
# Files that become pages. Other linked files are copied.
LANGUAGES: Final = {".py": "python", ".sql": "sql", ".html": "html"}
# The tables say the same. A browser needs 5 MB of script for a diagram.
DIAGRAM: Final = re.compile(r"^```mermaid\n.*?^```\n+", re.DOTALL | re.MULTILINE)


class Site:
    """The pages of the site by place, found by the file that each comes from."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        pages = {**api_pages(), **record_pages(), **command_pages()}
        self._generated = {f"generated/{name}": text for name, text in pages.items()}
        self._places: dict[Path, str] = {ROOT / HOME: "index.md"}
        self.nav: list[object] = [{"Home": "index.md"}]
        for part, groups in PARTS.items():
            self.nav.append({part: self._part(part, groups)})

    def _part(self, part: str, groups: Mapping[str, Sequence[str]]) -> list[object]:
        entries: list[object] = []
        for group, sources in groups.items():
            pages: list[object] = []
            for section, found in expanded(sources, list(self._generated)):
                listed = [self._entry(source, part) for source in found]
                pages += [{section: listed}] if section else listed
            entries += [{group: pages}] if group else pages
        return entries

    def _entry(self, source: str, part: str) -> object:
        place = place_of(source, part)
        self._places[ROOT / source] = place
        return {TITLES[source]: place} if source in TITLES else place

    def write(self) -> None:
        """Write every page, and the files to which pages link."""
        for path, place in list(self._places.items()):
            source = str(path.relative_to(ROOT))
            text = self._generated.get(source) or commands_only(source, _as_page(path))
            self._put(place, rewrite(DIAGRAM.sub("", text), path, place, self._find))

    def _find(self, path: Path) -> str | None:
        """Return the place of a file. Copy it if it is no page. Tests and folders are not in the site."""
        if path in self._places:
            return self._places[path]
        if not path.exists():
            raise FileNotFoundError(f"A page of the site links to {path}, which does not exist.")
        if not path.is_file() or not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "tests"):
            return None
        relative = path.relative_to(ROOT)
        if path.suffix in LANGUAGES:
            self._places[path] = f"files/{relative}.md"
            self._put(self._places[path], _as_page(path))
        else:
            self._places[path] = _name_of_copy(relative)
            self._put(self._places[path], path.read_bytes())
        return self._places[path]

    def _put(self, place: str, content: str | bytes) -> None:
        target = self._stage / "docs" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)


def _as_page(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".md":
        return text
    return f"# {path.name}\n\n```{LANGUAGES[path.suffix]}\n{text.rstrip()}\n```\n"


def _name_of_copy(path: Path) -> str:
    """Return a name that a server sends as text or as an image, and that no server hides."""
    if path.parts[:2] == ("docs", "images"):
        return f"images/{path.name}"
    name = path.name.removeprefix(".")
    return f"files/{path.parent / (name if path.suffix in {'.json', '.yaml'} else f'{name}.txt')}"


def main() -> None:
    """Write everything anew."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(ASSETS, STAGE / "docs")
    site = Site(STAGE)
    site.write()
    added = yaml.safe_dump(
        {"docs_dir": "docs", "site_dir": "site", "nav": site.nav}, sort_keys=False, allow_unicode=True
    )
    (STAGE / "mkdocs.yml").write_text(f"{SETTINGS.read_text()}\n{added}")


if __name__ == "__main__":
    main()
