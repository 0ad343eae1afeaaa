"""The topics, and which event goes where. Partitions and retention are in `deploy/kafka/topics.yaml`."""

from enum import StrEnum


class Topic(StrEnum):
    """A Kafka topic."""

    IDENTITY_ACCOUNTS = "readmit.identity.accounts.v1"
    IDENTITY_ACTIVITY = "readmit.identity.activity.v1"
    ASSISTANCE_REQUESTS = "readmit.assistance.requests.v1"
    ASSISTANCE_ENRICHED = "readmit.assistance.enriched.v1"
    ASSISTANCE_NOTIFICATIONS = "readmit.assistance.notifications.v1"
    RECOVERY_ACTIONS = "readmit.recovery.actions.v1"
    AUDIT_ACCESS = "readmit.audit.access.v1"


DEAD_LETTER_SUFFIX = ".dlt"

# The first that fits. Beginnings rather than names: a new version of a type stays in the topic of the old one.
_BY_BEGINNING = (
    ("readmit.identity.account.", Topic.IDENTITY_ACCOUNTS),
    ("readmit.identity.account-removed.", Topic.IDENTITY_ACCOUNTS),
    ("readmit.identity.", Topic.IDENTITY_ACTIVITY),
    ("readmit.assistance.requested.", Topic.ASSISTANCE_REQUESTS),
    ("readmit.assistance.suppressed.", Topic.ASSISTANCE_REQUESTS),
    ("readmit.assistance.throttled.", Topic.ASSISTANCE_REQUESTS),
    ("readmit.assistance.enriched.", Topic.ASSISTANCE_ENRICHED),
    ("readmit.assistance.admin-notified.", Topic.ASSISTANCE_NOTIFICATIONS),
    ("readmit.assistance.admin-notification-failed.", Topic.ASSISTANCE_NOTIFICATIONS),
    ("readmit.assistance.nobody-eligible.", Topic.ASSISTANCE_NOTIFICATIONS),
    ("readmit.recovery.", Topic.RECOVERY_ACTIONS),
    ("readmit.audit.", Topic.AUDIT_ACCESS),
)


def topic_of(event_type: str) -> Topic:
    """Give the topic that events of this type are published to. Raises LookupError for a type that is not ours."""
    for beginning, topic in _BY_BEGINNING:
        if event_type.startswith(beginning):
            return topic
    raise LookupError("no topic for this type of event")


def dead_letter_topic(topic: str, group: str) -> str:
    """Name the topic that keeps what a consumer group could not process of a topic."""
    return f"{topic}.{group}{DEAD_LETTER_SUFFIX}"


def is_dead_letter_topic(topic: str) -> bool:
    """Tell whether a topic keeps dead letters: the one kind of topic that audit leaves out."""
    return topic.endswith(DEAD_LETTER_SUFFIX)
