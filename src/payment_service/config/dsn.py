"""DB_DSN as asyncpg and psycopg get it: a URI, or the `key=value` form of libpq.

The two clients support different parameters. A parameter that either would ignore or misread is refused by name, before
anything connects. Sources: https://www.postgresql.org/docs/current/libpq-connect.html and asyncpg's `connect_utils.py`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

# A server on the way takes milliseconds. `connect_timeout` replaces it; libpq, too, applies it to each host.
CONNECT_TIMEOUT_S: Final = 5
# Unacknowledged bytes for this long mean that the server is gone (failover, cut cable). `tcp_user_timeout` replaces it.
TCP_USER_TIMEOUT_MS: Final = 8_000
# The roots of the system, as libpq 16 names them. https://www.postgresql.org/docs/current/libpq-ssl.html
SYSTEM_ROOTS: Final = "system"

_SOCKET_OPTIONS: Final = (
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
_SAME: Final = frozenset({
    "service", "user", "password", "passfile", "dbname", "sslmode", "sslnegotiation", "sslcert", "sslkey", "sslpassword",
    "sslrootcert", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib",
})  # fmt: skip
_OURS: Final = frozenset({"host", "port", "options", "connect_timeout", "target_session_attrs", *_SOCKET_OPTIONS})
# The service sets its own names, so that the server's views and logs tell its sessions apart.
_IGNORED: Final = frozenset({"application_name", "fallback_application_name"})
# asyncpg does not have these. With these values they change nothing.
_WITHOUT_EFFECT: Final[Mapping[str, frozenset[str]]] = {
    "channel_binding": frozenset({"prefer", "disable"}),
    "client_encoding": frozenset({"utf8", "UTF8", "utf-8", "UTF-8", "auto"}),
    "gssdelegation": frozenset({"0"}),
    "gssencmode": frozenset({"prefer", "disable"}),
    "load_balance_hosts": frozenset({"disable"}),
    "sslcertmode": frozenset({"allow"}),
    "sslcompression": frozenset({"0"}),
    "sslsni": frozenset({"1"}),
}
_INSTEAD: Final[Mapping[str, str]] = {
    "channel_binding": "remove it; sslmode=verify-full proves the server's identity",
    "hostaddr": "give the address as host",
    "load_balance_hosts": "remove it; all writes go to one server",
}
_WRITING: Final = frozenset({"read-write", "primary"})
_FORM: Final = "must be postgresql://user:password@host:5432/database, or host=… dbname=… user=…"
# Schemes of other clients. They hold no secret, so the message may repeat them.
_OTHER_SCHEME: Final = re.compile(r"(jdbc:postgresql|postgres(?:ql)?\+\w+):")
# Parameters of other clients (Prisma, JDBC, Go, SQLAlchemy). An unlisted one is not repeated: it may be part of a password.
_OTHER_WORDS: Final = frozenset({
    "pgbouncer", "schema", "currentSchema", "search_path", "ssl", "sslaccept", "sslfactory", "connection_limit", "pool_timeout",
    "pool_max_conns", "statement_cache_mode", "prepared_statement_cache_size", "prepareThreshold", "statement_timeout", "timezone",
    "TimeZone", "charset", "encoding", "supa", "workaround",
})  # fmt: skip
# A URI that can be read in one way only, ASCII without control characters. libpq reads all others. The service then loads psycopg, which
# takes 9 MB and 0.1 s of a start.
_TEXT: Final = r"(?:[\w.~!*-]|%[2-7][0-9A-Fa-f])+"
_HOST: Final = r"[\w.-]+(?::\d+)?"
_PLAIN: Final = re.compile(
    rf"postgres(?:ql)?://(?:(?P<user>{_TEXT})(?::(?P<password>{_TEXT}))?@)?(?P<hosts>{_HOST}(?:,{_HOST})*)/(?P<dbname>{_TEXT})"
    rf"(?:\?(?P<query>\w+={_TEXT}(?:&\w+={_TEXT})*))?",
    re.ASCII,
)
_OPTION: Final = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)=((?:\\.|[^\s\\])*)(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Dsn:
    """A readable DB_DSN.

    `uri`: the text for asyncpg, without `servers`: the hosts and ports in the given order (None: the client's default).
    `libpq`: the parameters for psycopg. Neither has `options`, which poolers refuse: `settings` are its session settings.
    `socket`: libpq's keepalive options.
    """

    uri: str
    servers: tuple[tuple[str | None, int | None], ...]
    libpq: Mapping[str, str]
    settings: Mapping[str, str]
    target_session_attrs: str
    connect_timeout_s: int
    socket: Mapping[str, int]
    ssl: ssl.SSLContext | None


def read_dsn(text: str) -> Dsn:
    """Read a DB_DSN. Raises ValueError with the predicate of a sentence about it, without a secret."""
    parts = parameters(text)
    for name, value in parts.items():
        _require_supported(name, value)
    attributes = parts.get("target_session_attrs", "read-write")
    if attributes not in _WRITING:
        raise ValueError("must have target_session_attrs=read-write (the default) or primary: the service writes")
    settings = _settings(parts.pop("options", ""))
    return Dsn(
        uri=_uri(parts),
        servers=tuple(_servers(parts)),
        libpq=_for_libpq(parts, attributes),
        settings=settings,
        target_session_attrs=attributes,
        connect_timeout_s=_whole(parts, "connect_timeout", 0) or CONNECT_TIMEOUT_S,
        socket={"tcp_user_timeout": TCP_USER_TIMEOUT_MS}
        | {n: _whole(parts, n, 0) for n in _SOCKET_OPTIONS if n in parts},
        ssl=_system_roots(parts),
    )


def parameters(text: str) -> dict[str, str]:
    """Return the parameters of a DB_DSN by libpq's names. Raises ValueError as `read_dsn` does."""
    text = text.strip()
    if scheme := _OTHER_SCHEME.match(text):
        raise ValueError(f"must begin with postgresql://, not {scheme[1]}: that is the form of another client")
    if (plain := _PLAIN.fullmatch(text)) and (found := _plain_parameters(plain)):
        return found
    import psycopg  # noqa: PLC0415 - a plain URI needs no libpq
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return {name: str(value) for name, value in conninfo_to_dict(text).items() if value is not None}
    except psycopg.ProgrammingError:
        # libpq's message repeats parts of the text, including the password.
        query = urlsplit(text).query if text.startswith(("postgresql://", "postgres://")) else ""
        foreign = sorted(_OTHER_WORDS & {name for name, _ in parse_qsl(query, keep_blank_values=True)})
        if foreign:
            raise ValueError(f"must not have {foreign[0]}, a parameter of another client: remove it") from None
        raise ValueError(_FORM) from None


def _plain_parameters(uri: re.Match[str]) -> dict[str, str] | None:
    """Return the parameters of a plain URI; None if libpq must say whether it has all of them."""
    query = [one.split("=") for one in (uri["query"] or "").split("&") if one]
    if not {name for name, _ in query} <= _SAME | _OURS | _IGNORED | _WITHOUT_EFFECT.keys():
        return None
    hosts = [one.partition(":") for one in uri["hosts"].split(",")]
    given = {
        "user": uri["user"],
        "password": uri["password"],
        "dbname": uri["dbname"],
        "host": ",".join(host for host, _, _ in hosts),
        "port": ",".join(port for _, _, port in hosts),
    }
    return {name: unquote(value) for name, value in (given | dict(query)).items() if value}


def _require_supported(name: str, value: str) -> None:
    if name in _SAME | _OURS | _IGNORED or value in _WITHOUT_EFFECT.get(name, ()):
        return
    shown = f"{name}={value}" if name in _WITHOUT_EFFECT else name
    raise ValueError(f"must not have {shown}, which is not supported: {_INSTEAD.get(name, 'remove it')}")


def _uri(parts: Mapping[str, str]) -> str:
    same = {name: value for name, value in parts.items() if name in _SAME}
    if parts.get("sslrootcert") == SYSTEM_ROOTS:  # the context replaces them
        same = {name: value for name, value in same.items() if name == "sslnegotiation" or not name.startswith("ssl")}
    return f"postgresql://?{urlencode(same)}" if same else "postgresql://"


def _servers(parts: Mapping[str, str]) -> list[tuple[str | None, int | None]]:
    hosts, ports = parts.get("host", "").split(","), parts.get("port", "").split(",")
    if len(ports) not in {1, len(hosts)}:
        raise ValueError("must have one port, or as many ports as hosts")
    if not all(port.isdigit() or not port for port in ports):
        raise ValueError("must have a whole number as port")
    pairs = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True)
    return [(host or None, int(port) if port else None) for host, port in pairs]


def _for_libpq(parts: Mapping[str, str], attributes: str) -> dict[str, str]:
    kept = {name: value for name, value in parts.items() if name not in _IGNORED}
    return {"connect_timeout": str(CONNECT_TIMEOUT_S)} | kept | {"target_session_attrs": attributes}


def _settings(options: str) -> dict[str, str]:
    """Return the settings of `options`, such as `-c search_path=shop`."""
    settings: dict[str, str] = {}
    rest = options.strip()
    while rest:
        option = _OPTION.match(rest)
        if option is None:
            raise ValueError("must have options of the form `-c name=value` only")
        settings[option[1].replace("-", "_")] = re.sub(r"\\(.)", r"\1", option[2])
        rest = rest[option.end() :]
    return settings


def _whole(parts: Mapping[str, str], name: str, least: int) -> int:
    value = parts.get(name, str(least)).strip()
    if not value.isascii() or not value.isdigit():
        raise ValueError(f"must have a whole number as {name}")
    return int(value)


def _system_roots(parts: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return the context for `sslrootcert=system`, which asyncpg does not have; it means full verification."""
    if parts.get("sslrootcert") != SYSTEM_ROOTS:
        return None
    if parts.get("sslmode", "verify-full") != "verify-full":
        raise ValueError("must have sslmode=verify-full with sslrootcert=system")
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    if "sslcert" in parts:
        try:
            context.load_cert_chain(parts["sslcert"], parts.get("sslkey"), parts.get("sslpassword", ""))
        except (OSError, ssl.SSLError):
            raise ValueError("must name a readable certificate as sslcert, and its key as sslkey") from None
    return context
