"""Intake's composition root."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from services.intake.adapters.backlog import Backlog
from services.intake.adapters.catalogs import load_catalogs
from services.intake.adapters.events import EventStore
from services.intake.adapters.feeds import FeedFreshness
from services.intake.adapters.housekeeping import forget_expired_keys
from services.intake.adapters.limits import RateLimits, shared_store
from services.intake.adapters.requests import RequestStore
from services.intake.adapters.throttling import ThrottlingReporter
from services.intake.domain.keyed import KeyedHash
from services.intake.routes.api import create_requests_routes
from services.intake.routes.events import create_events_router
from services.intake.routes.openapi import describe_security
from services.intake.routes.page import create_page_router
from services.intake.routes.reception import Reception
from services.intake.settings import IntakeSettings
from services.intake.usecases.accept_events import AcceptEvents
from services.intake.usecases.admit_request import AdmitRequest
from services.intake.usecases.submit_request import SubmitRequest
from shared.kit.addresses import AddressHasher
from shared.kit.clock import Clock, utc_now, uuid7
from shared.kit.messaging.tracing import current_traceparent
from shared.kit.periodic import Periodic
from shared.kit.service import Plumbing
from shared.schemas import reference
from shared.schemas.intake import ThrottlingLimit
from shared.web.csrf import CrossOriginProtection
from shared.web.headers import ContentPolicy
from shared.web.pages import Pages

_NO_WINDOW = timedelta(seconds=1)  # of a limit that is off, and so refuses nobody


def bootstrap(
    settings: IntakeSettings,
    *,
    clock: Clock = utc_now,
    new_reference: Callable[[], str] = lambda: reference.generate(secrets.randbits),
) -> FastAPI:
    """Builds the service; nothing is connected until its application starts."""
    plumbing = Plumbing.build(settings)
    hash_address, hash_text = AddressHasher(settings.hash_key), KeyedHash(settings.hash_key.newest)
    items = settings.limits()
    limits = RateLimits(
        items,
        shared_store(settings.rate_limit_url) if settings.rate_limit_url else None,
        clock=lambda: clock().timestamp(),
    )
    windows = {ThrottlingLimit.NETWORK: items.network, ThrottlingLimit.TOTAL: items.total}
    lengths = {
        limit: _NO_WINDOW if item is None else timedelta(seconds=item.get_expiry()) for limit, item in windows.items()
    }
    refused = ThrottlingReporter(plumbing.database, hash_text, lengths, clock=clock)
    requests = RequestStore(
        settings.database_url, connections=settings.database_pool_size, wake_relay=plumbing.wake_relay
    )
    backlog = Backlog(plumbing.engine, settings.intake_high_water)
    feeds = FeedFreshness(plumbing.engine, clock=clock)
    plumbing.components += [
        requests,
        refused,
        feeds,
        Periodic("feeds", feeds.keep, seconds=10),
        Periodic("forgetting keys", partial(forget_expired_keys, plumbing.engine), seconds=600),
    ]
    if settings.intake_high_water:
        plumbing.components.append(Periodic("backlog", backlog.look, seconds=5))
    accept_events = AcceptEvents(EventStore(plumbing.database), backlog, feeds, hash_address, clock=clock)
    submit = SubmitRequest(
        requests,
        limits,
        hash_address,
        clock=clock,
        new_reference=new_reference,
        new_id=lambda: uuid7(clock),
        traceparent=current_traceparent,
    )
    catalogs = load_catalogs()
    reception = Reception(
        AdmitRequest(limits, refused), submit, hash_text, settings.proxies(), settings.trusted_proxy_header
    )
    pages = _pages(settings)
    auth = settings.bearer_auth()
    submit_request, requests_description = create_requests_routes(auth, reception, catalogs)
    app = plumbing.application(
        title="Readmit intake",
        description="Requests for assistance from people who can't sign in, and events from the identity platform.",
        routers=[
            requests_description,
            create_events_router(auth, accept_events),
            create_page_router(
                pages, reception, CrossOriginProtection(settings.public_intake_url), signin_url=settings.signin_url
            ),
        ],
        openapi=True,
        direct=[submit_request],
        notes={"backlog": backlog.note},
        needs_broker=False,  # what is accepted waits in the outbox
    )
    describe_security(app)
    pages.mount_static(app)
    return app


def _pages(settings: IntakeSettings) -> Pages:
    return Pages(
        service="Sign-in help",
        branding=settings.branding(),
        template_dir=Path(__file__).parent / "templates",
        translations=load_catalogs(),
        policy=ContentPolicy(frame_ancestors=settings.frame_ancestors),
    )
