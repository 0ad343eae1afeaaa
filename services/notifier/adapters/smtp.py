"""Mail servers' answers as the domain knows them."""

from __future__ import annotations

import asyncio

from services.notifier.domain.delivery import Answer, AttemptOutcome
from services.notifier.domain.wording import one_line
from shared.kit.mail.sender import Mailer, PermanentFailure, TemporaryFailure

ATTEMPT_SECONDS = 180.0
"""For one attempt over all servers; each command has its own limit in the kit."""
_ANSWER_CHARACTERS = 500


class SmtpSend:
    """`ports.Send`."""

    def __init__(self, mailer: Mailer, sender: str) -> None:
        self._mailer = mailer
        self._sender = sender

    async def __call__(self, message: bytes, recipient: str) -> Answer:
        """One attempt."""
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                accepted = await self._mailer.send(message, sender=self._sender, recipient=recipient)
        except PermanentFailure as error:
            return Answer(AttemptOutcome.PERMANENT, _status(error.status), _text(error.answer))
        except TemporaryFailure as error:
            return Answer(AttemptOutcome.TEMPORARY, _status(error.status), _text(error.answer))
        except TimeoutError:
            return Answer(AttemptOutcome.TEMPORARY, None, f"no answer within {ATTEMPT_SECONDS:.0f} s")
        return Answer(AttemptOutcome.ACCEPTED, 250, _text(accepted.answer), accepted.server)


def _status(code: int | None) -> int | None:
    return code if code is not None and 200 <= code <= 599 else None


def _text(answer: str) -> str:
    """The server's words on one line; control characters in them are no part of any answer."""
    return one_line("".join(c if c.isprintable() else " " for c in answer), _ANSWER_CHARACTERS)
