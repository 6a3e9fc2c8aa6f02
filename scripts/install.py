"""Install the project and everything it needs into `.venv`, pinned and checked by hash. `make install` runs it.

pip installs uv, and uv the rest, because it is ten times quicker. uv does not read pip's configuration, so the index that
pip was told to use is handed on; should uv still find nothing there, pip does its work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from ast import literal_eval
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
PYTHON_LEAST = (3, 11)
# The distributions beside the service itself.
PACKAGES = tuple(f"packages/{name}" for name in ("payment-service-events", "stripe-sandbox", "payment-service-demo"))
# What only some of the tests need, by the name of its list in requirements/.
EXTRAS = {"browser": "Playwright", "deploy": "the schemas of Kubernetes"}

# pip's setting, and the variable by which uv takes the same.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def main() -> int:
    """Install, and give the exit code; a name of EXTRAS adds what it needs to what is installed."""
    if sys.version_info < PYTHON_LEAST:
        say(f"Python {'.'.join(map(str, PYTHON_LEAST))} or later is needed; this is {sys.version.split()[0]}.")
        return 1
    if sys.argv[1:]:
        return add(sys.argv[1])
    if not PYTHON.exists():
        say("making .venv")
        venv.create(VENV, with_pip=True, symlinks=True)
    say("installing the pinned packages")
    pip("install", "--require-hashes", "-r", "requirements/uv.txt")
    if not uv("sync", "--require-hashes", "requirements/dev.txt"):
        say("uv could not; pip does it, which takes longer")
        pip("install", "--require-hashes", "-r", "requirements/dev.txt")
    editable = [part for folder in (".", *PACKAGES) for part in ("--editable", folder)]
    pip("install", "--no-deps", "--no-build-isolation", "--no-index", *editable)
    (VENV / ".installed").touch()
    return 0


def add(name: str) -> int:
    """Install what only some of the tests need beside the rest. Raises KeyError for a name that is none of EXTRAS."""
    say(f"installing {EXTRAS[name]}")
    if not uv("install", "--require-hashes", "-r", f"requirements/{name}.txt"):
        pip("install", "--require-hashes", "-r", f"requirements/{name}.txt")
    (VENV / f".{name}").touch()
    return 0


def say(text: str) -> None:
    """Show progress."""
    print(f"install: {text}", flush=True)


def pip(*arguments: str) -> None:
    """Run pip of the environment; a failure ends the installation with pip's own message."""
    result = subprocess.run([PYTHON, "-m", "pip", *arguments, "--quiet"], cwd=ROOT, check=False)
    if result.returncode != 0:
        sys.exit(result.returncode)


def uv(*arguments: str) -> bool:
    """Run `uv pip`, and tell whether it succeeded."""
    env = {**uv_environment(), **os.environ, "VIRTUAL_ENV": str(VENV)}
    return subprocess.run([UV, "pip", *arguments, "--quiet"], cwd=ROOT, env=env, check=False).returncode == 0


def uv_environment() -> dict[str, str]:
    """Translate pip's configuration (its files and PIP_* variables) into uv's variables."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    settings: dict[str, str] = {}
    # The environment goes over the files, as in pip; `pip config list` names it last or first, depending on the version.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(literal_eval(value))
    return {UV_NAMES[name]: " ".join(value.split()) for name, value in settings.items() if name in UV_NAMES}


if __name__ == "__main__":
    sys.exit(main())
