"""Each check of the fault test finds what it is there for, and nothing in a sound end state."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import ledger
from tests.faults.evidence import REQUESTED, Evidence, Notification, Published, handled_types, published, read_client
from tests.faults.inbox import Mail, mail_of
from tests.faults.journal import Journal
from tests.faults.killer import Kill
from tests.faults.ledger import CHECKS, Verdict, judge, tree_root

INTAKE, ENRICHMENT, NOTIFIER, RECOVERY = (f"/readmit/{it}" for it in ("intake", "enrichment", "notifier", "recovery"))
PLATFORM = "https://identity.example.org"
ADMIN, ADDRESS = "expert-1", "expert@example.org"
PATIENT = "patient@example.org"


def sound() -> Evidence:
    """Three requests, two of which their senders know of, one sign-in, one account, one recovery, all well."""
    evidence = Evidence(eligible={ADMIN: ADDRESS}, settled_after=3.0, outbox={"intake": 0}, lag={"audit.events": 0})
    for number, reference in enumerate(("RA-1", "RA-2", "RA-3")):
        address = f"caller-{number}@example.org"
        evidence.requests.add(reference)
        evidence.addresses[address] = [reference]
        _publish(evidence, INTAKE, f"q{number}", REQUESTED, reference=reference)
        _publish(evidence, ENRICHMENT, f"e{number}", "readmit.assistance.enriched.v1", reference=reference)
        _publish(evidence, NOTIFIER, f"n{number}", ledger.NOTIFIED, reference=reference, admin=ADMIN)
        evidence.notifications.append(Notification(reference, ADMIN, "sent", f"<{reference}@x>"))
        evidence.mails.append(Mail(number, f"<{reference}@x>", reference, (ADDRESS,)))
    evidence.accepted = {"RA-1": "caller-0@example.org", "RA-2": "caller-1@example.org"}
    evidence.unknown = {"caller-2@example.org", "caller-3@example.org"}
    for event_id, kind, data in (("s1", ledger.SIGNED_IN, {}), ("a1", ledger.ACCOUNT, {"display_name": "New"})):
        event = {"id": event_id, "source": PLATFORM, "type": kind, "subject": "member-1", "time": "2026", "data": data}
        evidence.events[event_id] = event
        _publish(evidence, PLATFORM, event_id, kind)
    evidence.signins, evidence.names = {"member-1": 1}, {"member-1": "New"}
    _publish(evidence, RECOVERY, "r1", "readmit.recovery.code-sent.v1", action="act-1")
    _publish(evidence, RECOVERY, "r2", "readmit.recovery.code-redeemed.v1", action="act-1")
    evidence.actions, evidence.redeemed, evidence.action_states = {"act-1": "patient-1"}, {"act-1"}, {"act-1": "used"}
    evidence.recovery_mails = [(PATIENT, "<code@x>", "sent", 1)]
    evidence.mails.append(Mail(9, "<code@x>", None, (PATIENT,)))
    evidence.handled = {"notifier": {ledger.ACCOUNT}, "enrichment": {ledger.SIGNED_IN, REQUESTED}}
    for service, types in evidence.handled.items():
        evidence.inboxes[service] = {key for key, item in evidence.ledger.items() if item.type in types}
    entries = [f"entry {number}".encode() for number in range(len(evidence.ledger))]
    hashes = [hashlib.sha256(b"\x00" + entry).digest() for entry in entries]
    evidence.leaves = [(index, leaf, leaf) for index, leaf in enumerate(hashes)]
    evidence.checkpoint = (len(hashes), tree_root(hashes))
    evidence.places = Counter({("t", 0, 1, offset): 1 for offset in range(3)})
    evidence.positions, evidence.ends = {("t", 0): (1, 3)}, {("t", 0): 3}
    return evidence


def _publish(evidence: Evidence, source: str, event_id: str, kind: str, **about: Any) -> None:
    digest = hashlib.sha256(event_id.encode()).digest()
    evidence.ledger[source, event_id] = Published(source.rpartition("/")[2], kind, digest, **about)
    evidence.recorded[source, event_id] = [digest]


def broken(break_it: Callable[[Evidence], object]) -> list[str]:
    """The names of the checks that complain."""
    evidence = sound()
    break_it(evidence)
    return [check.__name__ for check in CHECKS if not check(evidence).holds]


def test_a_sound_end_state_passes() -> None:
    assert [(verdict.name, verdict.offenders) for verdict in judge(sound()) if not verdict.holds] == []


def _again(evidence: Evidence, mail: Mail, times: int) -> None:
    evidence.mails += [replace(mail, at=mail.at + number) for number in range(1, times + 1)]


BREAKAGES: dict[str, tuple[Callable[[Evidence], object], str]] = {
    "an accepted request is not in the table": (lambda it: it.requests.discard("RA-1"), "requests_are_there"),
    "an accepted request was not published": (
        lambda it: it.addresses.pop("caller-0@example.org"),
        "requests_are_there",
    ),
    "a request is there of which nobody was told": (lambda it: it.unknown.clear(), "requests_are_there"),
    "one that asked again under its key has two": (
        lambda it: it.addresses["caller-0@example.org"].append("RA-3"),
        "requests_are_there",
    ),
    "a request is in the table and not published": (lambda it: it.requests.add("RA-9"), "requests_are_there"),
    "an outage was answered 500": (lambda it: it.refused.append("recovery: 500"), "answers_are_fit"),
    "an accepted event is gone": (lambda it: it.ledger.pop((PLATFORM, "s1")), "events_are_there"),
    "a request was enriched twice": (
        lambda it: _publish(it, ENRICHMENT, "e9", "readmit.assistance.enriched.v1", reference="RA-1"),
        "enriched_once",
    ),
    "a request was never enriched": (lambda it: it.ledger.pop((ENRICHMENT, "e0")), "enriched_once"),
    "a notification is missing": (lambda it: it.notifications.pop(), "notified_once"),
    "a notification is there twice": (
        lambda it: it.notifications.append(replace(it.notifications[0], copies=1)),
        "notified_once",
    ),
    "a notification is still queued": (
        lambda it: it.notifications.append(replace(it.notifications.pop(), state="queued")),
        "notified_once",
    ),
    "somebody else has a notification": (
        lambda it: it.notifications.append(Notification("RA-1", "helper-1", "sent", "<other@x>")),
        "notified_once",
    ),
    "the event of being told is there twice": (
        lambda it: _publish(it, NOTIFIER, "n9", ledger.NOTIFIED, reference="RA-1", admin=ADMIN),
        "notified_once",
    ),
    "a mail that is called sent never came": (lambda it: it.mails.pop(0), "notified_once"),
    "somebody else got the mail": (
        lambda it: it.mails.append(Mail(1, "<RA-1@x>", "RA-1", ("helper@example.org",))),
        "notified_once",
    ),
    "a mail has no row": (lambda it: it.mails.append(Mail(1, "<new@x>", "RA-1", (ADDRESS,))), "mails_have_rows"),
    "recovery sent more than it tried": (
        lambda it: it.mails.append(Mail(1, "<more@x>", None, (PATIENT,))),
        "mails_have_rows",
    ),
    "a code that is called sent never came": (lambda it: it.mails.pop(), "mails_have_rows"),
    "a message was repeated and nobody died": (lambda it: _again(it, it.mails[0], 1), "copies_within_window"),
    "a recovery is gone": (lambda it: it.action_states.clear(), "recoveries_once"),
    "a recovery hangs": (lambda it: it.action_states.update({"act-1": "queued"}), "recoveries_once"),
    "a code was redeemed twice": (
        lambda it: _publish(it, RECOVERY, "r9", "readmit.recovery.code-redeemed.v1", action="act-1"),
        "recoveries_once",
    ),
    "a recovery that nobody asked for": (lambda it: it.action_states.update({"act-2": "sent"}), "recoveries_once"),
    "a code was refused": (lambda it: it.not_redeemed.append("act-1: 400"), "recoveries_once"),
    "an event has no record": (lambda it: it.recorded.pop((PLATFORM, "s1")), "audited_once"),
    "an event has two records": (lambda it: it.recorded[PLATFORM, "s1"].append(b"2"), "audited_once"),
    "other bytes were recorded": (lambda it: it.recorded.update({(PLATFORM, "s1"): [b"other"]}), "audited_once"),
    "a record of what nobody published": (lambda it: it.recorded.update({("/x", "1"): [b"1"]}), "audited_once"),
    "an entry was deleted": (lambda it: it.leaves.pop(), "audited_once"),
    "an event never reached a service": (lambda it: it.inboxes["enrichment"].pop(), "consumed_by_all"),
    "a sign-in counts twice": (lambda it: it.signins.update({"member-1": 2}), "effects_once"),
    "an older state won": (lambda it: it.names.update({"member-1": "Old"}), "effects_once"),
    "a place has two records": (lambda it: it.places.update([("t", 0, 1, 1)]), "audit_has_no_gap"),
    "a partition was not read to its end": (lambda it: it.ends.update({("t", 0): 5}), "audit_has_no_gap"),
    "a partition was never read": (lambda it: it.ends.update({("u", 0): 1}), "audit_has_no_gap"),
    "a record lies beyond the position": (lambda it: it.places.update([("t", 0, 1, 7)]), "audit_has_no_gap"),
    "offsets were skipped": (lambda it: it.skipped.append("audit.offsets_skipped"), "audit_has_no_gap"),
    "an entry was changed": (lambda it: it.leaves.__setitem__(1, (1, it.leaves[1][1], b"other")), "log_verifies"),
    "an entry is missing": (lambda it: it.leaves.pop(1), "log_verifies"),
    "the checkpoint is of another tree": (lambda it: setattr(it, "checkpoint", (13, b"root")), "log_verifies"),
    "a row stays in an outbox": (lambda it: it.outbox.update(intake=1), "came_to_rest"),
    "a group lags behind": (lambda it: it.lag.update({"audit.events": 4}), "came_to_rest"),
    "it took too long": (lambda it: setattr(it, "settled_after", 31.0), "came_to_rest"),
    "it never came to rest": (lambda it: setattr(it, "settled_after", None), "came_to_rest"),
    "something is in the dead letters": (lambda it: it.dead_letters.append("t.g.dlt"), "came_to_rest"),
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_a_check_finds(what: str) -> None:
    break_it, check = BREAKAGES[what]
    assert check in broken(break_it)


def test_every_check_is_seen_to_fail() -> None:
    assert {check.__name__ for check in CHECKS} == {check for _, check in BREAKAGES.values()}


def test_one_death_explains_eight_copies_at_its_time_and_no_more() -> None:
    def after_death(copies: int, died_at: float, target: str = "notifier") -> list[str]:
        def break_it(it: Evidence) -> None:
            it.kills = [Kill(target, 1, died_at, "")]
            it.mails += [Mail(5.0, f"<{number}@x>", "RA-1", (ADDRESS,)) for number in range(copies) for _ in range(2)]

        return [name for name in broken(break_it) if name == "copies_within_window"]

    assert after_death(8, died_at=6.0) == []
    assert after_death(8, died_at=6.0, target="postgres") == []
    assert after_death(9, died_at=6.0) == ["copies_within_window"]
    assert after_death(1, died_at=6.0 + 60) == ["copies_within_window"]
    assert after_death(1, died_at=6.0, target="audit") == ["copies_within_window"]


def test_the_first_offenders_are_shown_and_the_rest_counted() -> None:
    verdict = Verdict("x", 9, [str(number) for number in range(9)])
    assert verdict.first == ["0", "1", "2", "3", "4", "and 4 more"]


def test_the_tree_is_that_of_rfc_6962() -> None:
    # Section 2.1.3's example: seven leaves, hash = node(node(a b, c d), node(e f, g)).
    def node(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    a, b, c, d, e, f, g = (hashlib.sha256(bytes([0, number])).digest() for number in range(7))
    assert tree_root([a, b, c, d, e, f, g]) == node(node(node(a, b), node(c, d)), node(node(e, f), g))
    assert tree_root([]).hex().startswith("e3b0c442")


def test_the_list_is_read_back_from_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "accepted.jsonl")
    journal.write("request", reference="RA-1", address="a@example.org", keyed=True)
    journal.write("unknown", address="b@example.org")
    journal.write("event", id="1", event={"id": "1"})
    journal.write("action", action="x", patient="p")
    journal.write("redeemed", action="x")
    journal.write("refused", what="recovery/path", status=500)
    evidence = Evidence()
    read_client(journal.path, evidence)  # while it is still open: every line is there
    journal.close()
    assert evidence.accepted == {"RA-1": "a@example.org"}
    assert (evidence.unknown, evidence.keyed) == ({"b@example.org"}, {"a@example.org"})
    assert (evidence.events, evidence.actions, evidence.redeemed) == ({"1": {"id": "1"}}, {"x": "p"}, {"x"})
    assert evidence.refused == ["recovery/path: 500"]


def test_a_mail_is_known_by_its_headers_and_not_by_its_text() -> None:
    raw = b"Subject: x\r\nMESSAGE-ID: <1@x>\r\nX-Readmit-Reference: RA-1\r\n\r\nMessage-ID: <2@x>\r\n"
    assert mail_of(raw, ["a@example.org"], 1.0) == Mail(1.0, "<1@x>", "RA-1", ("a@example.org",))
    assert mail_of(raw.replace(b"X-Readmit", b"X-Other"), [], 1.0).reference is None


def test_digests_are_those_that_audit_keeps() -> None:
    from services.audit.domain.persons import KeyedHashes
    from shared.kit.settings import KeyRing

    key, value = b"k" * 32, b'{"data": {"reference_id": "RA-1", "admin": "a"}}'
    found = published("notifier", ledger.NOTIFIED, value, key)
    assert found == Published("notifier", ledger.NOTIFIED, KeyedHashes(KeyRing((key,))).message(value)[0], "RA-1", "a")


def test_who_handles_what_is_known() -> None:
    handled = handled_types()
    assert REQUESTED in handled["enrichment"]
    assert "readmit.assistance.enriched.v1" in handled["notifier"]
    assert ledger.ACCOUNT in handled["recovery"]
    assert "audit" not in handled
