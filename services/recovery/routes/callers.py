"""Who calls and from where, as the use cases want to know it."""

from __future__ import annotations

import re

from starlette.requests import Request

from services.recovery.ports import Caller
from shared.kit.http.auth import Principal
from shared.kit.http.client_address import ClientAddress
from shared.web.sessions import Session

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_USER_AGENT = 1024


class Callers:
    """Reads callers from requests; `address_of` decides which proxy is believed."""

    def __init__(self, address_of: ClientAddress) -> None:
        self._address_of = address_of

    def admin(self, request: Request, who: Principal | Session) -> Caller:
        return Caller(who.subject, who.account, self.ip(request), _user_agent(request))

    def anybody(self, request: Request) -> Caller:
        return Caller("anonymous", None, self.ip(request), _user_agent(request))

    def ip(self, request: Request) -> str:
        return self._address_of(request.client.host if request.client else None, request.headers)


def _user_agent(request: Request) -> str | None:
    text = _CONTROL.sub(" ", request.headers.get("user-agent", ""))[:_LONGEST_USER_AGENT].strip()
    return text or None
