"""Test databases and connection strings as people have them: each works, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from payment_service.db.maintain import maintain
from payment_service.db.migrate import migrate
from payment_service.db.owner import connect_owner
from payment_service.db.pool import Connection, open_pool
from payment_service_demo.embedded.process import free_port
from tests.support.command import failed_check, run
from tests.support.databases import DatabaseServer, with_database
from tests.support.flows import Flows, config_for, open_flows

ODD = "p@ss w/rd:%25#'x"


def parts(dsn: str) -> dict[str, str]:
    return {name: str(value) for name, value in conninfo_to_dict(dsn).items() if value is not None}


def execute(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


FORMS: dict[str, Callable[[str], str]] = {
    "postgres://": lambda dsn: dsn.replace("postgresql://", "postgres://"),
    "line break": lambda dsn: f"{dsn}\n",
    "key=value": make_conninfo,
    "managed": lambda dsn: f"{dsn}?sslmode=prefer&channel_binding=prefer&connect_timeout=10&application_name=shop",
    "keepalives": lambda dsn: f"{dsn}?keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3",
    "tcp_user_timeout": lambda dsn: f"{dsn}?tcp_user_timeout=5000&gssencmode=disable",
    "options": lambda dsn: f"{dsn}?options=-c%20work_mem%3D8MB",
    "primary": lambda dsn: f"{dsn}?target_session_attrs=primary",
    "two hosts": lambda dsn: make_conninfo(dsn, host="127.0.0.1,127.0.0.1", port=f"{free_port()},{parts(dsn)['port']}"),
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_connection_string_works_for_both_clients(database_dsn: str, form: str) -> None:
    dsn = FORMS[form](database_dsn)
    pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
    query = "SELECT current_setting('work_mem'), current_setting('lock_timeout'), current_setting('application_name')"
    assert tuple(await pool.fetchrow(query) or ()) == ("8MB" if form == "options" else "4MB", "1s", "payment-service")
    pool.terminate()
    with connect_owner(dsn, application_name="suite") as connection:
        assert connection.execute("SELECT current_setting('timezone')").fetchone() == ("UTC",)


async def test_any_password_works_for_both_clients(database: DatabaseServer, database_dsn: str) -> None:
    role = f"odd_{parts(database_dsn)['dbname']}"
    execute(database.dsn, f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{ODD.replace(chr(39), chr(39) * 2)}'")
    try:
        known = parts(database_dsn)
        uri = f"postgresql://{role}:{quote(ODD, safe='')}@{known['host']}:{known['port']}/{known['dbname']}"
        for dsn in (uri, make_conninfo(database_dsn, user=role, password=ODD)):
            pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
            assert await pool.fetchval("SELECT current_user") == role
            pool.terminate()
            with connect_owner(dsn) as connection:
                assert connection.execute("SELECT current_user").fetchone() == (role,)
    finally:
        execute(database.dsn, f"DROP ROLE {role}")


async def test_a_server_that_does_not_answer_leaves_time_for_the_next(database_dsn: str) -> None:
    """A host that is switched off answers nothing: each server has its own time limit."""
    from socket import create_server  # noqa: PLC0415

    with create_server(("127.0.0.1", 0)) as silent:
        ports = f"{silent.getsockname()[1]},{parts(database_dsn)['port']}"
        dsn = make_conninfo(database_dsn, host="127.0.0.1,127.0.0.1", port=ports, connect_timeout=1)
        pool = await open_pool(config_for(dsn, "http://127.0.0.1:9"))
        assert await pool.fetchval("SELECT 1") == 1
        pool.terminate()


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def other_encoding(request: pytest.FixtureRequest, database: DatabaseServer) -> Iterator[tuple[str, str]]:
    """Yield an encoding, and the URI of a database in it."""
    name = f"test_{request.param.lower()}_{free_port()}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'")
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Literal(request.param)))
    yield request.param, with_database(database.dsn, name)
    database.drop(name)


def test_a_database_that_is_not_utf8_is_refused_by_name(
    other_encoding: tuple[str, str], service_env: dict[str, str]
) -> None:
    encoding, dsn = other_encoding
    env = {**service_env, "DB_DSN": dsn}
    for command in ("migrate", "maintain", "serve"):
        result = run(command, env=env)
        assert (result.returncode, result.stderr.count("\n")) == (3, 1), result.stderr
        assert f"encoding {encoding}" in result.stderr
        assert "ENCODING 'UTF8'" in result.stderr
    report = run("doctor", env=env)
    line = failed_check(report, "database")
    assert encoding in line
    assert "ENCODING 'UTF8'" in line


async def test_another_schema_holds_everything(empty_database_dsn: str) -> None:
    """A role's search_path, or `options`, names it; nothing goes to `public`."""
    execute(empty_database_dsn, "CREATE SCHEMA shop")
    dsn = f"{empty_database_dsn}?options=-csearch_path%3Dshop"
    migrate(dsn)
    maintain(dsn)
    async with open_flows(dsn, "http://127.0.0.1:9") as flows:
        await flows.accept("o-1")
    connection = await asyncpg.connect(empty_database_dsn)
    schemas = await connection.fetch("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('shop', 'public')")
    assert [row["schemaname"] for row in schemas] == ["shop"]
    assert await connection.fetchval("SELECT count(*) FROM shop.payments") == 1
    await connection.close()


def test_the_time_zone_and_formats_of_a_database_change_nothing(empty_database_dsn: str, database_dsn: str) -> None:
    """Partitions begin on Monday 00:00 UTC all the same."""
    name = parts(empty_database_dsn)["dbname"]
    changes = ("timezone = 'Pacific/Auckland'", "datestyle = 'SQL, DMY'", "intervalstyle = 'sql_standard'")
    execute(empty_database_dsn, *(f'ALTER DATABASE "{name}" SET {change}' for change in changes))
    migrate(empty_database_dsn)
    repeated: list[str] = []
    maintain(empty_database_dsn, report=repeated.append)
    assert repeated == []
    assert bounds(empty_database_dsn) == bounds(database_dsn)


def bounds(dsn: str) -> list[tuple[str, str]]:
    query = "SELECT relname, pg_get_expr(relpartbound, oid) FROM pg_class WHERE relispartition ORDER BY relname"
    with psycopg.connect(dsn, options="-c timezone=UTC -c datestyle=ISO") as connection:
        return [(str(name), str(bound)) for name, bound in connection.execute(query)]


async def test_a_second_connection_asks_for_no_types_of_postgresql(flows: Flows) -> None:
    """Each connection would ask in three round trips for each new kind of array."""
    queries: list[str] = []

    async def arrays(connection: Connection) -> object:
        return await connection.fetchval("SELECT row($1::uuid[], $2::int8[])::text", [uuid4()], [1])

    async with flows.pool.acquire() as first, flows.pool.acquire() as second:
        await arrays(first)
        second.add_query_logger(lambda query: queries.append(query.query))
        assert await arrays(second)
    assert len(queries) == 1
