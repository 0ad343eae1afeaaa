"""Recovery put together: the only place that knows every part."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI

from services.recovery.adapters.enrichment import Enrichment, RecentTokens
from services.recovery.adapters.grants import GrantSigner
from services.recovery.adapters.limits import NetworkLimit, window_of
from services.recovery.adapters.post import SmtpPost
from services.recovery.adapters.reasons import load_reasons
from services.recovery.adapters.store import SqlTransactions
from services.recovery.domain.actions import Lifetimes
from services.recovery.domain.permissions import Permissions
from services.recovery.domain.secrets import SecretSealer
from services.recovery.handlers import GROUP, TOPICS, register
from services.recovery.jobs import Sweeper, register_mail
from services.recovery.routes.admin import SCOPE, AdminRoutes
from services.recovery.routes.callers import Callers
from services.recovery.routes.console import HOME, ConsolePages
from services.recovery.routes.pages import PersonPages
from services.recovery.routes.public import PublicRoutes
from services.recovery.settings import RecoverySettings
from services.recovery.usecases.chronicle import Chronicle
from services.recovery.usecases.look_up import Desk
from services.recovery.usecases.project_events import ProjectAccounts, ProjectRequests
from services.recovery.usecases.redeem import Redeem
from services.recovery.usecases.request_action import RequestAction
from services.recovery.usecases.send_mail import SendMail
from services.recovery.usecases.sweep import Sweep
from services.recovery.usecases.view_account import ViewAccount
from shared.kit.addresses import AddressHasher
from shared.kit.clock import Clock, utc_now, uuid7
from shared.kit.http.auth import BearerAuth, Principal, TokenVerifier
from shared.kit.http.client_address import ClientAddress, parse_networks
from shared.kit.http.dead_letters import DeadLetterRoutes
from shared.kit.mail.message import envelope_address
from shared.kit.mail.retry import pause_before
from shared.kit.mail.sender import Mailer
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.events import EventProcessor, Handlers
from shared.kit.service import Plumbing
from shared.web.pages import Pages
from shared.web.sessions import Sessions
from shared.web.signin import OidcSettings, SignIn

_ABOUT = """Administrators look accounts up and send access emails and recovery codes; people redeem what they were
sent. Endpoints for administrators need a bearer token of scope `readmit.recover`; what its account may do,
the directory says."""


@dataclass
class UseCases:
    """What recovery does, over real adapters."""

    accounts: ProjectAccounts
    requests: ProjectRequests
    desk: Desk
    view_account: ViewAccount
    request_action: RequestAction
    send_mail: SendMail
    redeem: Redeem
    sweep: Sweep


@dataclass
class Parts:
    """What tests reach for beneath the application."""

    plumbing: Plumbing
    use_cases: UseCases


def build_use_cases(settings: RecoverySettings, plumbing: Plumbing, mailer: Mailer, signer: GrantSigner,
                    clock: Clock) -> UseCases:  # fmt: skip
    """The use cases, given everything that comes from outside."""
    transactions = SqlTransactions(plumbing.database)
    hasher = AddressHasher(settings.hash_key)
    chronicle = Chronicle(clock, uuid7, hasher)
    permissions = Permissions(
        access_email_level=settings.access_email_level,
        recovery_code_level=settings.recovery_code_level,
        forbid_self_service=settings.forbid_self_service,
        forbid_higher_target=settings.forbid_higher_target,
    )
    window = window_of(settings.recovery_limit_account)
    sealer = SecretSealer(settings.code_key.keys, secrets.token_bytes)
    reasons = frozenset(reason.code for reason in load_reasons(settings.reasons))
    mail_domain = envelope_address(settings.mail_from).rpartition("@")[2]
    return UseCases(
        accounts=ProjectAccounts(chronicle, hasher, hasher.all),
        requests=ProjectRequests(),
        desk=Desk(transactions, permissions, chronicle),
        view_account=ViewAccount(transactions, permissions, window),
        request_action=RequestAction(transactions, permissions, reasons, hasher, window, chronicle, uuid7),
        send_mail=SendMail(
            transactions,
            permissions,
            Lifetimes(
                code=timedelta(seconds=settings.recovery_code_ttl), link=timedelta(seconds=settings.recovery_link_ttl)
            ),
            sealer,
            hasher.all,
            SmtpPost(settings, mailer),
            chronicle,
            new_id=uuid7,
            new_message_id=lambda: f"<{secrets.token_hex(16)}@{mail_domain}>",
            new_token=secrets.token_urlsafe,
            random_bytes=secrets.token_bytes,
            pause_before=pause_before,
        ),
        redeem=Redeem(transactions, sealer, hasher.all, window, signer, chronicle),
        sweep=Sweep(transactions, chronicle),
    )


def page_set(settings: RecoverySettings) -> Pages:
    """Recovery's pages."""
    folder = Path(__file__).parent
    return Pages(
        service="Account recovery",
        branding=settings.branding(),
        template_dir=folder / "templates",
        static_dir=folder / "static",
    )


def sign_in(settings: RecoverySettings, pages: Pages, verifier: TokenVerifier, tokens: RecentTokens) -> SignIn:
    """Sign-in to the console. The access token is kept in memory for asking enrichment in the person's name."""

    async def verify(token: str) -> Principal:
        principal = await verifier(token)
        tokens.keep(principal.subject, token, principal.expires_at.timestamp())
        return principal

    url = settings.public_recovery_url
    keys = list(settings.session_key.keys)
    return SignIn(
        pages=pages,
        sessions=Sessions(service="recovery", keys=keys, public_url=url),
        settings=OidcSettings(
            issuer=settings.auth_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret,
            redirect_url=f"{url}/signin/callback",
            scopes=(SCOPE,),
        ),
        keys=keys,
        public_url=url,
        verify=verify,
        home=HOME,
    )


def bootstrap(settings: RecoverySettings, *, clock: Clock = utc_now, group: str = GROUP) -> FastAPI:
    """The service. `clock` stamps events and grants; what runs out, runs out by the database's clock."""
    plumbing = Plumbing.build(settings)
    mailer = Mailer(settings.smtp_url, alarm_seconds=settings.watchdog_alarm_seconds)
    plumbing.alarms["mail servers"] = mailer.alarm
    signer = GrantSigner(
        settings.grant_key, issuer=settings.public_recovery_url, audience=settings.identity_audience, clock=clock
    )
    use_cases = build_use_cases(settings, plumbing, mailer, signer, clock)

    handlers = Handlers()
    register(handlers, use_cases.accounts, use_cases.requests)
    processor = EventProcessor(group, plumbing.database, handlers)
    consumer = RecordConsumer(processor.group, processor)
    processor.stopping = consumer.stopping
    plumbing.consume(consumer, topics=[topic.value for topic in TOPICS])
    register_mail(plumbing.outbox, use_cases.send_mail)

    enrichment = Enrichment(settings.enrichment_url)
    plumbing.components += [mailer, enrichment, Sweeper(use_cases.sweep)]
    callers = Callers(ClientAddress(parse_networks(settings.trusted_proxies), settings.trusted_proxy_header))
    limit = NetworkLimit(settings.recovery_limit_network, settings.rate_limit_url)
    reasons = load_reasons(settings.reasons)
    verifier = settings.token_verifier()
    admin = AdminRoutes(BearerAuth(verifier), callers, use_cases.desk, use_cases.request_action, enrichment, reasons)
    pages = page_set(settings)
    person = PersonPages(
        pages, callers, limit, use_cases.redeem,
        public_url=settings.public_recovery_url, continue_url=settings.identity_continue_url,
    )  # fmt: skip
    tokens = RecentTokens()
    signin = sign_in(settings, pages, verifier, tokens)
    console = ConsolePages(
        pages, signin, callers, use_cases.desk, use_cases.view_account, use_cases.request_action, enrichment, tokens,
        reasons,
    )  # fmt: skip
    public = PublicRoutes(callers, limit, use_cases.redeem, signer, settings.identity_continue_url)
    letters = DeadLetterRoutes(BearerAuth(verifier), plumbing.database, settings.service)
    app = plumbing.application(
        title="Readmit recovery",
        description=_ABOUT,
        routers=[admin.router(), public.router(), person.router(), console.router(), letters.router()],
        openapi=True,
        needs_broker=False,
    )
    pages.mount_static(app)
    signin.install(app)
    app.state.recovery = Parts(plumbing, use_cases)
    return app
