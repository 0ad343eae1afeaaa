"""Takes events from the outbox to intake, in order, for as long as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable

import httpx

from deploy.demo.identity.database import Database

log = logging.getLogger(__name__)

_BATCH = 500
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
# A token of an hour, made anew some minutes before its end.
_TOKEN_SECONDS, _TOKEN_MARGIN = 3600, 300


class EventSender:
    """One task that sleeps until woken; `intake_url` without a slash at its end."""

    def __init__(
        self, database: Database, intake_url: str, new_token: Callable[[int], str], client: httpx.AsyncClient
    ) -> None:
        self._database = database
        self._url = f"{intake_url}/v1/events"
        self._new_token = new_token
        self._client = client
        self._wake = asyncio.Event()
        self._token, self._token_until = "", 0.0

    def wake(self) -> None:
        """Something may be in the outbox."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; what is left stays in the outbox for the next start."""
        pause = _FIRST_PAUSE
        while True:
            self._wake.clear()
            try:
                while await self._send_batch():
                    pause = _FIRST_PAUSE
            except (httpx.HTTPError, _NotAccepted) as error:
                log.warning("events.delayed seconds=%.1f error=%s", pause, error or type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            await self._wait()

    async def _wait(self) -> None:
        # The time limit is for what another process put there. Not `wait_for`: before Python 3.12 it could swallow a
        # cancellation that came together with its time limit, and the process would not end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_PAUSE):
                await self._wake.wait()

    async def _send_batch(self) -> bool:
        """Send what is there; returns whether there was anything."""
        rows = await asyncio.to_thread(self._next)
        if not rows:
            return False
        body = "[" + ",".join(event for _, event in rows) + "]"
        response = await self._client.post(
            self._url,
            content=body.encode(),
            headers={"content-type": "application/cloudevents-batch+json", "authorization": f"Bearer {self._bearer()}"},
        )
        if response.status_code == 422:
            await asyncio.to_thread(self._set_aside, rows, response.text)
        elif response.status_code == 202:
            await asyncio.to_thread(self._delete, [number for number, _ in rows])
            log.info("events.sent count=%d", len(rows))
        else:
            raise _NotAccepted(f"intake answered {response.status_code}")
        return True

    def _bearer(self) -> str:
        if time.monotonic() > self._token_until:
            self._token = self._new_token(_TOKEN_SECONDS)
            self._token_until = time.monotonic() + _TOKEN_SECONDS - _TOKEN_MARGIN
        return self._token

    def _next(self) -> list[tuple[int, str]]:
        query = "SELECT number, event FROM outbox WHERE refused IS NULL ORDER BY number LIMIT ?"
        with self._database.reading() as db:
            return [(row["number"], row["event"]) for row in db.execute(query, (_BATCH,))]

    def _delete(self, numbers: list[int]) -> None:
        with self._database.transaction() as db:
            db.executemany("DELETE FROM outbox WHERE number = ?", [(number,) for number in numbers])

    def _set_aside(self, rows: list[tuple[int, str]], answer: str) -> None:
        """Keep refused events out of the way, so that one bad event doesn't hold up the good ones."""
        try:
            errors = {int(error["index"]): str(error["reason"]) for error in json.loads(answer)["errors"]}
        except (ValueError, KeyError, TypeError):
            errors = {}
        # An answer that names none, or none of ours: all are set aside, or this would go round for ever.
        refused = {index: reason for index, reason in errors.items() if index < len(rows)}
        if not refused:
            refused = dict.fromkeys(range(len(rows)), "refused as a whole")
        for index, reason in refused.items():
            log.error("event.refused id=%s reason=%s", json.loads(rows[index][1])["id"], reason)
        with self._database.transaction() as db:
            db.executemany(
                "UPDATE outbox SET refused = ? WHERE number = ?",
                [(reason, rows[index][0]) for index, reason in refused.items()],
            )


class _NotAccepted(Exception):
    pass
