"""At once or in a digest, again or never: decisions that touch nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.domain.delivery import HORIZON, Answer, AttemptOutcome, State, state_after
from services.notifier.domain.flooding import RecentlyTold, end_of_hour, way_to_tell
from services.notifier.settings import NotifierSettings
from shared.kit.settings import SettingsError
from shared.schemas.notifier import Via
from tests.unit.notifier.builders import NOW


@pytest.mark.parametrize(
    ("matched", "messages", "of_this_account", "limit", "way"),
    [
        (False, 0, False, 60, Via.MESSAGE),
        (False, 59, False, 60, Via.MESSAGE),
        (False, 60, False, 60, Via.DIGEST),
        (False, 1000, False, 0, Via.MESSAGE),
        (True, 1000, False, 60, Via.MESSAGE),
        (True, 60, True, 60, Via.DIGEST),
        (True, 59, True, 60, Via.MESSAGE),
    ],
)
def test_way_to_tell(matched: bool, messages: int, of_this_account: bool, limit: int, way: Via) -> None:
    recent = RecentlyTold(messages, of_this_account)
    assert way_to_tell(matched=matched, recent=recent, limit=limit) is way


def test_a_digest_is_due_at_the_end_of_the_hour() -> None:
    assert end_of_hour(NOW) == datetime(2026, 11, 24, 2, tzinfo=UTC)
    assert end_of_hour(datetime(2026, 11, 24, 2, tzinfo=UTC)) == datetime(2026, 11, 24, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("outcome", "after", "state"),
    [
        (AttemptOutcome.ACCEPTED, HORIZON * 2, State.SENT),
        (AttemptOutcome.PERMANENT, timedelta(0), State.FAILED),
        (AttemptOutcome.TEMPORARY, timedelta(hours=23, minutes=59), State.QUEUED),
        (AttemptOutcome.TEMPORARY, HORIZON, State.ABANDONED),
    ],
)
def test_state_after(outcome: AttemptOutcome, after: timedelta, state: State) -> None:
    assert state_after(Answer(outcome), created_at=NOW, now=NOW + after) is state


ENVIRONMENT = {
    "READMIT_NOTIFIER_DATABASE_URL": "postgresql://u:p@/db",
    "READMIT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092",
    "READMIT_HASH_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    "READMIT_SMTP_URL": "smtp://127.0.0.1:25",
    "READMIT_MAIL_FROM": "Recovery <recovery@example.org>",
    "READMIT_PUBLIC_RECOVERY_URL": "https://recovery.example.org/",
}


def test_settings() -> None:
    settings = NotifierSettings.load(ENVIRONMENT)
    assert (settings.notify_level, settings.notify_max_per_hour, settings.fallback_email) == (1, 60, None)
    assert settings.public_recovery_url == "https://recovery.example.org"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READMIT_FALLBACK_EMAIL", "a@example.org, b@example.org"),
        ("READMIT_PUBLIC_RECOVERY_URL", "recovery.example.org"),
        ("READMIT_NOTIFY_LEVEL", "-1"),
        ("READMIT_NOTIFY_MAX_PER_HOUR", "many"),
        ("READMIT_MAIL_FROM", "nobody"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        NotifierSettings.load(ENVIRONMENT | {name: value})
