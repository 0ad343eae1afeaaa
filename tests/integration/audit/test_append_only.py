"""What was recorded stays: every mutation, as either role, on every table and partition, is refused."""

from __future__ import annotations

import asyncpg
import pytest

from tests.integration.audit.conftest import Audit, Databases, golden

TABLES = ("entries", "entries_0", "entries_1", "nodes", "checkpoints", "event_keys", "payloads")
REFUSED = (asyncpg.InsufficientPrivilegeError,)


async def attempt(url: str, statement: str, *, before: str | None = None) -> None:
    connection = await asyncpg.connect(url)
    try:
        if before is not None:
            await connection.execute(before)
        await connection.execute(statement)
    finally:
        await connection.close()


async def snapshot(url: str) -> list[list[asyncpg.Record]]:
    connection = await asyncpg.connect(url)
    try:
        return [list(await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")) for table in TABLES]
    finally:
        await connection.close()


async def a_column(url: str, table: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        sql = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1"
        name: str = await connection.fetchval(sql, table)
        return name
    finally:
        await connection.close()


async def test_every_mutation_is_refused_to_both_roles(audit: Audit, databases: Databases) -> None:
    await audit.record_all(*golden().values())
    before = await snapshot(databases.owner_url)
    for url in (databases.writer_url, databases.owner_url):
        for table in TABLES:
            column = await a_column(databases.owner_url, table)
            for statement in (
                f"DELETE FROM {table}",
                f"DELETE FROM {table} WHERE false",
                f"UPDATE {table} SET {column} = {column}",
                f"TRUNCATE {table} CASCADE",
                f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone",
            ):
                with pytest.raises(REFUSED):
                    await attempt(url, statement)
    assert await snapshot(databases.owner_url) == before


async def test_the_writer_has_no_way_around(audit: Audit, databases: Databases) -> None:
    await audit.record_all(*golden().values())
    for statement in (
        "ALTER TABLE entries DISABLE TRIGGER ALL",
        "ALTER TABLE entries DETACH PARTITION entries_0",
        "DROP TABLE entries_1",
        "DROP FUNCTION refuse_change CASCADE",
        "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TABLE entries_9 PARTITION OF entries FOR VALUES FROM (9000000) TO (10000000)",
        "INSERT INTO entries_0 SELECT * FROM entries",
        "SELECT guard_table('inbox')",
        "SET session_replication_role = replica",
        "INSERT INTO checkpoints SELECT * FROM checkpoints ON CONFLICT (size) DO UPDATE SET note = 'x'",
    ):
        with pytest.raises(REFUSED):
            await attempt(databases.writer_url, statement)


async def test_triggers_guard_even_where_replication_skips_triggers(
    audit: Audit, databases: Databases, postgres_superuser_url: str
) -> None:
    await audit.record_all(golden()["readmit.assistance.requested.v1"])
    for table in TABLES:
        with pytest.raises(REFUSED):
            await attempt(
                postgres_superuser_url, f"DELETE FROM {table}", before="SET session_replication_role = replica"
            )


async def test_a_new_partition_is_guarded_from_the_start(databases: Databases) -> None:
    connection = await asyncpg.connect(databases.writer_url)
    try:
        await connection.execute("SELECT ensure_partition(2)")
        await connection.execute("SELECT ensure_partition(2)")
        rows = await connection.fetch("""
            SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relname LIKE 'entries%'
            AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
                            AND t.tgname = 'append_only')
        """)
        assert rows == []
        assert await connection.fetchval("SELECT to_regclass('entries_2') IS NOT NULL")
    finally:
        await connection.close()
    with pytest.raises(REFUSED):
        await attempt(databases.owner_url, "TRUNCATE entries_2")
