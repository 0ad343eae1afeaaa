"""A small organisation for one test: people with unique names, so that tests share a stack without meeting."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.stack import Stack, account, event


@dataclass
class Person:
    account_id: str
    address: str


@dataclass
class Organisation:
    """Who there is: who may be told, who may act, who is locked out."""

    tag: str
    person: Person
    helper: Person  # notified, sends access emails
    expert: Person  # also recovery codes
    bystander: Person  # no permission
    suspended: Person  # permission, but disabled
    unreachable: Person  # permission, but no address

    @property
    def told(self) -> list[str]:
        return [self.helper.address, self.expert.address]

    @property
    def not_told(self) -> list[str]:
        return [self.person.address, self.bystander.address, self.suspended.address]


HOME_IP = "81.2.69.142"


async def an_organisation(stack: Stack, *, since: datetime | None = None) -> Organisation:
    """Posts the accounts and three sign-ins of the locked-out person; returns once intake accepted them."""
    tag = secrets.token_hex(4)

    def someone(role: str) -> Person:
        return Person(f"{role}-{tag}", f"{role}.{tag}@example.org")

    org = Organisation(tag, *(someone(role) for role in (
        "person", "helper", "expert", "bystander", "suspended", "unreachable")))  # fmt: skip
    begun = since or datetime.now(UTC) - timedelta(days=30)
    accounts = [
        account(org.person.account_id, org.person.address, at=begun, status="locked", display_name=f"Person {tag}"),
        account(org.helper.account_id, org.helper.address, at=begun, data_protection_access=1),
        account(org.expert.account_id, org.expert.address, at=begun, data_protection_access=2, expert_mode=True),
        account(org.bystander.account_id, org.bystander.address, at=begun),
        account(org.suspended.account_id, org.suspended.address, at=begun, status="disabled", data_protection_access=3),
        account(org.unreachable.account_id, "", at=begun, data_protection_access=3),
    ]
    history = [
        event(
            "signin-succeeded",
            org.person.account_id,
            at=begun + timedelta(days=day),
            ip=HOME_IP,
            method="password+totp",
        )
        for day in (1, 8, 20)
    ]
    response = await stack.post_events(*accounts, *history)
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": len(accounts) + len(history)}
    return org
