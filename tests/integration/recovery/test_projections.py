"""What the service knows of accounts: through the broker, in any order, and for ever after a removal."""

from __future__ import annotations

import random
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from shared.schemas import identity
from shared.schemas.envelope import Event
from shared.schemas.topics import topic_of
from tests.engines import PostgresEngine
from tests.integration.recovery.desk import Recovery, base64_key, grant_key, running_recovery, wait_for
from tests.integration.recovery.smtp_sink import Sink

START = datetime.now(UTC) - timedelta(hours=1)


class Platform:
    """Makes the events of one account, a second apart."""

    def __init__(self) -> None:
        self.account_id = f"acc-{secrets.token_hex(6)}"
        self._second = 0

    def event(self, kind: type[Event[Any]], **data: Any) -> Event[Any]:
        self._second += 1
        payload: Any = kind.model_fields["data"].annotation
        return kind(  # type: ignore[call-arg]
            id=secrets.token_hex(8),
            source="/test",
            time=START + timedelta(seconds=self._second),
            subject=self.account_id,
            data=payload(account_id=self.account_id, **data),
        )

    def account(self, status: str = "active", **changes: Any) -> Event[Any]:
        values = {
            "email": f"{self.account_id}@example.org", "display_name": "P", "status": status,
            "two_factor_enabled": True, "unused_backup_codes": 5, "data_protection_access": 0, "expert_mode": False,
        }  # fmt: skip
        return self.event(identity.AccountReported, **(values | changes))


async def shown(recovery: Recovery, account_id: str) -> Any:
    answer = await recovery.call("GET", f"/v1/accounts/{account_id}", await recovery.expert())
    return answer.json() if answer.status_code == 200 else None


async def test_events_from_the_broker_arrive_once(recovery: Recovery) -> None:
    platform = Platform()
    events = [platform.account(), platform.event(identity.SigninSucceeded, ip="192.0.2.1", method="password")]
    producer = AIOKafkaProducer(bootstrap_servers=recovery.settings.kafka_bootstrap_servers[0])
    await producer.start()
    try:
        for event in events * 3:
            await producer.send_and_wait(topic_of(event.type), event.to_bytes(), key=platform.account_id.encode())
    finally:
        await producer.stop()
    await wait_for(lambda: shown(recovery, platform.account_id), 30)

    async def lines() -> list[Any]:
        path = f"/v1/accounts/{platform.account_id}/activity"
        found: list[Any] = (await recovery.call("GET", path, await recovery.expert())).json()["activity"]
        return found

    await wait_for(lines)
    assert len(await lines()) == 1


async def test_every_order_of_arrival_ends_in_the_same_account(recovery: Recovery) -> None:
    for seed in range(12):
        platform = Platform()
        events = [
            platform.account("locked"),
            platform.event(identity.AccountUnlocked),
            platform.account("disabled"),
            platform.event(identity.AccountLocked),
            platform.event(identity.AccountUnlocked),
            platform.event(identity.EmailChanged, old="", new="new@example.org"),
            platform.event(identity.TwoFactorChanged, change="removed"),
            platform.event(identity.BackupCodesChanged, change="used", unused=4),
        ]
        random.Random(seed).shuffle(events)
        half = seed % len(events)
        await recovery.report(*events[:half])
        await recovery.report(*events[half:])
        account = await shown(recovery, platform.account_id)
        # Neither lock nor unlock, though newer, reaches `disabled`.
        assert account["status"] == "disabled"
        assert account["email"] == "new@example.org"
        assert account["two_factor_enabled"] is False
        assert account["unused_backup_codes"] == 4


async def test_locks_and_reports_the_newer_wins(recovery: Recovery) -> None:
    platform = Platform()
    locked, unlocked = platform.event(identity.AccountLocked), platform.event(identity.AccountUnlocked)
    report = platform.account("active")
    await recovery.report(unlocked)
    assert await shown(recovery, platform.account_id) is None  # never reported: not known
    await recovery.report(report, locked)
    assert (await shown(recovery, platform.account_id))["status"] == "active"
    await recovery.report(platform.event(identity.AccountLocked))
    assert (await shown(recovery, platform.account_id))["status"] == "locked"
    await recovery.report(platform.account("active"))
    assert (await shown(recovery, platform.account_id))["status"] == "active"


async def test_a_removed_account_is_unknown_until_a_newer_report(recovery: Recovery) -> None:
    platform = Platform()
    old, removed = platform.account(), platform.event(identity.AccountRemoved)
    await recovery.report(removed)
    await recovery.report(old)
    assert await shown(recovery, platform.account_id) is None
    await recovery.report(platform.event(identity.EmailChanged, old="", new="x@example.org"))
    assert await shown(recovery, platform.account_id) is None
    await recovery.report(platform.account())
    assert await shown(recovery, platform.account_id) is not None


async def test_codes_survive_a_restart_and_a_rotation_of_every_key(
    postgres_engine: PostgresEngine, kafka_servers: list[str], sink: Sink, tmp_path: Path
) -> None:
    url = await postgres_engine.create("recovery")
    old_code, old_hash, old_grant = base64_key(), base64_key(), grant_key()
    keys = {"READMIT_CODE_KEY": old_code, "READMIT_HASH_KEY": old_hash, "READMIT_GRANT_KEY": old_grant}
    async with running_recovery(postgres_engine, kafka_servers, sink, tmp_path, database_url=url, **keys) as before:
        target = await before.account()
        _, code = await before.mailed_code(target)
        _, token = await before.mailed_link(target)
        used = await before.redeem_link(token)
    rotated = {
        "READMIT_CODE_KEY": f"{base64_key()},{old_code}",
        "READMIT_HASH_KEY": f"{base64_key()},{old_hash}",
        "READMIT_GRANT_KEY": grant_key() + old_grant,
    }
    async with running_recovery(postgres_engine, kafka_servers, sink, tmp_path, database_url=url, **rotated) as after:
        from joserfc import jwt

        assert (await after.redeem(target.email, code)).status_code == 200
        assert len(after.grant_keys.keys) == 2
        assert jwt.decode(used.json()["grant"], after.grant_keys, algorithms=["ES256"]).claims["sub"]
        _, code = await after.mailed_code(target)
        assert (await after.redeem(target.email, code)).status_code == 200
