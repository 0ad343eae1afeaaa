"""Audit put together: the only place that knows every part."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

from services.audit.adapters.archive import PostgresArchive
from services.audit.adapters.writer import PostgresLog
from services.audit.domain.cursor import Cursors
from services.audit.domain.notes import CheckpointSigner
from services.audit.domain.persons import KeyedHashes
from services.audit.domain.sealing import KeyWrapper
from services.audit.handlers import AuditProcessor
from services.audit.pages import install_pages
from services.audit.routes import proofs_router, records_router
from services.audit.settings import AuditSettings
from services.audit.usecases.append_records import AppendRecords
from services.audit.usecases.prove_records import ProveRecords
from services.audit.usecases.read_records import ReadRecords
from shared.kit.clock import Clock, utc_now
from shared.kit.http.auth import BearerAuth
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.events import Pauses
from shared.kit.service import Plumbing

GROUP = "audit.events"
# Every topic of ours, those of tomorrow too; dead letters are copies of what is recorded already.
TOPICS = r"^readmit\.(?!.*\.dlt$).*"

_ABOUT = """Records every event in an append-only Merkle log and answers what happened. All calls need a bearer token of
scope `readmit.audit`. What is read here is itself recorded."""


def bootstrap(
    settings: AuditSettings,
    *,
    clock: Clock = utc_now,
    group: str = GROUP,
    topics: str = TOPICS,
    pauses: Pauses | None = None,
) -> FastAPI:
    """The service. Group, pattern of topics and pauses are others in tests that share a broker."""
    plumbing = Plumbing.build(settings)
    hashes = KeyedHashes(settings.hash_key)
    wrapper = KeyWrapper(settings.audit_subject_key.keys)
    signer = CheckpointSigner(settings.audit_origin, settings.audit_signing_key.blocks)

    append = AppendRecords(PostgresLog(plumbing.database, wrapper), hashes, signer, clock)
    processor = AuditProcessor(append, asyncio.Event(), pauses)
    consumer = RecordConsumer(group, processor)
    processor.stopping = consumer.stopping
    plumbing.consume(consumer, pattern=topics)

    archive = PostgresArchive(plumbing.database, wrapper, hashes)
    read = ReadRecords(archive, Cursors(settings.session_key.keys), clock)
    verifier = settings.token_verifier()
    auth = BearerAuth(verifier)
    app = plumbing.application(
        title="Readmit audit",
        description=_ABOUT,
        routers=[records_router(auth, read), proofs_router(auth, ProveRecords(archive, signer))],
        openapi=True,
    )
    install_pages(app, settings, read, verifier, clock)
    return app
