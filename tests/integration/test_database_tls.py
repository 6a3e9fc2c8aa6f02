"""Test TLS to PostgreSQL: asyncpg, psycopg and Alembic handle both forms of `DB_DSN` alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from payment_service.db.migrate import migrate
from tests.support.certificates import Authority, Certificate
from tests.support.command import Result, run
from tests.support.tls_postgres import PASSWORD, tls_postgres


@dataclass(frozen=True)
class TlsServer:
    """A PostgreSQL server with TLS, a trusted authority and an untrusted one."""

    port: int
    trusted: Authority
    stranger: Authority
    client: Certificate
    forged: Certificate

    def parts(self, **changes: object) -> dict[str, str]:
        """Return the parts of a DSN, with full verification by default."""
        parts = {"host": "localhost", "port": self.port, "dbname": "postgres", "user": "admin", "password": PASSWORD}
        parts |= {"sslmode": "verify-full", "sslrootcert": self.trusted.certificate}
        return {name: str(value) for name, value in {**parts, **changes}.items() if value != ""}


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    folder = tmp_path_factory.mktemp("certificates")
    folder.chmod(0o755)
    trusted, stranger = Authority.make(folder / "trusted"), Authority.make(folder / "stranger")
    server = trusted.issue("server", "DNS:localhost")
    client, forged = trusted.issue("by_certificate"), stranger.issue("by_certificate")
    with tls_postgres(trusted, server) as port:
        tls_server = TlsServer(port, trusted, stranger, client, forged)
        with psycopg.connect(make_conninfo(**tls_server.parts()), autocommit=True) as admin:
            admin.execute("CREATE ROLE by_certificate LOGIN SUPERUSER")
        migrate(make_conninfo(**tls_server.parts()))
        yield tls_server


FORMS: Final[dict[str, Callable[[dict[str, str]], str]]] = {
    "uri": lambda parts: f"postgresql://?{urlencode(parts)}",
    "key=value": lambda parts: make_conninfo(**parts),
}


def _env(dsn: str) -> dict[str, str]:
    return {"DB_DSN": dsn} | {name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ}


def by_asyncpg(dsn: str) -> Result:
    return run("keys", "list", env=_env(dsn))


def by_psycopg(dsn: str) -> Result:
    return run("maintain", env=_env(dsn))


def by_alembic(dsn: str) -> Result:
    return run("migrate", env=_env(dsn))


CLIENTS: Final = (by_asyncpg, by_psycopg, by_alembic)
each_way = pytest.mark.parametrize(("form", "client"), [(form, client) for form in FORMS for client in CLIENTS])


@each_way
def test_a_server_with_a_valid_certificate_is_accepted(
    tls_server: TlsServer, form: str, client: Callable[[str], Result]
) -> None:
    result = client(FORMS[form](tls_server.parts()))
    assert result.returncode == 0, result.stderr


@each_way
@pytest.mark.parametrize("trouble", ["another authority", "another name", "no TLS", "no certificate", "forged"])
def test_an_invalid_certificate_is_refused_in_one_line_without_the_password(
    tls_server: TlsServer, form: str, client: Callable[[str], Result], trouble: str
) -> None:
    changes: dict[str, dict[str, object]] = {
        "another authority": {"sslrootcert": tls_server.stranger.certificate},
        "another name": {"host": "127.0.0.1"},  # the certificate is for localhost
        "no TLS": {"sslmode": "disable", "sslrootcert": ""},
        "no certificate": {"user": "by_certificate"},
        "forged": {"user": "by_certificate", "sslcert": tls_server.forged.certificate, "sslkey": tls_server.forged.key},
    }
    result = client(FORMS[form](tls_server.parts(**changes[trouble])))
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert PASSWORD not in result.stdout + result.stderr


@each_way
def test_a_client_certificate_replaces_a_password(
    tls_server: TlsServer, form: str, client: Callable[[str], Result]
) -> None:
    certificate = {"sslcert": tls_server.client.certificate, "sslkey": tls_server.client.key}
    result = client(FORMS[form](tls_server.parts(user="by_certificate", password="", **certificate)))
    assert result.returncode == 0, result.stderr


@each_way
@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey"])
def test_a_missing_file_is_reported_by_its_dsn_parameter(
    tls_server: TlsServer, form: str, client: Callable[[str], Result], name: str, tmp_path: Path
) -> None:
    """The parameter is in the text of DB_DSN. Clients only say that some file is missing."""
    result = client(FORMS[form](tls_server.parts(**{name: tmp_path / "missing.pem"})))
    assert (result.returncode, result.stderr) == (
        2,
        f"payment-service: DB_DSN must name a readable file as {name}.\n",
    )


@pytest.mark.parametrize("client", CLIENTS)
def test_the_authorities_of_the_system_are_used_by_name(
    tls_server: TlsServer, client: Callable[[str], Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sslrootcert=system` of libpq 16. `SSL_CERT_FILE` replaces the system's file, for both clients."""
    dsn = make_conninfo(**tls_server.parts(sslrootcert="system"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.trusted.certificate))
    result = client(dsn)
    assert result.returncode == 0, result.stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.stranger.certificate))
    result = client(dsn)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
