"""Posting batches of events to intake, with the patience that its answers ask for."""

import email.utils
import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from deploy.commands.event_file import Batch
from deploy.errors import CommandError

_BATCH_TYPE = "application/cloudevents-batch+json"
_TIMEOUT = 60.0  # seconds; a batch of 1000 takes a fraction of one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LEAST_PAUSE, _LONGEST_ASKED = 0.1, 60.0  # bounds of what an answer may ask for
_PATIENCE = 600.0  # seconds without any progress after which a person should look
_MOST_NAMED = 20  # lines of a refused batch that an error names
_COME_BACK = {429, 500, 502, 503, 504}
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class IntakeClient:
    """Intake as a source of identity events sees it."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        on_wait: Callable[[str, float], None] = lambda _reason, _seconds: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/events"
        self._token = token
        self._on_wait = on_wait
        self._sleep = sleep
        # A proxy of the environment is for the world outside, not for a service on this machine.
        self._http = httpx.Client(timeout=_TIMEOUT, trust_env=urlsplit(url).hostname not in _LOOPBACK)

    def __enter__(self) -> "IntakeClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def post(self, batch: Batch) -> int:
        """Hand over a batch and return how many events were accepted; waits while intake can't take it.

        Raises:
            CommandError: intake refused it, or answered nothing useful for ten minutes.
        """
        deadline = time.monotonic() + _PATIENCE
        pause = _FIRST_PAUSE
        body = batch.body
        while True:
            reason, asked = self._try(body)
            if isinstance(reason, httpx.Response):
                return _accepted(reason, batch)
            if time.monotonic() >= deadline:
                raise CommandError(f"intake cannot be reached ({reason}). Run the same command again to resume.")
            wait = pause if asked is None else min(max(asked, _LEAST_PAUSE), _LONGEST_ASKED)
            self._on_wait(reason, wait)
            self._sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _try(self, body: bytes) -> tuple[httpx.Response | str, float | None]:
        """A verdict, or why there is none yet and how long intake asks to wait."""
        headers = {"Content-Type": _BATCH_TYPE, "Authorization": f"Bearer {self._token()}"}
        try:
            response = self._http.post(self._url, content=body, headers=headers)
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}", None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise CommandError(f"{self._url} is no address: {error}") from error
        if response.status_code in _COME_BACK:
            return f"{response.status_code} {_title(response)}", _retry_after(response)
        return response, None


def _accepted(response: httpx.Response, batch: Batch) -> int:
    if response.status_code == 202:
        return int(response.json()["accepted"])
    if response.status_code == 422:
        raise CommandError(_refusal(response, batch))
    where = f"lines {batch.lines[0]} to {batch.lines[-1]}"
    advice = {
        401: "The token is missing, expired or not for this system.",
        403: "The token needs the scope readmit.events.",
        404: "Is that intake's address?",
    }.get(response.status_code, "")
    raise CommandError(f"intake refused {where}: {response.status_code} {_title(response)}. {advice}".rstrip())


def _refusal(response: httpx.Response, batch: Batch) -> str:
    try:
        errors = [(batch.lines[item["index"]], str(item["reason"])) for item in response.json()["errors"]]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"intake refused lines {batch.lines[0]} to {batch.lines[-1]}: 422 {_title(response)}"
    named = [f"  line {line}: {reason}" for line, reason in errors[:_MOST_NAMED]]
    if len(errors) > _MOST_NAMED:
        named.append(f"  and {len(errors) - _MOST_NAMED} more")
    return "\n".join(
        [
            f"intake refused {len(errors)} of lines {batch.lines[0]} to {batch.lines[-1]}, so it took none of these:",
            *named,
        ]
    )


def _title(response: httpx.Response) -> str:
    try:
        problem = response.json()
        return str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        return response.reason_phrase


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from a Retry-After header in either of its forms (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
