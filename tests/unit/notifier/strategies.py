"""Requests of every shape that the schema allows, strangers' texts among them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from shared.schemas.enrichment import (
    AccountContext,
    AddressKind,
    AssistanceEnrichedData,
    Caution,
    CautionCode,
    EarlierRequest,
    EarlierRequests,
    Fact,
    FailedSignins,
    FailureCount,
    Location,
    LocationSeen,
    Match,
    Network,
    NetworkSeen,
    RequestContext,
    ResolvedAccount,
    SigninSeen,
    UsedBefore,
)
from shared.schemas.identity import AccountStatus, SigninFailure
from shared.schemas.intake import Issue, SuppressedBefore
from shared.schemas.reference import generate
from shared.schemas.values import Timestamp

_HOSTILE = "<b>&\"'%{}\u202e\u2066\u200b\u2028;:\t אب é💥"
texts = st.text(
    st.one_of(st.sampled_from(_HOSTILE.replace("\t", "")), st.characters(exclude_categories=("Cs", "Cc"))), max_size=40
)
labels = texts.map(lambda text: text[:200])
times = st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
counts = st.integers(0, 2**31 - 1)
references = st.integers(0, 2**40 - 1).map(lambda bits: generate(lambda _: bits))
ips = st.sampled_from(["9.8.7.6", "10.0.0.1", "2001:db8::1", "127.0.0.1"])


def facts(kind: Any, values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(lambda value: kind.known(value), values),
        st.builds(lambda since: kind.none(since=since), st.none() | times),
        st.builds(lambda why: kind.unknown(why), st.none() | labels | st.just("no sign-in data received")),
    )


locations = st.builds(Location, city=st.none() | labels, country=st.none() | labels)
networks = st.builds(Network, asn=st.none() | counts, name=st.none() | labels, prefix=st.none() | st.just("9.8.7.0/24"))
used = st.builds(UsedBefore, used=st.booleans(), count=counts, last_at=st.none() | times)
requests = st.builds(
    RequestContext,
    email=st.sampled_from(["dana@example.org", "dänä@exämple.org", "a" * 64 + "@" + "b" * 60 + ".example.org"]),
    email_hash=st.just("0" * 32),
    issue=st.sampled_from(Issue),
    requested_at=times,
    submitted_by=st.just("anonymous"),
    ip=ips,
    address_kind=st.sampled_from(AddressKind),
    location=facts(Fact[Location], locations),
    network=facts(Fact[Network], networks),
    ip_used_before=facts(Fact[UsedBefore], used),
    network_used_before=facts(Fact[UsedBefore], used),
    earlier_requests=facts(
        Fact[EarlierRequests],
        st.builds(
            EarlierRequests,
            count=counts,
            items=st.lists(st.builds(EarlierRequest, reference_id=references, at=times), max_size=3).map(tuple),
        ),
    ),
    suppressed_before=st.none()
    | st.builds(
        SuppressedBefore, count=counts, networks=st.lists(st.just("9.8.7.0/24"), max_size=3).map(tuple), since=times
    ),
)
moments = facts(Fact[Timestamp], times)
contexts = st.builds(
    AccountContext,
    account_exists=facts(Fact[bool], st.booleans()),
    status=facts(Fact[AccountStatus], st.sampled_from(AccountStatus)),
    two_factor_enabled=facts(Fact[bool], st.booleans()),
    unused_backup_codes=facts(Fact[int], counts),
    last_successful_signin=facts(
        Fact[SigninSeen],
        st.builds(
            SigninSeen,
            at=times,
            ip=ips,
            location=st.none() | locations,
            network=st.none() | networks,
            method=st.none() | labels,
        ),
    ),
    signin_locations=facts(
        Fact[tuple[LocationSeen, ...]],
        st.lists(st.builds(LocationSeen, label=labels, count=counts, last_at=times), max_size=3).map(tuple),
    ),
    signin_networks=facts(
        Fact[tuple[NetworkSeen, ...]],
        st.lists(st.builds(NetworkSeen, label=labels, count=counts, last_at=times), max_size=3).map(tuple),
    ),
    failed_signins=facts(
        Fact[FailedSignins],
        st.builds(
            FailedSignins,
            last_24_hours=counts,
            last_30_days=counts,
            by_failure=st.lists(
                st.builds(FailureCount, failure=st.sampled_from(SigninFailure), count=counts), max_size=2
            ).map(tuple),
            last_at=st.none() | times,
        ),
    ),
    access_email_last_sent=moments,
    recovery_code_last_sent=moments,
    two_factor_last_changed=moments,
    backup_codes_last_changed=moments,
    password_last_changed=moments,
    email_last_changed=moments,
)
accounts = st.builds(
    ResolvedAccount,
    account_id=texts.map(lambda text: ("a" + text)[:100]),
    display_name=labels,
    email=st.just("dana@example.org"),
    status=st.sampled_from(AccountStatus),
)
cautions = st.lists(
    st.builds(
        Caution,
        code=st.sampled_from(CautionCode),
        text=texts,
        evidence=st.dictionaries(st.sampled_from(["location", "before", "network", "count"]), labels | counts),
    ),
    max_size=3,
).map(tuple)


def _data(reference_id: str, account: Any, request: Any, context: Any, found: Any, several: bool) -> Any:
    if account is None:
        match = Match.AMBIGUOUS if several else Match.NONE
        context = None
    else:
        match = Match.EXACT
    return AssistanceEnrichedData(
        reference_id=reference_id,
        actor="service:enrichment",
        subject=account.account_id if account else None,
        match=match,
        resolved=account,
        request=request,
        context=context,
        cautions=found,
    )


enriched_requests: st.SearchStrategy[AssistanceEnrichedData] = st.builds(
    _data, references, st.none() | accounts, requests, contexts, cautions, st.booleans()
)


def longest_request() -> AssistanceEnrichedData:
    """Every text and list as long as the schema allows, in characters that take most bytes in a mail."""
    long, moment = "💥" * 256, datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
    place = Location(city=long, country=long)
    network = Network(asn=2**31 - 1, name=long)
    seen = UsedBefore(used=True, count=2**31 - 1, last_at=moment)
    sent = Fact[Timestamp].known(moment)
    reference_id = generate(lambda _: 7)
    return AssistanceEnrichedData(
        reference_id=reference_id,
        actor="service:enrichment",
        match=Match.EXACT,
        resolved=ResolvedAccount(
            account_id="💥" * 128, display_name=long, email="d@example.org", status=AccountStatus.ACTIVE
        ),
        request=RequestContext(
            email="ä" * 64 + "@" + ".".join(["ä" * 63] * 2) + ".example.org",
            email_hash="0" * 32,
            issue=Issue.LOST_2FA,
            requested_at=moment,
            submitted_by="anonymous",
            ip="2001:db8:1111:2222:3333:4444:5555:6666",
            address_kind=AddressKind.PUBLIC,
            location=Fact[Location].known(place),
            network=Fact[Network].known(network),
            ip_used_before=Fact[UsedBefore].known(seen),
            network_used_before=Fact[UsedBefore].known(seen),
            earlier_requests=Fact[EarlierRequests].known(
                EarlierRequests(count=99, items=(EarlierRequest(reference_id=reference_id, at=moment),) * 20)
            ),
            suppressed_before=SuppressedBefore(count=99, networks=("2001:db8:1111:2222::/64",) * 20, since=moment),
        ),
        context=AccountContext(
            account_exists=Fact[bool].known(True),
            status=Fact[AccountStatus].known(AccountStatus.ACTIVE),
            two_factor_enabled=Fact[bool].unknown(long),
            unused_backup_codes=Fact[int].unknown(long),
            last_successful_signin=Fact[SigninSeen].known(
                SigninSeen(at=moment, ip="2001:db8::1", location=place, network=network, method=long)
            ),
            signin_locations=Fact[tuple[LocationSeen, ...]].known(
                (LocationSeen(label=long, count=99, last_at=moment),) * 20
            ),
            signin_networks=Fact[tuple[NetworkSeen, ...]].known(
                (NetworkSeen(label=long, count=99, last_at=moment),) * 20
            ),
            failed_signins=Fact[FailedSignins].known(
                FailedSignins(
                    last_24_hours=99,
                    last_30_days=99,
                    by_failure=(FailureCount(failure=SigninFailure.BAD_SECOND_FACTOR, count=99),) * 20,
                    last_at=moment,
                )
            ),
            access_email_last_sent=sent,
            recovery_code_last_sent=sent,
            two_factor_last_changed=sent,
            backup_codes_last_changed=sent,
            password_last_changed=sent,
            email_last_changed=sent,
        ),
        cautions=(Caution(code=CautionCode.NEW_LOCATION, text="💥" * 4000),) * 20,
    )
