"""What a message from Kafka says: the facts of its record, or that it can't be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.audit.domain.persons import is_account
from services.audit.domain.query import InvalidQuery, parse_query
from shared.schemas.action import Outcome
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event, UnknownEvent
from shared.schemas.identity import AccountReported, EmailChanged, SigninFailed, SigninSucceeded
from shared.schemas.personal import ITEM, personal_paths
from shared.schemas.reference import InvalidReference
from shared.schemas.reference import parse as parse_reference
from shared.schemas.registry import MalformedEvent, decode
from shared.schemas.values import check_address, normalise_ip

UNPARSED = "readmit.audit.unparsed.v1"
CONFLICT = "readmit.audit.conflict.v1"
SOURCE = "/readmit/audit"

_SERVICES = {
    "readmit.identity.": "identity",
    "readmit.assistance.requests.": "intake",
    "readmit.assistance.enriched.": "enrichment",
    "readmit.assistance.notifications.": "notifier",
    "readmit.recovery.": "recovery",
    "readmit.audit.": "audit",
}
# Members of `data` that stand in the entry by themselves.
COMMON = ("reference_id", "actor", "on_behalf_of", "subject", "outcome", "reason")
_QUERY_EVENTS = ("readmit.audit.queried.", "readmit.audit.exported.")


_Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka record, its value byte for byte. `timestamp` in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the record of a message will say in the clear, and whom it is about."""

    source: str
    event_id: str
    type: str
    occurred_at: datetime
    service: str | None
    reference_id: str | None = None
    actor: str | None = None
    on_behalf_of: str | None = None
    subject: str | None = None
    outcome: str | None = None
    reason: str | None = None
    clear: dict[str, Any] = field(default_factory=dict)
    """Members of `data` that name nobody."""
    accounts: tuple[str, ...] = ()
    """The persons whose keys seal the message: accounts, else addresses or their hashes."""
    addresses: tuple[str, ...] = ()
    address_hashes: tuple[str, ...] = ()
    emails: frozenset[str] = frozenset()
    """Addresses that occur in it, for `email:`."""
    email_hashes: frozenset[str] = frozenset()
    ips: frozenset[str] = frozenset()
    owned: tuple[tuple[str, str], ...] = ()
    """(address, account id): what the message says of whose address it is."""


def service_of(topic: str, source: str | None = None) -> str | None:
    """Who published: by the topic, which only its service writes, else by the event's source."""
    for beginning, service in _SERVICES.items():
        if topic.startswith(beginning):
            return service
    return source.removeprefix("/readmit/") if source is not None and source.startswith("/readmit/") else None


def read(message: Message) -> Facts:
    """The facts of a message. What can't be read is a fact too; this raises nothing."""
    try:
        event = decode(message.value)
        return _of_unknown(event, message) if isinstance(event, UnknownEvent) else _of_known(event, message)
    except MalformedEvent as error:
        return unparsed(message, error.reason, error.event_type)
    except Exception as error:  # a mistake of ours must not keep a message out of the log, nor block those behind it
        return unparsed(message, f"could not be read: {type(error).__name__}")


def unparsed(message: Message, reason: str, event_type: str | None = None) -> Facts:
    """The facts of a message that is no event of ours."""
    source, event_id = _identity(message)
    clear: dict[str, Any] = {"error": reason, "size": len(message.value)}
    if event_type is not None:
        clear["event_type"] = event_type
    return Facts(
        source=source,
        event_id=event_id,
        type=UNPARSED,
        occurred_at=_time_of(message),
        service=service_of(message.topic),
        outcome=Outcome.FAILURE.value,
        clear=clear,
    )


def _identity(message: Message) -> tuple[str, str]:
    """Source and id, where the bytes hold them: published again, it is the same message at another offset."""
    try:
        value = json.loads(message.value)
        source, event_id = value["source"], value["id"]
        if all(isinstance(item, str) and 0 < len(item) <= 256 and item.isprintable() for item in (source, event_id)):
            return source, event_id
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return SOURCE, f"unparsed/{message.topic}/{message.partition}/{message.offset}/{message.timestamp}"


def _time_of(message: Message) -> datetime:
    try:
        return datetime.fromtimestamp(max(message.timestamp, 0) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def _of_known(event: Event[Any], message: Message) -> Facts:
    document = json.loads(event.data.model_dump_json(exclude_none=True))
    subject = document.get("subject") or document.get("account_id") or event.subject
    outcome, reason = document.get("outcome"), document.get("reason")
    if isinstance(event, SigninSucceeded):
        outcome = Outcome.SUCCESS.value
    elif isinstance(event, SigninFailed):
        outcome, reason = Outcome.FAILURE.value, event.data.failure.value
    hashes = frozenset(value for value in (document.get("email_hash"),) if value)
    paths = {path[1:] for path in personal_paths(type(event)) if path[0] == "data"}
    clear = {name: value for name, value in without(document, paths).items() if name not in COMMON}
    # Only of personal members: a Message-ID looks like an address as well.
    texts = sorted(set(_texts(document)) - set(_texts(clear)))
    accounts, addresses, address_hashes = _persons(event, document, subject)
    return Facts(
        source=event.source,
        event_id=event.id,
        type=event.type,
        occurred_at=event.time,
        service=service_of(message.topic, event.source),
        reference_id=document.get("reference_id"),
        actor=document.get("actor"),
        on_behalf_of=document.get("on_behalf_of"),
        subject=subject,
        outcome=outcome,
        reason=reason,
        clear=clear,
        accounts=accounts,
        addresses=addresses,
        address_hashes=address_hashes,
        emails=frozenset(_emails(texts)),
        email_hashes=hashes,
        ips=frozenset(_ips(texts)),
        owned=_owned(event),
    )


def _persons(event: Event[Any], document: dict[str, Any], subject: str | None) -> tuple[_Names, _Names, _Names]:
    """Accounts, addresses and address hashes whose keys seal the message: of an account if there is one."""
    if event.type.startswith(_QUERY_EVENTS):
        accounts, addresses = named_in_query(document.get("query") or "")
        if accounts or addresses:
            return accounts, addresses, ()
    if subject is not None:
        return (subject,), (), ()
    if document.get("email"):
        return (), (document["email"],), ()
    if document.get("email_hash"):
        return (), (), (document["email_hash"],)
    actor = document.get("actor")
    return ((actor,) if actor is not None and is_account(actor) else ()), (), ()


def named_in_query(query: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The accounts and the addresses that a query names."""
    try:
        terms = parse_query(query)
    except InvalidQuery:
        return (), ()
    accounts = {
        term.value for term in terms if term.key == "subject" or (term.key == "actor" and is_account(term.value))
    }
    return tuple(sorted(accounts)), tuple(sorted({term.value for term in terms if term.key == "email"}))


def _owned(event: Event[Any]) -> tuple[tuple[str, str], ...]:
    if isinstance(event, AccountReported):
        return ((event.data.email, event.data.account_id),) if event.data.email else ()
    if isinstance(event, EmailChanged):
        return tuple((address, event.data.account_id) for address in (event.data.old, event.data.new) if address)
    if isinstance(event, AssistanceEnriched) and event.data.resolved is not None:
        return ((event.data.request.email, event.data.resolved.account_id),)
    return ()


def _of_unknown(event: UnknownEvent, message: Message) -> Facts:
    """Of a type that a later version publishes: what every event has, read with care, and all the rest sealed."""
    data = event.data if isinstance(event.data, dict) else {}
    texts = list(_texts(event.data))
    found = {name: _short_text(data.get(name)) for name in COMMON}
    try:
        reference = parse_reference(found["reference_id"] or "")
    except InvalidReference:
        reference = None
    outcome = found["outcome"] if found["outcome"] in {item.value for item in Outcome} else None
    subject = found["subject"] or event.subject
    actor = found["actor"]
    return Facts(
        source=event.source,
        event_id=event.id,
        type=event.type,
        occurred_at=event.time,
        service=service_of(message.topic, event.source),
        reference_id=reference,
        actor=actor,
        on_behalf_of=found["on_behalf_of"],
        subject=subject,
        outcome=outcome,
        reason=found["reason"] if (found["reason"] or "").isascii() else None,
        accounts=(subject,) if subject else (actor,) if actor is not None and is_account(actor) else (),
        emails=frozenset(_emails(texts)),
        ips=frozenset(_ips(texts)),
    )


def _short_text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 160 and value.isprintable() else None


def without(value: Any, paths: set[tuple[str, ...]]) -> Any:
    """The value without what the paths lead to."""
    if isinstance(value, list):
        below = {path[1:] for path in paths if path[0] == ITEM}
        return [] if () in below else [without(item, below) for item in value]
    if not isinstance(value, dict) or not paths:
        return value
    kept = {}
    for name, item in value.items():
        below = {path[1:] for path in paths if path[0] == name}
        if () not in below:
            kept[name] = without(item, below)
    return kept


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _emails(texts: list[str]) -> Iterator[str]:
    for text in texts:
        if "@" in text and len(text) <= 254:
            try:
                yield check_address(text)
            except ValueError:
                continue


def _ips(texts: list[str]) -> Iterator[str]:
    for text in texts:
        if 2 <= len(text) <= 45 and (text.count(".") == 3 or ":" in text):
            try:
                yield normalise_ip(text)
            except ValueError:
                continue
