"""Create certificates for tests with openssl: an authority and the certificates it signs.

They expire after two days.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

DAYS: Final = "2"
KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority that signs certificates. Clients trust it through `certificate`."""

    folder: Path
    certificate: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Create an authority in its own folder."""
        folder.mkdir(mode=0o755)
        _openssl(*KEY, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=authority of the suite")
        return cls(folder, folder / "ca.pem")

    def issue(self, name: str, *addresses: str) -> Certificate:
        """Sign a certificate named `name`, for servers at these addresses (`DNS:localhost`, `IP:127.0.0.1`)."""
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
        if addresses:
            extensions += ["-addext", f"subjectAltName={','.join(addresses)}"]
        signer: list[str | Path] = ["-CA", self.certificate, "-CAkey", self.folder / "ca.key"]
        _openssl(*signer, *KEY, "-keyout", made.key, "-out", made.certificate, "-subj", f"/CN={name}", *extensions)
        return made


def _openssl(*arguments: str | Path) -> None:
    command = ["openssl", "req", "-x509", "-days", DAYS, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
