"""The pages for signing in and out."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.demo.identity import events
from deploy.demo.identity.browser import Browser, client_of
from deploy.demo.identity.database import Database
from deploy.demo.identity.sessions import Stage
from deploy.demo.identity.settings import Settings
from deploy.demo.identity.signin import SignIn

# One sentence for a wrong password, an unknown address, a locked and a disabled account.
_REFUSED = "That did not work. Check the email address and the password; after several failures an account locks."
_REFUSED_CODE = "That code is not right, or the account has been locked after too many failures."
_NOTICES = {
    "password": "Your new password is set. Sign in with it.",
    "two-factor": "Two-factor authentication is removed from your account. Sign in with your password.",
    "signed-out": "You are signed out.",
    "another-account": "You are signed in as somebody who may not use that page. Sign in as somebody who may.",
}


class SignInPages:
    """`request` is the id of a console's sign-in that waits for this one."""

    def __init__(
        self, settings: Settings, browser: Browser, database: Database, signin: SignIn, wake: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._browser = browser
        self._database = database
        self._signin = signin
        self._wake = wake

    def routes(self) -> list[Route]:
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/", self.submit, methods=["POST"]),
            Route("/second-factor", self.show_second_factor, methods=["GET"]),
            Route("/second-factor", self.submit_second_factor, methods=["POST"]),
            Route("/home", self.home, methods=["GET"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        waiting = request.query_params.get("request", "")
        if not waiting and await self._browser.session(request, Stage.SIGNED_IN):
            return self._browser.redirect("/home")
        notice = _NOTICES.get(request.query_params.get("notice", ""), "")
        return self._browser.page("signin.html", waiting=waiting, email="", error="", notice=notice)

    async def submit(self, request: Request) -> Response:
        form = await self._browser.form(request)
        email, password, waiting = (form.get(name, "") for name in ("email", "password", "request"))
        reached = await run_in_threadpool(self._signin.with_password, email, password, client_of(request))
        self._wake()
        if reached is None:
            return self._browser.page(
                "signin.html", status=400, waiting=waiting, email=email, error=_REFUSED, notice=""
            )
        stage, token = reached
        if stage is Stage.SECOND_FACTOR:
            return self._browser.redirect(_with_request("/second-factor", waiting), token)
        return self._browser.redirect(_destination(waiting), token)

    async def show_second_factor(self, request: Request) -> Response:
        waiting = request.query_params.get("request", "")
        if await self._browser.session(request, Stage.SECOND_FACTOR) is None:
            return self._browser.redirect(_with_request("/", waiting))
        return self._browser.page("second_factor.html", waiting=waiting, error="")

    async def submit_second_factor(self, request: Request) -> Response:
        form = await self._browser.form(request)
        waiting = form.get("request", "")
        session = await self._browser.session(request, Stage.SECOND_FACTOR)
        if session is None:
            return self._browser.redirect(_with_request("/", waiting))
        code = form.get("code", "")
        token = await run_in_threadpool(self._signin.with_second_factor, session, code, client_of(request))
        self._wake()
        if token is None:
            return self._browser.page("second_factor.html", status=400, waiting=waiting, error=_REFUSED_CODE)
        return self._browser.redirect(_destination(waiting), token)

    async def home(self, request: Request) -> Response:
        session = await self._browser.session(request, Stage.SIGNED_IN)
        if session is None:
            return self._browser.redirect("/")
        account = await self._browser.account(session)

        def count() -> int:
            with self._database.reading() as db:
                return events.unused_backup_codes(db, session.account_id)

        return self._browser.page(
            "home.html",
            account=account,
            backup_codes=await run_in_threadpool(count),
            users_page=f"{self._settings.recovery_url}/console/users" if account["data_protection_access"] else "",
            audit_page=f"{self._settings.audit_url}/" if account["role"] == "auditor" else "",
        )

    async def sign_out(self, request: Request) -> Response:
        await self._browser.form(request)
        session = await self._browser.session(request, *Stage)
        if session is not None:
            await self._browser.end(session)
        return self._browser.forget(self._browser.redirect("/?notice=signed-out"))


def _with_request(path: str, waiting: str) -> str:
    return f"{path}?{urlencode({'request': waiting})}" if waiting else path


def _destination(waiting: str) -> str:
    return _with_request("/authorize/resume", waiting) if waiting else "/home"
