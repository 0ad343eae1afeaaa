"""What the JSON interface and the page have in common: who is asking, from where, in which language."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from prometheus_client import Counter
from starlette.requests import Request

from services.intake.domain.client_address import IpAddress, IpNetwork, ProxyHeader, client_address
from services.intake.domain.keyed import KeyedHash
from services.intake.domain.languages import negotiate
from services.intake.domain.submission import (
    Answer,
    Idempotency,
    KeyReused,
    NotDurable,
    Submission,
    Throttled,
)
from services.intake.routes.bodies import AssistanceRequestBody
from services.intake.usecases.admit_request import AdmitRequest
from services.intake.usecases.submit_request import SubmitRequest
from shared.kit.addresses import normalise_address
from shared.kit.failpoints import failpoint
from shared.kit.http.auth import Principal
from shared.kit.http.problems import Problem, unavailable
from shared.schemas.action import ANONYMOUS
from shared.schemas.intake import ThrottlingLimit

# No label says what became of a request: whoever may read metrics need not know whose limit is used up.
accepted_requests = Counter("readmit_intake_requests_accepted_total", "Requests for assistance answered 202.")
throttled_requests = Counter("readmit_intake_requests_throttled_total", "Requests refused by a limit.", ["limit"])

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_LONGEST_USER_AGENT = 1024
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Reception:
    """Takes in a request for assistance, whichever way it came."""

    def __init__(
        self,
        admit: AdmitRequest,
        submit: SubmitRequest,
        keyed: KeyedHash,
        proxies: Collection[IpNetwork],
        proxy_header: ProxyHeader,
    ) -> None:
        self._admit = admit
        self._submit = submit
        self._keyed = keyed
        self._proxies = proxies
        self._proxy_header = proxy_header

    def address(self, request: Request) -> IpAddress:
        """Where the request comes from, as far as that is vouched for."""
        peer = None if request.client is None else request.client.host
        return client_address(peer, request.headers.getlist(self._proxy_header), self._proxies, self._proxy_header)

    async def admit(self, address: IpAddress, principal: Principal | None) -> None:
        """Counts the request. Raises: Throttled."""
        try:
            await self._admit(address, _actor(principal))
        except Throttled as throttled:
            throttled_requests.labels(throttled.limit.value).inc()
            raise

    async def submit(
        self,
        request: Request,
        body: AssistanceRequestBody,
        *,
        address: IpAddress,
        language: str,
        principal: Principal | None = None,
    ) -> Answer:
        """Raises: KeyReused, NotDurable."""
        user_agent = body.client.user_agent if body.client is not None else request.headers.get("user-agent")
        submission = Submission(
            email=body.email,
            issue=body.issue,
            address=address,
            user_agent=_plain(user_agent),
            language=language,
            actor=_actor(principal),
            idempotency=self._idempotency(request, body, address, principal),
        )
        answer = await self._submit(submission)
        await failpoint("intake.request.before-answer")
        accepted_requests.inc()
        return answer

    def _idempotency(
        self, request: Request, body: AssistanceRequestBody, address: IpAddress, principal: Principal | None
    ) -> Idempotency | None:
        keys = request.headers.getlist("idempotency-key")
        if not keys:
            return None
        # The IETF draft quotes the key; most clients don't.
        if len(keys) > 1 or not _IDEMPOTENCY_KEY.fullmatch(keys[0]):
            raise Problem(422, "Idempotency-Key must be 1 to 255 visible ASCII characters.", slug="idempotency-key")
        sender = (
            ("connection", str(address), normalise_address(body.email))
            if principal is None
            else ("token", principal.subject, str(address))
        )
        content = json.dumps(body.model_dump(mode="json", exclude_none=True), sort_keys=True)
        return Idempotency(self._keyed("idempotency", *sender, keys[0]), self._keyed("body", content))


def accept_language(request: Request) -> str:
    return negotiate(",".join(request.headers.getlist("accept-language")))


@contextmanager
def as_problems() -> Iterator[None]:
    """Makes the domain's refusals problem documents."""
    try:
        yield
    except Throttled as throttled:
        headers = {"Retry-After": str(throttled.retry_after)}
        if throttled.limit is ThrottlingLimit.NETWORK:
            detail = "Too many requests came from your network. Try again later."
            raise Problem(429, detail, slug="too-many-requests", headers=headers) from None
        raise Problem(503, "Too many requests at the moment. Try again.", slug="overloaded", headers=headers) from None
    except KeyReused:
        detail = "This Idempotency-Key was used with another body."
        raise Problem(422, detail, slug="idempotency-key-reused") from None
    except NotDurable:
        raise unavailable("The request can't be kept at the moment; nothing was accepted. Send it again.") from None


def _actor(principal: Principal | None) -> str:
    return ANONYMOUS if principal is None else principal.actor[:160]


def _plain(user_agent: str | None) -> str | None:
    return _CONTROL.sub("", user_agent)[:_LONGEST_USER_AGENT] if user_agent else None
