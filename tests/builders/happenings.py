"""What may happen to a few accounts, for properties: events that meet often, and often at the same moment.

Everything is drawn, ids too, so that a failing example fails again. `told_apart` makes the ids unique.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from shared.schemas.envelope import Event
from shared.schemas.reference import generate
from tests.unit.enrichment import builders as build
from tests.unit.enrichment.builders import NOW

ADDRESSES = ("a@example.org", "B@example.org", "ä@example.org", "c@example.org")
_accounts = st.sampled_from(["a", "b"])
_addresses = st.sampled_from(ADDRESSES)
# Few moments, so that many events have the same: then the id decides.
_moments = st.integers(0, 6).map(lambda hours: NOW + timedelta(minutes=30 * hours))
_ips = st.sampled_from([build.BERLIN, build.BERLIN_TOO, build.BERLIN_MOBILE, "10.0.0.1"])

identity_events: st.SearchStrategy[Event[Any]] = st.one_of(
    st.builds(
        build.an_account,
        _accounts,
        _moments,
        email=_addresses,
        status=st.sampled_from(["active", "locked", "disabled"]),
        two_factor_enabled=st.booleans(),
        unused_backup_codes=st.integers(0, 3),
        data_protection_access=st.integers(0, 2),
        locale=st.sampled_from([None, "de"]),
    ),
    st.builds(build.removed, _accounts, _moments),
    st.builds(build.signed_in, _accounts, _moments, _ips),
    st.builds(build.signed_in, st.just("a"), _moments),
    st.builds(build.failed, _accounts, _moments, _ips, st.sampled_from(["locked", "bad-password"])),
    st.builds(build.failed, st.none(), _moments, _ips, email=_addresses),
    st.builds(build.email_changed, _accounts, _addresses, _addresses, _moments),
    st.builds(build.two_factor_changed, _accounts, st.sampled_from(["enrolled", "removed"]), _moments),
    st.builds(build.backup_codes_changed, _accounts, st.just("used"), st.integers(0, 3), _moments),
    st.builds(build.locked, _accounts, _moments),
    st.builds(build.unlocked, _accounts, _moments),
    st.builds(build.password_changed, _accounts, _moments),
)
recovery_events: st.SearchStrategy[Event[Any]] = st.one_of(
    st.builds(build.access_email_sent, _accounts, _moments), st.builds(build.code_sent, _accounts, _moments)
)
requests: st.SearchStrategy[Event[Any]] = st.one_of(
    st.builds(build.asked, _addresses, _moments, _ips), st.builds(build.suppressed, _addresses, _moments, _ips)
)


def told_apart(events: Iterable[Event[Any]], order: random.Random, first: int = 0) -> list[Event[Any]]:
    """The events with ids and references of their own; which id is the greater one is up to `order`."""
    return [_named(event, f"{order.randrange(10)}-{number}", number) for number, event in enumerate(events, first)]


def _named(event: Event[Any], event_id: str, number: int) -> Event[Any]:
    changes: dict[str, Any] = {"id": event_id}
    if hasattr(event.data, "email_hash"):
        reference = generate(random.Random(number).getrandbits)
        changes["data"] = event.data.model_copy(update={"reference_id": reference})
    return event.model_copy(update=changes)
