"""Redeeming, and the keys that verify what it gives: no token is needed, and no answer tells who has an account."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.recovery.adapters.grants import LIFETIME, GrantSigner
from services.recovery.adapters.limits import NetworkLimit
from services.recovery.domain.problems import InvalidOrExpired
from services.recovery.routes.bodies import LARGEST_BODY, RedeemCodeBody, RedeemLinkBody, problem_of
from services.recovery.routes.callers import Callers
from services.recovery.routes.openapi import REDEEM_ANSWERS, body_of
from services.recovery.usecases.redeem import Redeem
from shared.kit.failpoints import failpoint
from shared.kit.http.bodies import read_json
from shared.kit.http.client_address import network_of
from shared.schemas.recovery import GrantedAction


class PublicRoutes:
    def __init__(
        self, callers: Callers, limit: NetworkLimit, redeem: Redeem, signer: GrantSigner, continue_url: str
    ) -> None:
        self._callers = callers
        self._limit = limit
        self._redeem = redeem
        self._signer = signer
        self._continue_url = continue_url

    def router(self) -> APIRouter:
        router = APIRouter(tags=["public"])
        for path, model, endpoint in (
            ("/v1/recovery-codes/redeem", RedeemCodeBody, self.redeem_code),
            ("/v1/access-links/redeem", RedeemLinkBody, self.redeem_link),
        ):
            router.post(path, responses=REDEEM_ANSWERS, openapi_extra=body_of(model))(endpoint)
        router.get("/.well-known/jwks.json")(self.jwks)
        return router

    async def redeem_code(self, request: Request) -> Response:
        """Exchanges a recovery code for a grant."""
        caller = self._callers.anybody(request)
        network = network_of(caller.ip)
        await self._limit(network)
        body = await read_json(request, RedeemCodeBody, limit=LARGEST_BODY)
        actions = [GrantedAction(name) for name in body.actions]
        try:
            grant = await self._redeem.code(caller, network, body.email, body.code, actions)
        except InvalidOrExpired as refused:
            raise problem_of(refused) from None
        return await self._granted(grant)

    async def redeem_link(self, request: Request) -> Response:
        """Exchanges the token of an access email's link for a grant to set a new password."""
        caller = self._callers.anybody(request)
        await self._limit(network_of(caller.ip))
        body = await read_json(request, RedeemLinkBody, limit=LARGEST_BODY)
        try:
            grant = await self._redeem.link(caller, body.token)
        except InvalidOrExpired as refused:
            raise problem_of(refused) from None
        return await self._granted(grant)

    async def jwks(self) -> Response:
        """The public keys of grants."""
        return JSONResponse(self._signer.jwks(), headers={"Cache-Control": "public, max-age=300"})

    async def _granted(self, grant: str) -> Response:
        await failpoint("recovery.redeem.before-answer")
        content: dict[str, Any] = {
            "grant": grant,
            "expires_in": int(LIFETIME.total_seconds()),
            "continue_url": self._continue_url,
        }
        return JSONResponse(content, headers={"Cache-Control": "no-store"})
