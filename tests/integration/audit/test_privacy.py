"""No table holds in the clear what is somebody's, and a destroyed key makes it unreadable."""

from __future__ import annotations

import json

import asyncpg
import pytest

from tests.integration.audit.conftest import Audit, Databases, golden

# What the golden files say of people.
SECRETS = (
    b"customer.example.org",
    b"203.0.113.",
    b"198.51.100.",
    b"2001:db8",
    b"Mozilla",
    b"Robin",
    b"Phone was stolen",
)


async def everything(url: str) -> dict[str, bytes]:
    """Every byte of every table, as it is stored."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        found = {}
        for (table,) in tables:
            rows = await connection.fetch(f'SELECT * FROM "{table}"')
            values = [value for row in rows for value in row.values()]
            values = [value if isinstance(value, bytes) else str(value).encode() for value in values]
            found[table] = b"\n".join(values)
        return found
    finally:
        await connection.close()


async def test_no_table_holds_anything_personal_in_the_clear(audit: Audit, databases: Databases) -> None:
    broken = b'{"email": "robin.vega@customer.example.org", "ip": "203.0.113.57"'
    await audit.record_all(*golden().values(), broken)
    held = await everything(databases.owner_url)
    assert held["entries_0"]
    for table, content in held.items():
        found = [secret for secret in SECRETS if secret in content]
        assert not found, f"{table} holds {found}"
    # The search itself finds what is there.
    assert b"acct-1042" in held["entries_0"]


async def test_what_was_asked_is_not_in_the_clear_either(audit: Audit, databases: Databases) -> None:
    await audit.record_all(*golden().values())
    asked = "email:somebody.else@customer.example.org"
    await audit.records(asked)
    # The ledger holds what is published until it was recorded; only there may it be read.
    (row,) = await audit.fetch("SELECT value FROM ledger")
    event = json.loads(row["value"])
    await audit.record_all(row["value"])
    (record,) = await audit.records("type:readmit.audit.queried.v1 actor:auditor-1")
    assert record["data"]["query"] == asked
    assert event["data"]["count"] == 0
    held = await everything(databases.owner_url)
    del held["ledger"]
    assert not [table for table, content in held.items() if b"somebody.else" in content]


async def test_without_their_key_nothing_of_a_person_can_be_read_and_proofs_hold(audit: Audit) -> None:
    await audit.record_all(*golden().values())
    before = (await audit.get("/checkpoint")).text
    (record,) = await audit.records("type:readmit.recovery.code-requested.v1")
    connection = await asyncpg.connect(audit.writer_url)
    try:
        entry = json.loads(await connection.fetchval("SELECT entry FROM entries WHERE index = $1", record["index"]))
        await connection.execute("DELETE FROM subject_keys WHERE subject_id = ANY($1::text[])", entry["sealed"]["keys"])
    finally:
        await connection.close()

    (erased,) = await audit.records("type:readmit.recovery.code-requested.v1")
    assert erased["personal_data"] == "erased"
    assert {name: erased[name] for name in ("leaf_hash", "actor", "subject", "reason", "reference_id")} == {
        name: record[name] for name in ("leaf_hash", "actor", "subject", "reason", "reference_id")
    }
    assert erased["data"]["verification"] == {"method": "video-call"}
    assert erased["data"]["actor"] == "acct-0007"
    assert "details" not in erased["data"]
    assert "ip" not in erased["data"]
    assert (await audit.get(f"/v1/records/{record['index']}/raw")).status_code == 410
    assert (await audit.get("/checkpoint")).text == before


@pytest.mark.parametrize("event_type", ["readmit.assistance.requested.v1", "readmit.assistance.enriched.v1"])
async def test_whose_address_it_is_is_known_by_hashes_only(audit: Audit, event_type: str) -> None:
    await audit.record_all(*golden().values())
    owners = await audit.fetch("SELECT address_hash, account_hash FROM address_owners")
    assert owners
    for row in owners:
        assert len(row["address_hash"]) == len(row["account_hash"]) == 32
        assert all(bytes.fromhex(value) for value in row)
