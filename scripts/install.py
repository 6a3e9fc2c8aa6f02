"""Install the project and everything it needs into `.venv`, pinned and checked by hash. `make install` runs it.

pip installs uv, and uv installs the rest, because it is ten times faster. uv does not read pip's configuration, so its index is
passed to uv. If uv fails, pip installs everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
PYTHON_LEAST = (3, 11)
# Minor versions to look for beside the Python that runs this, and where a system keeps its own.
PYTHON_NAMES = ("python3", *(f"python3.{minor}" for minor in range(11, 15)))
SYSTEM_FOLDER = "/usr/bin"
# Prints the version, the arguments of ./configure, the prefix, and whether `venv` can install pip.
_DESCRIBE = """
import importlib.util, json, sys, sysconfig
pip = bool(importlib.util.find_spec("ensurepip"))
print(json.dumps([list(sys.version_info[:2]), sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix, pip]))
"""
# The distributions beside the service itself.
PACKAGES = tuple(
    f"packages/{name}"
    for name in ("payment-service-events", "payment-service-client", "stripe-sandbox", "payment-service-demo")
)
# Packages that only some tests need, by the name of their list in requirements/.
EXTRAS = {"browser": "Playwright", "deploy": "the schemas of Kubernetes", "site": "Zensical"}

# A setting of pip, and the variable of uv for it.
UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def main() -> int:
    """Install everything, or the packages of a name in EXTRAS, and return the exit code."""
    if sys.version_info < PYTHON_LEAST:
        say(f"Python {'.'.join(map(str, PYTHON_LEAST))} or later is required; this is {sys.version.split()[0]}.")
        return 1
    if sys.argv[1:]:
        return add(sys.argv[1])
    if not PYTHON.exists():
        python = find_python()
        say(f"creating .venv with {python}")
        subprocess.run([python, "-m", "venv", VENV], check=True)
    say("installing the pinned packages")
    pip("install", "--require-hashes", "-r", "requirements/uv.txt")
    if not uv("sync", "--require-hashes", "requirements/dev.txt"):
        say("uv failed; installing with pip, which takes longer")
        pip("install", "--require-hashes", "-r", "requirements/dev.txt")
    editable = [part for folder in (".", *PACKAGES) for part in ("--editable", folder)]
    pip("install", "--no-deps", "--no-build-isolation", "--no-index", *editable)
    # Without npm, the service's page `/docs` says what is missing.
    subprocess.run([ROOT / "scripts" / "fetch-reference"], check=False)
    (VENV / ".installed").touch()
    return 0


def find_python() -> str:
    """Return the first Python that was built with optimization (PGO), which needs a fifth less CPU; else the one that runs this."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), SYSTEM_FOLDER]
    found = [str(Path(folder, name)) for folder in folders for name in PYTHON_NAMES]
    return next((path for path in [sys.executable, *found] if is_optimized(path)), sys.executable)


def is_optimized(python: str) -> bool:
    """Return whether an interpreter suits and was built with PGO.

    Distributions build theirs with it, but Debian removes the flags from what sysconfig shows. A Python without pip cannot
    make the environment.
    """
    if not os.access(python, os.X_OK):
        return False
    told = subprocess.run([python, "-c", _DESCRIBE], capture_output=True, text=True, check=False)
    if told.returncode != 0:
        return False
    version, arguments, prefix, has_pip = json.loads(told.stdout)
    built = "--enable-optimizations" in arguments or prefix == "/usr"
    return built and has_pip and tuple(version) >= PYTHON_LEAST


def add(name: str) -> int:
    """Install packages that only some tests need. Raises KeyError for a name that is not in EXTRAS."""
    say(f"installing {EXTRAS[name]}")
    if not uv("install", "--require-hashes", "-r", f"requirements/{name}.txt"):
        pip("install", "--require-hashes", "-r", f"requirements/{name}.txt")
    (VENV / f".{name}").touch()
    return 0


def say(text: str) -> None:
    """Print progress."""
    print(f"install: {text}", flush=True)


def pip(*arguments: str) -> None:
    """Run pip of the environment. A failure ends the installation with pip's message."""
    result = subprocess.run([PYTHON, "-m", "pip", *arguments, "--quiet"], cwd=ROOT, check=False)
    if result.returncode != 0:
        sys.exit(result.returncode)


def uv(*arguments: str) -> bool:
    """Run `uv pip` and return True if it succeeded."""
    env = {**uv_environment(), **os.environ, "VIRTUAL_ENV": str(VENV)}
    return subprocess.run([UV, "pip", *arguments, "--quiet"], cwd=ROOT, env=env, check=False).returncode == 0


def uv_environment() -> dict[str, str]:
    """Translate pip's configuration (its files and PIP_* variables) into uv's variables."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    settings: dict[str, str] = {}
    # The environment has precedence over files, as in pip. `pip config list` prints it last or first, depending on the version.
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(literal_eval(value))
    return {UV_NAMES[name]: " ".join(value.split()) for name, value in settings.items() if name in UV_NAMES}


if __name__ == "__main__":
    sys.exit(main())
