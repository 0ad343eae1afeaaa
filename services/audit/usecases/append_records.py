"""Recording messages: one transaction a batch, each message once, nothing left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.audit.domain.entries import Link, build_entry, context_of
from services.audit.domain.merkle import Frontier, leaf_hash
from services.audit.domain.messages import CONFLICT, UNPARSED, Facts, Message, read, unparsed
from services.audit.domain.notes import CheckpointSigner
from services.audit.domain.persons import KeyedHashes, Person
from services.audit.domain.sealing import seal
from services.audit.ports import Addition, EventKey, Log, LogTransaction, NewRecord, Position, SubjectKey
from shared.kit.clock import Clock, utc_now
from shared.schemas.action import Outcome


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch."""

    recorded: Mapping[str, int]
    """How many records of each kind: `event`, `conflict`, `unparsed`."""
    duplicates: int
    skipped_offsets: int
    """Offsets that the broker never delivered."""
    size: int


@dataclass
class _Batch:
    """What a batch adds while it is being put together."""

    frontier: Frontier
    chains: dict[str, Link]
    known: dict[EventKey, dict[bytes, int]]
    keys: dict[Person, SubjectKey]
    records: list[NewRecord] = field(default_factory=list)
    nodes: list[tuple[int, int, bytes]] = field(default_factory=list)
    beside: dict[bytes, bytes] = field(default_factory=dict)
    lookups: set[tuple[str, str, int]] = field(default_factory=set)
    owners: set[tuple[str, str]] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0


class AppendRecords:
    """The log's one writer."""

    def __init__(self, log: Log, hashes: KeyedHashes, signer: CheckpointSigner, clock: Clock = utc_now) -> None:
        self._log = log
        self._hashes = hashes
        self._signer = signer
        self._clock = clock
        self._frontier: Frontier | None = None

    async def __call__(self, messages: Sequence[Message], *, unreadable: str | None = None) -> Appended:
        """Records the messages that are new, in order.

        Args:
            messages: what the broker delivered.
            unreadable: why the messages are to be recorded as they are, unread.
        """
        read_as = [read(message) if unreadable is None else unparsed(message, unreadable) for message in messages]
        async with self._log.transaction() as log:
            positions, incarnations, skipped = await self._follow(log, messages)
            batch = await self._prepare(log, read_as)
            for facts, message, incarnation in zip(read_as, messages, incarnations, strict=True):
                self._add(batch, facts, message, incarnation)
            if batch.records:
                await log.append(self._addition(batch))
            await log.set_positions(positions)
        self._frontier = batch.frontier
        return Appended(batch.kinds, batch.duplicates, skipped, batch.frontier.size)

    async def _follow(
        self, log: LogTransaction, messages: Sequence[Message]
    ) -> tuple[dict[tuple[str, int], Position], list[int], int]:
        """The new positions, each message's incarnation, and how many offsets are missing between them.

        An offset that was passed already is a redelivery, unless its message is younger than all before: then the
        broker lost its log and began anew.
        """
        positions = await log.positions({(message.topic, message.partition) for message in messages})
        incarnations, skipped = [], 0
        for message in messages:
            partition = (message.topic, message.partition)
            position = positions.get(partition)
            if position is None:
                position = Position(0, message.offset, message.timestamp)
            elif message.offset < position.next_offset and message.timestamp > position.last_timestamp:
                position = Position(position.incarnation + 1, message.offset, message.timestamp)
            incarnations.append(position.incarnation)
            skipped += max(0, message.offset - position.next_offset)
            positions[partition] = Position(
                position.incarnation,
                max(position.next_offset, message.offset + 1),
                max(position.last_timestamp, message.timestamp),
            )
        return positions, incarnations, skipped

    async def _prepare(self, log: LogTransaction, read_as: Sequence[Facts]) -> _Batch:
        frontier = await log.frontier(self._frontier)
        known = await log.recorded({(facts.source, facts.event_id) for facts in read_as})
        chains = await log.chain_ends({facts.reference_id for facts in read_as if facts.reference_id is not None})
        keys = await log.keys_of({person for facts in read_as for person in self._persons(facts)})
        return _Batch(Frontier(frontier.size, list(frontier.peaks)), chains, known, keys)

    def _persons(self, facts: Facts) -> tuple[Person, ...]:
        persons = [
            *(self._hashes.account(account) for account in facts.accounts),
            *(self._hashes.address(address) for address in facts.addresses),
            *(self._hashes.hashed_address(email_hash) for email_hash in facts.address_hashes),
        ]
        return tuple(dict.fromkeys(persons)) or (self._hashes.nobody(f"{self._clock():%Y-%m}"),)

    def _add(self, batch: _Batch, facts: Facts, message: Message, incarnation: int) -> None:
        hashes = self._hashes.message(message.value)
        same_id = batch.known.setdefault((facts.source, facts.event_id), {})
        if any(message_hash in same_id for message_hash in hashes):
            batch.duplicates += 1
            return
        kind = "unparsed" if facts.type == UNPARSED else "event"
        if same_id:
            kind, first = "conflict", min(same_id.values())
            clear = {"event_type": facts.type, "conflicts_with": first}
            facts = replace(facts, type=CONFLICT, outcome=Outcome.FAILURE.value, clear=clear)
        index = batch.frontier.size
        record = self._record(batch, facts, message, incarnation, index, hashes[0])
        batch.nodes.extend(batch.frontier.append(record.leaf_hash))
        batch.records.append(record)
        same_id[hashes[0]] = index
        batch.kinds[kind] += 1
        self._index(batch, facts, index)

    def _record(
        self, batch: _Batch, facts: Facts, message: Message, incarnation: int, index: int, message_hash: bytes
    ) -> NewRecord:
        link = None
        if facts.reference_id is not None:
            before = batch.chains.get(facts.reference_id)
            link = Link(before.index + 1, before.previous) if before else Link(0, None)
        # In one order, so that whoever opens it derives the same key.
        keys = sorted({batch.keys[person] for person in self._persons(facts)}, key=lambda key: key.subject_id)
        entry, beside = build_entry(
            facts,
            message,
            incarnation=incarnation,
            recorded_at=self._clock(),
            link=link,
            sealed=seal(message.value, [key.key for key in keys], context_of(facts)),
            keys=tuple(key.subject_id for key in keys),
        )
        leaf = leaf_hash(entry)
        batch.beside.update(beside)
        if link is not None and facts.reference_id is not None:
            batch.chains[facts.reference_id] = Link(link.index, leaf)
        return NewRecord(
            index=index,
            leaf_hash=leaf,
            entry=entry,
            source=facts.source,
            event_id=facts.event_id,
            message_hash=message_hash,
            type=facts.type,
            service=facts.service,
            reference_id=facts.reference_id,
            reference_index=link.index if link else None,
            actor=facts.actor,
            subject=facts.subject,
            outcome=facts.outcome,
            reason=facts.reason,
            occurred_at=facts.occurred_at,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            incarnation=incarnation,
        )

    def _index(self, batch: _Batch, facts: Facts, index: int) -> None:
        hashes = {self._hashes.email(email)[0] for email in facts.emails} | facts.email_hashes
        batch.lookups |= {("email", email_hash, index) for email_hash in hashes}
        batch.lookups |= {("ip", self._hashes.ip(ip)[0], index) for ip in facts.ips}
        batch.owners |= {
            (self._hashes.email(address)[0], self._hashes.account(account).hashes[0])
            for address, account in facts.owned
        }

    def _addition(self, batch: _Batch) -> Addition:
        size, root = batch.frontier.size, batch.frontier.root
        return Addition(
            records=batch.records,
            nodes=batch.nodes,
            beside=batch.beside,
            lookups=batch.lookups,
            owners=batch.owners,
            size=size,
            root=root,
            note=self._signer.sign(size, root),
            signed_at=self._clock(),
        )
