"""Which event goes to which topic."""

import pytest

from shared.schemas import identity, intake
from shared.schemas.registry import EVENTS
from shared.schemas.topics import Topic, dead_letter_topic, is_dead_letter_topic, topic_of


def test_every_event_has_a_topic_and_every_topic_an_event() -> None:
    assert {topic_of(event_type) for event_type in EVENTS} == set(Topic)


def test_account_state_and_activity_are_apart() -> None:
    accounts = {m.type_name() for m in identity.EVENTS if topic_of(m.type_name()) is Topic.IDENTITY_ACCOUNTS}
    assert accounts == {"readmit.identity.account.v1", "readmit.identity.account-removed.v1"}
    assert {topic_of(m.type_name()) for m in intake.EVENTS} == {Topic.ASSISTANCE_REQUESTS}


def test_the_next_version_stays_where_it_was() -> None:
    assert topic_of("readmit.identity.account.v2") is Topic.IDENTITY_ACCOUNTS
    assert topic_of("readmit.recovery.something-new.v1") is Topic.RECOVERY_ACTIONS


@pytest.mark.parametrize(
    "event_type", ["", "org.example.other", "readmit.other.v1", "readmit.assistance.unheard-of.v1"]
)
def test_a_type_that_is_not_ours_has_none(event_type: str) -> None:
    with pytest.raises(LookupError):
        topic_of(event_type)


def test_dead_letters_are_named_for_topic_and_group() -> None:
    name = dead_letter_topic(Topic.IDENTITY_ACCOUNTS, "notifier.events")
    assert name == "readmit.identity.accounts.v1.notifier.events.dlt"
    assert is_dead_letter_topic(name)
    assert not any(is_dead_letter_topic(topic) for topic in Topic)
