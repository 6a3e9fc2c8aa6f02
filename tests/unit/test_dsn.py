"""DB_DSN: what both clients support reaches them, and anything else is refused by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from psycopg.conninfo import conninfo_to_dict

from payment_service.config.dsn import CONNECT_TIMEOUT_S, TCP_USER_TIMEOUT_MS, parameters, read_dsn

BASE = "postgresql://u:hunter22@h/d"


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        "postgres://u:hunter22@h/d",
        f"{BASE}\n",
        f"{BASE}?sslmode=require&channel_binding=prefer",
        f"{BASE}?application_name=shop",
        f"{BASE}?gssencmode=disable&load_balance_hosts=disable&client_encoding=UTF8",
        f"{BASE}?sslmode=require&sslnegotiation=direct",
        "host=h user=u password=hunter22 dbname=d",
        "host='h' user='u' password='hunter22' dbname='d' channel_binding=disable",
    ],
)
def test_a_common_form_is_accepted(text: str) -> None:
    dsn = read_dsn(text)
    assert dsn.servers == (("h", None),)
    assert "channel_binding=prefer" not in dsn.uri
    assert "application_name" not in dsn.uri + " ".join(dsn.libpq)
    parts = dsn.libpq
    assert (parts["host"], parts["password"], parts["target_session_attrs"]) == ("h", "hunter22", "read-write")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"{BASE}?channel_binding=require", "channel_binding=require"),
        (f"{BASE}?gssencmode=require", "gssencmode=require"),
        (f"{BASE}?load_balance_hosts=random", "load_balance_hosts=random"),
        (f"{BASE}?client_encoding=latin1", "client_encoding=latin1"),
        (f"{BASE}?require_auth=none", "require_auth"),
        (f"{BASE}?hostaddr=10.0.0.1", "hostaddr"),
        (f"{BASE}?target_session_attrs=any", "target_session_attrs"),
        (f"{BASE}?target_session_attrs=standby", "target_session_attrs"),
        (f"{BASE}?replication=database", "replication"),
        (f"{BASE}?sslmode=require&sslrootcert=system", "sslrootcert=system"),
        (f"{BASE}?options=endpoint%3Dep-cool", "-c name=value"),
        (f"{BASE}?connect_timeout=soon", "connect_timeout"),
        (f"{BASE}?keepalives_idle=-1", "keepalives_idle"),
        (f"{BASE}?pgbouncer=true", "pgbouncer"),
        (f"{BASE}?schema=public", "schema"),
        ("jdbc:postgresql://h/d?user=u&password=hunter22", "jdbc:postgresql"),
        ("postgresql+asyncpg://u:hunter22@h/d", "postgresql+asyncpg"),
        ("postgresql://u:hunter22@a,b,c/d?port=1,2", "port"),
        ("host=h bogus=1 password=hunter22", "postgresql://user:password@host"),
    ],
)
def test_an_unsupported_form_is_refused_by_name_without_a_secret(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as raised:
        read_dsn(text)
    assert named in str(raised.value)
    assert "hunter22" not in str(raised.value)


def test_hosts_have_their_own_ports_or_share_one() -> None:
    assert read_dsn("postgresql://u@a:1,b:2/d").servers == (("a", 1), ("b", 2))
    assert read_dsn("host=a,b,c port=5 user=u").servers == (("a", 5), ("b", 5), ("c", 5))
    assert read_dsn("postgresql://u@[::1]:5,b/d").servers == (("::1", 5), ("b", None))
    assert read_dsn("host=/run/postgresql user=u").servers == (("/run/postgresql", None),)
    assert read_dsn("dbname=d").servers == ((None, None),)


def test_options_become_settings_of_the_session() -> None:
    """Poolers refuse the parameter `options`."""
    text = f"{BASE}?options=-c%20search_path%3Dshop%20--work-mem%3D8MB%20-cDateStyle%3DISO%5C%20,%5C%20DMY"
    dsn = read_dsn(text)
    assert dsn.settings == {"search_path": "shop", "work_mem": "8MB", "DateStyle": "ISO , DMY"}
    assert "options" not in dsn.uri + " ".join(dsn.libpq)


def test_time_limits_and_keepalives_have_defaults() -> None:
    assert read_dsn(BASE).connect_timeout_s == CONNECT_TIMEOUT_S
    assert read_dsn(f"{BASE}?connect_timeout=0").connect_timeout_s == CONNECT_TIMEOUT_S
    assert read_dsn(f"{BASE}?connect_timeout=9").connect_timeout_s == 9
    assert read_dsn(BASE).socket == {"tcp_user_timeout": TCP_USER_TIMEOUT_MS}
    given = read_dsn(f"{BASE}?keepalives=1&keepalives_idle=30&keepalives_count=3&tcp_user_timeout=5000").socket
    assert given == {"keepalives": 1, "keepalives_idle": 30, "keepalives_count": 3, "tcp_user_timeout": 5000}


@pytest.mark.parametrize("password", ["p@ss w/rd:%25#'x", "a,b", "=&?", "ü€"])
def test_any_password_reaches_both_clients(password: str) -> None:
    from urllib.parse import parse_qs, quote, urlsplit  # noqa: PLC0415

    dsn = read_dsn(f"postgresql://u:{quote(password, safe='')}@h/d")
    assert parse_qs(urlsplit(dsn.uri).query)["password"] == [password]
    assert dsn.libpq["password"] == password


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        "postgres://u%40x:p%3A%2f%25@h-1.example:5432/d%2fe?sslmode=require&sslrootcert=%2Fca.pem&application_name=a",
        "postgresql://u@a:1,b/d",
        "postgresql://a,b/d?user=one&user=two&host=c&port=7",
        "postgresql://u:p@h/d?options=-c%20search_path%3Dshop",
    ],
)
def test_a_plain_uri_means_what_libpq_reads(text: str) -> None:
    assert parameters(text) == conninfo_to_dict(text)


def test_the_server_loads_no_second_client_for_a_plain_uri() -> None:
    """psycopg takes 9 MB, and a tenth of a second of each start."""
    code = (
        "import sys, payment_service.serving, payment_service.config.dsn as dsn;"
        f"dsn.read_dsn({BASE!r}); sys.exit(sorted({{'psycopg', 'sqlalchemy'}} & sys.modules.keys()) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
