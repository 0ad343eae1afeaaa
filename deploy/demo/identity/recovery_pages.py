"""The pages that a grant leads to: a new password, a new authenticator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.demo.identity import passwords, totp
from deploy.demo.identity.browser import Browser, client_of
from deploy.demo.identity.grants import GrantRefused, GrantVerifier, KeysUnavailable
from deploy.demo.identity.recovery import REMOVE_TWO_FACTOR, RESET_PASSWORD, Recovery
from deploy.demo.identity.sessions import Session, Stage
from deploy.demo.organisation import ORGANISATION

log = logging.getLogger(__name__)


class RecoveryPages:
    """One step after another, each allowed by what is left of the grant's actions."""

    def __init__(self, browser: Browser, verifier: GrantVerifier, recovery: Recovery, wake: Callable[[], None]) -> None:
        self._browser = browser
        self._verifier = verifier
        self._recovery = recovery
        self._wake = wake

    def routes(self) -> list[Route]:
        return [
            Route("/recovered", self.arrive, methods=["POST"]),
            Route("/recovered/password", self.show_password, methods=["GET"]),
            Route("/recovered/password", self.submit_password, methods=["POST"]),
            Route("/two-factor", self.show_two_factor, methods=["GET"]),
            Route("/two-factor", self.submit_two_factor, methods=["POST"]),
            Route("/two-factor/skip", self.skip_two_factor, methods=["POST"]),
        ]

    async def arrive(self, request: Request) -> Response:
        """Take a grant. The form comes from recovery's page, so other sites' forms are let in: the grant decides."""
        form = await self._browser.form(request, from_anywhere=True)
        text = form.get("grant", "")
        try:
            grant = await self._verifier.verify(text)
        except KeysUnavailable as error:
            log.warning("grant.undecided error=%s", error)
            return self._browser.page("grant_undecided.html", status=503, grant=text)
        except GrantRefused as error:
            log.info("grant.refused reason=%s", error)
            return self._browser.page("grant_refused.html", status=400)
        token = await run_in_threadpool(self._recovery.honour, grant, client_of(request).ip)
        self._wake()
        if token is None:
            log.info("grant.refused reason=used")
            return self._browser.page("grant_refused.html", status=400)
        return self._browser.redirect(_first_page(grant.actions), token)

    async def _recovering(self, request: Request) -> Session | None:
        return await self._browser.session(request, Stage.RECOVERY)

    async def show_password(self, request: Request) -> Response:
        session = await self._recovering(request)
        if session is None or RESET_PASSWORD not in session.actions:
            return self._browser.redirect("/")
        return await self._password_page(session, "")

    async def _password_page(self, session: Session, error: str) -> Response:
        account = await self._browser.account(session)
        return self._browser.page(
            "new_password.html",
            status=400 if error else 200,
            email=account["email"],
            error=error,
            minimum=passwords.MINIMUM_LENGTH,
        )

    async def submit_password(self, request: Request) -> Response:
        form = await self._browser.form(request)
        session = await self._recovering(request)
        if session is None or RESET_PASSWORD not in session.actions:
            return self._browser.redirect("/")
        account = await self._browser.account(session)
        password, again = form.get("password", ""), form.get("password_again", "")
        problem = passwords.problem_with(password, again, account["email"])
        if problem is not None:
            return await self._password_page(session, problem)
        await run_in_threadpool(self._recovery.set_password, session, password, client_of(request).ip)
        self._wake()
        if REMOVE_TWO_FACTOR in session.actions:
            return self._browser.redirect("/two-factor")
        await self._browser.end(session)
        return self._browser.forget(self._browser.redirect("/?notice=password"))

    async def _enrolling(self, request: Request) -> Session | None:
        """A session that may enrol: after the grant's other steps, or signed in; without a factor so far."""
        session = await self._browser.session(request, Stage.RECOVERY, Stage.SIGNED_IN)
        if session is None:
            return None
        if session.stage is Stage.RECOVERY and session.actions != {REMOVE_TWO_FACTOR}:
            return None
        return None if (await self._browser.account(session))["totp_secret"] else session

    async def show_two_factor(self, request: Request) -> Response:
        session = await self._enrolling(request)
        if session is None:
            return self._browser.redirect("/")
        return await self._two_factor_page(session, "")

    async def _two_factor_page(self, session: Session, error: str) -> Response:
        account = await self._browser.account(session)
        secret = await run_in_threadpool(self._recovery.new_totp_secret, session)
        text = totp.as_text(secret)
        values: dict[str, Any] = {
            "secret": " ".join(text[start : start + 4] for start in range(0, len(text), 4)),
            "qr": _qr(totp.enrolment_uri(secret, account["email"], f"{ORGANISATION} (demo)")),
            "recovering": session.stage is Stage.RECOVERY,
            "error": error,
        }
        return self._browser.page("two_factor.html", status=400 if error else 200, **values)

    async def submit_two_factor(self, request: Request) -> Response:
        form = await self._browser.form(request)
        session = await self._enrolling(request)
        if session is None:
            return self._browser.redirect("/")
        code, ip = form.get("code", ""), client_of(request).ip
        codes = await run_in_threadpool(self._recovery.confirm_totp, session, code, ip)
        self._wake()
        if codes is None:
            error = "That code is not right. Wait for the next one in your app, and check your phone's clock."
            return await self._two_factor_page(session, error)
        recovering = session.stage is Stage.RECOVERY
        page = self._browser.page("backup_codes.html", codes=codes, recovering=recovering)
        if not recovering:
            return page
        await self._browser.end(session)
        return self._browser.forget(page)

    async def skip_two_factor(self, request: Request) -> Response:
        await self._browser.form(request)
        session = await self._enrolling(request)
        if session is None or session.stage is Stage.SIGNED_IN:
            return self._browser.redirect("/")
        await self._browser.end(session)
        return self._browser.forget(self._browser.redirect("/?notice=two-factor"))


def _first_page(actions: frozenset[str]) -> str:
    return "/recovered/password" if RESET_PASSWORD in actions else "/two-factor"


def _qr(text: str) -> Markup:
    """The text as an inline SVG."""
    import segno

    # Safe as markup: segno writes the modules as one path, and only our own title beside it.
    return Markup(segno.make(text, error="m").svg_inline(omitsize=True, border=2, svgclass=None, lineclass=None))  # noqa: S704
