"""What may happen to a few accounts, for properties: events that meet often, and often at the same moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from shared.schemas.envelope import Event
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
