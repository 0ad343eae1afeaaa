"""The ledger list of DESIGN section 5: what must hold after any number of crashes. Each check is a function of the
evidence and names its first offenders.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.evidence import Evidence
from tests.faults.inbox import Mail

SETTLES_WITHIN = 30.0  # seconds
IN_FLIGHT = 8  # messages that one death may repeat (contract, section 9)
# A copy counts as a death's when that death came this close to the first one: a sender whose database died keeps
# trying to record the answer for a quarter of a minute.
DEATH_WINDOW = 20.0  # seconds
NOTIFIED = "readmit.assistance.admin-notified.v1"
SIGNED_IN = "readmit.identity.signin-succeeded.v1"
ACCOUNT = "readmit.identity.account.v1"
_SHOWN = 5


@dataclass
class Verdict:
    """What a check found: how much it looked at, and who offends."""

    name: str
    looked_at: int = 0
    offenders: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.offenders

    @property
    def first(self) -> list[str]:
        more = len(self.offenders) - _SHOWN
        return self.offenders[:_SHOWN] + ([f"and {more} more"] if more > 0 else [])


def requests_are_there(evidence: Evidence) -> Verdict:
    """Every 202 is in intake's database, published once; intake has none that nobody was told of."""
    verdict = Verdict("every accepted request is in intake, and the reverse", len(evidence.accepted))
    references = {reference for found in evidence.addresses.values() for reference in found}
    for reference, address in evidence.accepted.items():
        if reference not in evidence.requests:
            verdict.offenders.append(f"{reference} was accepted and is not in intake's table")
        if reference not in evidence.addresses.get(address, ()):
            verdict.offenders.append(f"{reference} was accepted and is not in intake's ledger")
    for address, found in evidence.addresses.items():
        if len(found) > 1:
            verdict.offenders.append(f"{address} asked once and has {', '.join(found)}")
        if not (evidence.accepted.keys() & set(found)) and address not in evidence.unknown:
            verdict.offenders.append(f"{found[0]} of {address} is in intake and nobody was told so")
    verdict.offenders += [f"{it} is published and not in the table" for it in sorted(references - evidence.requests)]
    verdict.offenders += [f"{it} is in the table and not published" for it in sorted(evidence.requests - references)]
    return verdict


def answers_are_fit(evidence: Evidence) -> Verdict:
    """What can't be done now is answered 503, never as somebody's mistake."""
    verdict = Verdict("everything was answered 202 or 503", len(evidence.accepted) + len(evidence.actions))
    verdict.offenders += evidence.refused
    return verdict


def events_are_there(evidence: Evidence) -> Verdict:
    """Every accepted identity event is in intake's ledger."""
    verdict = Verdict("every accepted identity event is in intake's ledger", len(evidence.events))
    for event_id, event in evidence.events.items():
        if (event["source"], event_id) not in evidence.ledger:
            verdict.offenders.append(f"{event['type']} {event_id}")
    return verdict


def audited_once(evidence: Evidence) -> Verdict:
    """One audit record per event id, of the publisher's bytes; none of what nobody published."""
    verdict = Verdict("one audit record per event, bytes equal to the publisher's", len(evidence.ledger))
    for key, published in evidence.ledger.items():
        digests = evidence.recorded.get(key, [])
        if not digests:
            verdict.offenders.append(f"{published.type} {key[1]} of {published.service} has no record")
        elif len(digests) > 1:
            verdict.offenders.append(f"{published.type} {key[1]} has {len(digests)} records")
        elif digests[0] != published.digest:
            verdict.offenders.append(f"{published.type} {key[1]} was recorded with other bytes")
    strangers = sorted(evidence.recorded.keys() - evidence.ledger.keys())
    verdict.offenders += [f"{source} {event_id} is recorded and nobody published it" for source, event_id in strangers]
    if len(evidence.leaves) != sum(map(len, evidence.recorded.values())):
        verdict.offenders.append(
            f"{len(evidence.leaves)} entries, but marks of {sum(map(len, evidence.recorded.values()))}"
        )
    return verdict


def consumed_by_all(evidence: Evidence) -> Verdict:
    """Every published event is marked in the inbox of each service that handles its type."""
    verdict = Verdict("every event reached each service that handles it")
    for service, types in evidence.handled.items():
        wanted = {key for key, published in evidence.ledger.items() if published.type in types}
        verdict.looked_at += len(wanted)
        for key in sorted(wanted - evidence.inboxes.get(service, set())):
            verdict.offenders.append(f"{service} never handled {evidence.ledger[key].type} {key[1]}")
    return verdict


def effects_once(evidence: Evidence) -> Verdict:
    """Sums and newest states of the projections are those of the accepted events, each counted once."""
    verdict = Verdict("projections hold each event's effect once")
    signins: Counter[str] = Counter()
    newest: dict[str, tuple[str, str, str]] = {}
    for event in evidence.events.values():
        if event["type"] == SIGNED_IN:
            signins[event["subject"]] += 1
        elif event["type"] == ACCOUNT:
            state = (event["time"], event["id"], event["data"]["display_name"])
            newest[event["subject"]] = max(newest.get(event["subject"], ("", "", "")), state)
    verdict.looked_at = len(signins) + len(newest)
    for subject in sorted(signins.keys() | newest.keys()):
        counted = evidence.signins.get(subject, 0)
        if counted != signins[subject]:
            verdict.offenders.append(f"{subject} signed in {signins[subject]} times, enrichment counts {counted}")
        if subject in newest and evidence.names.get(subject) != newest[subject][2]:
            verdict.offenders.append(
                f"{subject} is {newest[subject][2]!r}, recovery has {evidence.names.get(subject)!r}"
            )
    return verdict


def enriched_once(evidence: Evidence) -> Verdict:
    """Each published request is enriched once."""
    verdict = Verdict("each request is enriched once", len(evidence.requests))
    counts = Counter(
        item.reference for item in evidence.ledger.values() if item.type == "readmit.assistance.enriched.v1"
    )
    for reference in sorted(evidence.requests | {it for it in counts if it is not None}):
        if counts[reference] != 1:
            verdict.offenders.append(f"{reference} is enriched {counts[reference]} times")
    return verdict


def notified_once(evidence: Evidence) -> Verdict:
    """One notification, sent, and one event that says so, per request and eligible administrator; none for others."""
    verdict = Verdict("one notification per request and eligible administrator, none for others")
    rows = Counter[tuple[str, str]]()
    for row in evidence.notifications:
        rows[row.reference, row.admin] += row.copies
        if row.state != "sent":
            verdict.offenders.append(f"{row.reference} for {row.admin} is {row.state or 'not queued'}")
    told = Counter(
        (item.reference or "", item.admin or "") for item in evidence.ledger.values() if item.type == NOTIFIED
    )
    mailed = Counter((mail.reference, to) for mail in evidence.mails if mail.reference for to in mail.recipients)
    wanted = {(reference, admin) for reference in evidence.requests for admin in evidence.eligible}
    verdict.looked_at = len(wanted)
    for pair in sorted(wanted | rows.keys() | told.keys()):
        expected = 1 if pair in wanted else 0
        if rows[pair] != expected or told[pair] != expected:
            verdict.offenders.append(f"{pair[0]} for {pair[1]}: {rows[pair]} rows, {told[pair]} events")
    for reference, admin in sorted(wanted):
        if not mailed[reference, evidence.eligible[admin]]:
            verdict.offenders.append(f"{reference} for {admin} is called sent and no mail came")
    strangers = {to for _, to in mailed} - set(evidence.eligible.values())
    verdict.offenders += [f"{address} was told and is not eligible" for address in sorted(strangers)]
    return verdict


def mails_have_rows(evidence: Evidence) -> Verdict:
    """Every mail that the server took has its row."""
    verdict = Verdict("every mail has its row", len(evidence.mails))
    of_message = {row.message_id: row for row in evidence.notifications}
    attempts: Counter[str] = Counter()
    for address, _, _, tried in evidence.recovery_mails:
        attempts[address] += tried
    received: Counter[str] = Counter()
    for mail in evidence.mails:
        if mail.reference is None:
            received.update(mail.recipients)
            continue
        row = of_message.get(mail.message_id)
        if row is None or row.reference != mail.reference:
            verdict.offenders.append(f"{mail.message_id} about {mail.reference} has no row")
        elif set(mail.recipients) != {evidence.eligible.get(row.admin)}:
            verdict.offenders.append(f"{mail.message_id} for {row.admin} went to {', '.join(mail.recipients)}")
    for address, count in sorted(received.items()):
        if count > attempts[address]:
            verdict.offenders.append(f"{address} has {count} mails of recovery, for {attempts[address]} attempts")
    came = {mail.message_id for mail in evidence.mails}
    for address, message_id, state, _ in evidence.recovery_mails:
        if state == "sent" and message_id not in came:
            verdict.offenders.append(f"{message_id} to {address} is called sent and did not come")
    return verdict


def copies_of(mails: Iterable[Mail]) -> dict[str, list[Mail]]:
    """Messages that came more than once, by Message-ID."""
    by_id: defaultdict[str, list[Mail]] = defaultdict(list)
    for mail in mails:
        by_id[mail.message_id].append(mail)
    return {message_id: found for message_id, found in by_id.items() if len(found) > 1}


def copies_within_window(evidence: Evidence) -> Verdict:
    """Copies of one Message-ID only where sender or database died at that moment, and at most eight a death."""
    copies = copies_of(evidence.mails)
    verdict = Verdict("a message is repeated only when its sender or the database died", len(copies))
    deaths = [kill for kill in evidence.kills if kill.target in {"notifier", "recovery", "postgres"}]
    blamed: Counter[int] = Counter()
    for message_id, found in sorted(copies.items(), key=lambda item: item[1][0].at):
        for earlier, _ in pairwise(found):
            near = [
                number
                for number, kill in enumerate(deaths)
                if abs(kill.at - earlier.at) <= DEATH_WINDOW and blamed[number] < IN_FLIGHT
            ]
            if not near:
                verdict.offenders.append(f"{message_id} came {len(found)} times and no death explains it")
                break
            blamed[min(near, key=lambda number: abs(deaths[number].at - earlier.at))] += 1
    return verdict


def recoveries_once(evidence: Evidence) -> Verdict:
    """Each accepted recovery is there and not stuck; what was redeemed was so once, and says so."""
    verdict = Verdict("each recovery happened once", len(evidence.actions))
    counts = Counter(
        item.action for item in evidence.ledger.values() if item.type == "readmit.recovery.code-redeemed.v1"
    )
    sent = {item.action for item in evidence.ledger.values() if item.type == "readmit.recovery.code-sent.v1"}
    for action in sorted(evidence.actions):
        state = evidence.action_states.get(action)
        if state is None:
            verdict.offenders.append(f"{action} was accepted and is not there")
        elif state not in {"sent", "used"} or action not in sent:
            verdict.offenders.append(f"{action} is {state} and its code was {'' if action in sent else 'not '}sent")
        if counts[action] > 1 or (counts[action] == 1) != (state == "used"):
            verdict.offenders.append(f"{action} is {state}, with {counts[action]} events of being redeemed")
        if action in evidence.redeemed and state != "used":
            verdict.offenders.append(f"{action} was redeemed and is {state}")
    verdict.offenders += [
        f"{it} is there and nobody asked for it" for it in evidence.action_states if it not in evidence.actions
    ]
    verdict.offenders += [f"a code that came by mail was not taken: {it}" for it in evidence.not_redeemed]
    return verdict


def audit_has_no_gap(evidence: Evidence) -> Verdict:
    """Per partition (and, where a broker began anew, per incarnation): read to the end, nothing skipped or twice."""
    verdict = Verdict("audit read every partition without a gap", len(evidence.positions))
    for place, count in evidence.places.items():
        topic, partition, incarnation, offset = place
        last, after = evidence.positions.get((topic, partition), (-1, -1))
        if count > 1:
            verdict.offenders.append(f"{topic}/{partition} incarnation {incarnation} offset {offset}: {count} records")
        if incarnation > last or (incarnation == last and offset >= after):
            verdict.offenders.append(f"{topic}/{partition} offset {offset} lies beyond the position {after}")
    for (topic, partition), end in sorted(evidence.ends.items()):
        _, after = evidence.positions.get((topic, partition), (0, 0))
        if after < end:
            verdict.offenders.append(f"{topic}/{partition} was read up to {after} of {end}")
    verdict.offenders += [f"skipped: {line}" for line in evidence.skipped]
    return verdict


def log_verifies(evidence: Evidence) -> Verdict:
    """Every entry hashes to its leaf, indexes have no hole, and the tree over them has the checkpoint's root."""
    verdict = Verdict("the log verifies", len(evidence.leaves))
    for number, (index, leaf, derived) in enumerate(evidence.leaves):
        if index != number:
            verdict.offenders.append(f"entry {number} is missing")
            break
        if leaf != derived:
            verdict.offenders.append(f"entry {index} does not hash to its leaf")
    size, root = evidence.checkpoint
    if size != len(evidence.leaves) or root != tree_root([leaf for _, leaf, _ in evidence.leaves]):
        verdict.offenders.append(f"the checkpoint over {size} entries is not that of the {len(evidence.leaves)}")
    return verdict


def tree_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, level by level; independent of the service's own code."""
    level = leaves
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        paired = [
            hashlib.sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def came_to_rest(evidence: Evidence) -> Verdict:
    """Outboxes empty and lag 0 within half a minute after the load; nothing went to the dead letters."""
    verdict = Verdict(f"outboxes empty and lag 0 within {SETTLES_WITHIN:.0f} s", len(evidence.outbox))
    if evidence.settled_after is None:
        verdict.offenders.append("never, while it was waited for")
    elif evidence.settled_after > SETTLES_WITHIN:
        verdict.offenders.append(f"only after {evidence.settled_after:.1f} s")
    verdict.offenders += [f"outbox of {name}: {rows} rows" for name, rows in evidence.outbox.items() if rows]
    verdict.offenders += [f"{group} lags behind by {lag}" for group, lag in evidence.lag.items() if lag]
    verdict.offenders += [f"dead letter {it}" for it in evidence.dead_letters]
    return verdict


CHECKS: tuple[Callable[[Evidence], Verdict], ...] = (
    answers_are_fit,
    requests_are_there,
    events_are_there,
    enriched_once,
    notified_once,
    mails_have_rows,
    copies_within_window,
    recoveries_once,
    audited_once,
    consumed_by_all,
    effects_once,
    audit_has_no_gap,
    log_verifies,
    came_to_rest,
)


def judge(evidence: Evidence) -> list[Verdict]:
    """All checks."""
    return [check(evidence) for check in CHECKS]
