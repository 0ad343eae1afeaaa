"""When something last happened to an account: a register for each kind of thing, the newest event wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from services.enrichment.domain.versions import version_of
from shared.schemas.envelope import Event
from shared.schemas.identity import BackupCodesChanged, EmailChanged, PasswordChanged, TwoFactorChanged
from shared.schemas.recovery import AccessEmailSent, CodeSent


class MilestoneKind(StrEnum):
    """The things whose last time a notification tells."""

    SIGNIN = "signin"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105
    EMAIL_CHANGED = "email-changed"
    TWO_FACTOR_CHANGED = "two-factor-changed"
    BACKUP_CODES_CHANGED = "backup-codes-changed"
    ACCESS_EMAIL_SENT = "access-email-sent"
    CODE_SENT = "code-sent"


CHANGES = (
    MilestoneKind.EMAIL_CHANGED,
    MilestoneKind.PASSWORD_CHANGED,
    MilestoneKind.TWO_FACTOR_CHANGED,
    MilestoneKind.BACKUP_CODES_CHANGED,
)
"""Of these the identity platform tells; the most telling first."""

_KINDS: Mapping[type[Event[Any]], MilestoneKind] = MappingProxyType(
    {
        PasswordChanged: MilestoneKind.PASSWORD_CHANGED,
        EmailChanged: MilestoneKind.EMAIL_CHANGED,
        TwoFactorChanged: MilestoneKind.TWO_FACTOR_CHANGED,
        BackupCodesChanged: MilestoneKind.BACKUP_CODES_CHANGED,
        AccessEmailSent: MilestoneKind.ACCESS_EMAIL_SENT,
        CodeSent: MilestoneKind.CODE_SENT,
    }
)
RECOVERY_EVENTS = (AccessEmailSent, CodeSent)


@dataclass(frozen=True, slots=True)
class Milestone:
    """The last time of one kind of thing."""

    account_id: str
    kind: MilestoneKind
    version: str
    at: datetime
    details: Mapping[str, Any]
    """What is told with it, as JSON: `change`, `ip`; of a sign-in all of `SigninSeen`."""


def milestones(events: Iterable[Event[Any]]) -> dict[tuple[str, MilestoneKind], Milestone]:
    """Reduce the events to the newest of each account and kind; those that are no milestone are left out."""
    newest: dict[tuple[str, MilestoneKind], Milestone] = {}
    for event in events:
        kind = _KINDS.get(type(event))
        account_id = getattr(event.data, "account_id", None) or event.data.subject if kind else None
        if kind is None or account_id is None:
            continue
        version = version_of(event.time, event.id)
        if (account_id, kind) not in newest or version > newest[account_id, kind].version:
            newest[account_id, kind] = Milestone(account_id, kind, version, event.time, _details(event))
    return newest


def _details(event: Event[Any]) -> Mapping[str, Any]:
    details = {name: getattr(event.data, name, None) for name in ("change", "ip")}
    return {name: str(value) for name, value in details.items() if value is not None}
