"""`readmit migrate`, `topics apply`, `replay`, `rebuild` and `doctor` on a real PostgreSQL and broker."""

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.commands import checkups, doctor, migrate, rebuild, replay, topics
from deploy.errors import CommandError, MissingSettingsError
from deploy.local.overrides import SERVICES
from tests.engines import PostgresEngine

NOWHERE = "127.0.0.1:1"


async def test_topics_are_applied_once(kafka_servers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"READMIT_KAFKA_BOOTSTRAP_SERVERS": ",".join(kafka_servers)}
    await asyncio.to_thread(topics.apply, environ)
    await asyncio.to_thread(topics.apply, environ)
    assert capsys.readouterr().out.splitlines()[-1] == "topics: nothing to change"
    assert [finding.ok for finding in await checkups.broker(environ)] == [True]


async def test_schemas_are_brought_up_to_date_and_stay(
    postgres_engine: PostgresEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await postgres_engine.create("migrated")
    environ = {"READMIT_INTAKE_DATABASE_URL": url}
    assert "schema is at nothing" in (await checkups.database("intake", environ))[0].text
    await asyncio.to_thread(migrate.migrate, ["intake"], environ)
    await asyncio.to_thread(migrate.migrate, ["intake"], environ)
    assert capsys.readouterr().out == "intake: up to date\n" * 2
    assert (await checkups.database("intake", environ))[0].ok
    await asyncio.to_thread(replay.replay, environ, since=None, topics=None)
    assert capsys.readouterr().out == "intake: 0 queued\n"


def test_migrate_names_every_missing_address() -> None:
    with pytest.raises(MissingSettingsError) as refusal:
        migrate.migrate(SERVICES, {"READMIT_INTAKE_DATABASE_URL": "postgresql:///x"})
    assert "READMIT_INTAKE_DATABASE_URL" not in str(refusal.value)
    assert "READMIT_RECOVERY_DATABASE_URL, READMIT_AUDIT_OWNER_DATABASE_URL" in str(refusal.value)


def test_a_database_or_broker_that_does_not_answer_is_named() -> None:
    nowhere = {
        "READMIT_INTAKE_DATABASE_URL": f"postgresql://someone@{NOWHERE}/x",
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
    }
    with pytest.raises(CommandError, match="intake: the schema cannot be brought up to date"):
        migrate.migrate(["intake"], nowhere)
    with pytest.raises(CommandError, match="intake: the ledger cannot be replayed"):
        replay.replay(nowhere, since=None, topics=None)
    with pytest.raises(CommandError, match=NOWHERE):
        topics.apply(nowhere)


@pytest.mark.parametrize(
    ("text", "iso"),
    [("2026-11-24T01:43:05Z", "2026-11-24T01:43:05+00:00"), ("2026-11-24", "2026-11-24T00:00:00+00:00")],
)
def test_times_are_utc_unless_they_say_otherwise(text: str, iso: str) -> None:
    moment = replay.parse_time(text)
    assert moment is not None
    assert moment.isoformat() == iso
    with pytest.raises(CommandError, match="--since"):
        replay.parse_time("yesterday")


def test_doctor_says_for_each_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {
        "READMIT_SMTP_URL": f"smtp://{NOWHERE}",
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "READMIT_GEOIP_CITY": str(tmp_path / "none.mmdb"),
        "READMIT_AUTH_JWKS": str(tmp_path / "none.json"),
    }
    assert doctor.doctor(environ, tmp_path) == 1
    said = capsys.readouterr().out
    failures = [line.split()[1] for line in said.splitlines() if line.startswith("FAIL")]
    assert failures == [*["configuration"] * 5, "broker", *["database"] * 5, "SMTP", "GeoIP", "token"]
    assert said.count("→") == len(failures)
    assert "READMIT_GEOIP_ASN is not set" in said


def of_notifier(database: str) -> dict[str, str]:
    return {
        "READMIT_NOTIFIER_DATABASE_URL": database,
        "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
        "READMIT_KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "READMIT_SMTP_URL": f"smtp://{NOWHERE}",
        "READMIT_MAIL_FROM": "readmit@example.org",
        "READMIT_PUBLIC_RECOVERY_URL": "https://recovery.example.org",
    }


async def test_a_projection_is_compared_and_made_anew(
    postgres_engine: PostgresEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {name: await postgres_engine.create(name) for name in ("intake", "enrichment", "notifier")}
    environ = of_notifier(urls["notifier"])
    environ |= {f"READMIT_{name.upper()}_DATABASE_URL": url for name, url in urls.items()}
    await asyncio.to_thread(migrate.migrate, list(urls), environ)
    assert await asyncio.to_thread(rebuild.rebuild, "notifier", environ, tmp_path, check=True) == 0
    assert "The tables hold what the ledgers say." in capsys.readouterr().out
    connection = await asyncpg.connect(urls["notifier"])
    await connection.execute("INSERT INTO accounts (account_id, level) VALUES ('nobody-said-so', 3)")
    options: dict[str, Any] = {"check": True, "as_json": True}
    assert await asyncio.to_thread(rebuild.rebuild, "notifier", environ, tmp_path, **options) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["equal"] is False
    (table,) = said["tables"]
    assert (table["table"], table["before"]["rows"], table["after"]["rows"]) == ("accounts", 1, 0)
    assert table["after"]["sha256"] == hashlib.sha256(b"").hexdigest()
    assert await asyncio.to_thread(rebuild.rebuild, "notifier", environ, tmp_path) == 0
    assert await connection.fetchval("SELECT count(*) FROM accounts") == 0
    await connection.close()


def test_a_rebuild_names_the_ledgers_that_it_needs(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="READMIT_NOTIFIER_DATABASE_URL is missing"):
        rebuild.rebuild("notifier", {}, tmp_path)
    with pytest.raises(MissingSettingsError, match="READMIT_INTAKE_DATABASE_URL, READMIT_ENRICHMENT_DATABASE_URL"):
        rebuild.rebuild("notifier", of_notifier("postgresql:///x"), tmp_path)
