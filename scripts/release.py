"""Build a release of HEAD in `dist/` and install it. `make release` runs it; it publishes nothing.

Everything is built twice, from two exports of the commit. Both builds must be equal. The working copy does not count.
Exit code 0: `dist/` is complete; 1: see the message; 4: a tool is missing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from scripts.install import PACKAGES, uv_environment
from scripts.release_contracts import version
from scripts.release_installs import failed_installs

ROOT: Final = Path(__file__).resolve().parents[1]
DIST: Final = ROOT / "dist"
TOOLS: Final = ROOT / ".cache" / "release"
BUNDLE: Final = "src/payment_service/http/reference/scalar.js"
CHECKSUMS: Final = "SHA256SUMS"
# The lock of each wheel that runs as a program: its list of parts (SBOM) comes from it.
LOCKS: Final = {".": "service", "packages/stripe-sandbox": "sandbox"}


def main() -> int:
    """Build, compare and install. Return the exit code."""
    if code := subprocess.run([ROOT / "scripts" / "fetch-reference"], check=False).returncode:
        return code
    if git("status", "--porcelain"):
        say("the working copy has changes; they are not part of HEAD, which is built")
    # Before the exports need it: a program that is installed through their link to .venv would keep their paths.
    run(sys.executable, "-m", "scripts.install", "site", cwd=ROOT)
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        first, second = (build(Path(folder, name)) for name in ("once", "again-under-another-path"))
        if differing := differences(first, second):
            say(f"not reproducible: {', '.join(differing)} differ between two builds of one commit")
            return 1
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(first, DIST)
    write_checksums(DIST)
    say("both builds are equal, byte for byte; installing each package alone")
    if failures := failed_installs(DIST):
        say(f"these do not work after installation: {', '.join(failures)}")
        return 1
    say(f"dist/ has {version()}: " + ", ".join(sorted(path.name for path in DIST.iterdir())))
    return 0


def build(folder: Path) -> Path:
    """Build all artifacts of HEAD below `folder`, and return the folder that holds them."""
    source, target = folder / "source", folder / "dist"
    target.mkdir(parents=True)
    export(source)
    for project in (".", *PACKAGES):
        run(sys.executable, "-m", "hatchling", "build", "-d", target, cwd=source / project)
        if project in LOCKS:
            write_sbom(source, project, target)
    stem = f"payment-service-{version()}"
    pack([source / name for name in ("asyncapi.yaml", "openapi.json", "schemas")], target / f"{stem}-contracts.tar.gz")
    # These scripts use the environment of this copy.
    (source / ".venv").symlink_to(ROOT / ".venv")
    run(source / "scripts" / "build-npm", target, cwd=source)
    run(source / "scripts" / "build-site", cwd=source)
    pack([source / "dist" / "site"], target / f"{stem}-site.tar.gz")
    return target


def export(source: Path) -> None:
    """Write the files of HEAD, and the bundle of the API reference, to `source`."""
    archive = source.with_suffix(".tar")
    git("archive", "--output", str(archive), "HEAD")
    with tarfile.open(archive) as files:
        # Python before 3.11.4 knows no filters, and ignores this.
        files.extraction_filter = getattr(tarfile, "data_filter", None)
        files.extractall(source)  # noqa: S202 - our own archive, by the filter
    shutil.copyfile(ROOT / BUNDLE, source / BUNDLE)


def write_sbom(source: Path, project: str, target: Path) -> None:
    """Write the list of parts of a program (CycloneDX) from its lock."""
    lock = source / "requirements" / f"{LOCKS[project]}.txt"
    pyproject = source / project / "pyproject.toml"
    text = run(cyclonedx(), "requirements", "--output-reproducible", "--pyproject", pyproject, lock, cwd=source)
    document = json.loads(text)
    if project == ".":
        document["components"].append(bundle_component(source))
    name = document["metadata"]["component"]["name"]
    (target / f"{name}-{version()}.cdx.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")


def bundle_component(source: Path) -> dict[str, Any]:
    """Describe the bundle of the API reference. No lock of Python lists it."""
    [number] = [
        line.partition("=")[2]
        for line in (source / "scripts" / "fetch-reference").read_text().splitlines()
        if line.startswith("version=")
    ]
    purl = f"pkg:npm/%40scalar/api-reference@{number}"
    digest = {"alg": "SHA-256", "content": sha256(source / BUNDLE)}
    licence = {"license": {"id": "MIT"}}
    about = {"group": "@scalar", "name": "api-reference", "version": number, "purl": purl, "bom-ref": purl}
    return {"type": "library", **about, "hashes": [digest], "licenses": [licence]}


def cyclonedx() -> Path:
    """Return the program that writes lists of parts. Install it first."""
    program, lock = TOOLS / "bin" / "cyclonedx-py", ROOT / "requirements" / "image.txt"
    if not program.exists() or program.stat().st_mtime < lock.stat().st_mtime:
        uv = ROOT / ".venv" / "bin" / "uv"
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, TOOLS, cwd=ROOT)
        run(uv, "pip", "sync", "--quiet", "--python", TOOLS / "bin" / "python", "--require-hashes", lock, cwd=ROOT)
        program.touch()
    return program


def pack(paths: Iterable[Path], archive: Path) -> None:
    """Pack files and folders. Equal contents give equal archives."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mtime = commit_time_s()
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=commit_time_s()) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in paths:
            tar.add(path, arcname=path.name, filter=plain)  # it sorts the files of a folder itself


def differences(first: Path, second: Path) -> list[str]:
    """Return the files that differ between two folders or are missing in one."""
    one, other = ({path.name: sha256(path) for path in folder.iterdir()} for folder in (first, second))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files for `sha256sum --check`."""
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / CHECKSUMS).write_text("".join(lines))


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def commit_time_s() -> int:
    """Return the time of HEAD. Every file of the release has it."""
    return int(git("log", "-1", "--format=%ct"))


def git(*arguments: str) -> str:
    """Return the output of git, without its last line end."""
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command and return its output. A failure ends the release."""
    env = {**uv_environment(), **os.environ, "SOURCE_DATE_EPOCH": str(commit_time_s())}
    result = subprocess.run(command, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"release: {' '.join(map(str, command))} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def say(text: str) -> None:
    """Print progress."""
    print(f"release: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
