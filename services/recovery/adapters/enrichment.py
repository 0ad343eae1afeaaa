"""An account's security context, asked of enrichment with the administrator's own token."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from shared.kit.logging import get_logger
from shared.schemas.enrichment import AccountContext

log = get_logger(__name__)

_TIMEOUT = httpx.Timeout(2.0, connect=1.0)  # seconds; an administrator waits, and the rest of the page is there
_LARGEST = 256 * 1024

FACTS = tuple(AccountContext.model_fields)


def unknown_context(why: str) -> dict[str, Any]:
    """Every fact unknown, and why."""
    return {name: {"state": "unknown", "why": why} for name in FACTS}


class Enrichment:
    """Never raises: what can't be had is unknown."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False)

    async def start(self) -> None:
        """Connections are made when the first context is asked for."""

    async def stop(self) -> None:
        await self._client.aclose()

    async def context_of(self, account_id: str, token: str | None) -> dict[str, Any]:
        """The facts with their state and time, as section 6 of the contract names them."""
        if self._url is None:
            return unknown_context("no enrichment service is configured")
        if token is None:
            return unknown_context("your sign-in is older than this service's last start: sign in again")
        url = f"{self._url}/v1/accounts/{quote(account_id, safe='')}/context"
        try:
            response = await self._client.get(url, headers={"Authorization": f"Bearer {token}"})
            response.raise_for_status()
            if len(response.content) > _LARGEST:
                raise ValueError("too large")
            document = response.json()
            context = AccountContext.model_validate(document.get("context", document))
        except (httpx.HTTPError, ValueError, AttributeError, ValidationError) as error:
            log.warning("context.unavailable", error=type(error).__name__)
            return unknown_context("enrichment did not answer")
        return context.model_dump(mode="json", exclude_none=True)


class RecentTokens:
    """Access tokens of people who signed in to the console, for asking enrichment in their name.

    In memory and never in the session's cookie: a cookie is kept where tokens should not be.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}
        self._most = most

    def keep(self, subject: str, token: str, expires_at: float) -> None:
        if len(self._tokens) >= self._most:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[subject] = (token, expires_at)

    def of(self, subject: str) -> str | None:
        token, expires_at = self._tokens.get(subject, (None, 0.0))
        return token if expires_at > time.time() else None
