"""Hand one message to a mail server, and record how that went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from services.notifier.domain.delivery import (
    FALLBACK,
    FINAL,
    Answer,
    AttemptOutcome,
    Delivery,
    Recipient,
    State,
    Told,
    state_after,
)
from services.notifier.ports import BeginWork, Composer, Send, Work
from services.notifier.usecases.notify_admins import ACTOR, SOURCE
from shared.kit.clock import Clock, NewId
from shared.schemas.action import Outcome
from shared.schemas.notifier import (
    AdminNotificationFailed,
    AdminNotificationFailedData,
    AdminNotified,
    AdminNotifiedData,
)

HEARTBEAT_SECONDS = 2.0  # a quarter of how long a claim lasts (adapters.deliveries)
RECORDING_PAUSES = (0.1, 0.3, 1.0, 3.0, 5.0, 5.0)  # the server has the message: don't let a hiccup of ours repeat it

Report = Callable[[Delivery, State, Answer], None]


class TryAgain(Exception):
    """The message was not taken this time, or somebody else is sending it: the queue brings the job again."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    delivery: Delivery
    number: int
    recipient: Recipient
    told: Sequence[Told]


class FindRecipient:
    """Says where a delivery goes now: who may be told is decided again at each attempt."""

    def __init__(self, level: int, fallback_email: str | None) -> None:
        self._level = level
        self._fallback_email = fallback_email

    async def __call__(self, admin: str, work: Work) -> Recipient | str:
        """The recipient, or the reason code for which there is none."""
        if admin == FALLBACK:
            return Recipient(self._fallback_email) if self._fallback_email else "no-address"
        account = await work.accounts.get(admin)
        if account is None or account.why_not_told(self._level) is not None:
            return "not-eligible"
        if account.profile is None or account.email is None:
            return "not-eligible"
        profile = account.profile.value
        return Recipient(account.email.value, profile.display_name, profile.locale, profile.time_zone)


class DeliverMail:
    """One attempt a call. Calls for one delivery may overlap or repeat: one sends, and none once it was sent."""

    def __init__(
        self,
        begin: BeginWork,
        composer: Composer,
        send: Send,
        find_recipient: FindRecipient,
        clock: Clock,
        new_id: NewId,
        report: Report = lambda *_: None,
    ) -> None:
        self._begin = begin
        self._composer = composer
        self._send = send
        self._find_recipient = find_recipient
        self._clock = clock
        self._new_id = new_id
        self._report = report
        self._sending: set[str] = set()

    async def __call__(self, delivery_id: str) -> None:
        """Try once. Raises TryAgain."""
        if delivery_id in self._sending:
            # The database was away for longer than a claim lasts, and the one that is at it has yet to record how it
            # went.
            raise TryAgain
        self._sending.add(delivery_id)
        try:
            await self._try(delivery_id)
        finally:
            self._sending.discard(delivery_id)

    async def _try(self, delivery_id: str) -> None:
        attempt = await self._claim(delivery_id)
        if attempt is None:
            return
        async with self._claim_kept(delivery_id):
            answer = await self._transmit(attempt)
            state = await self._record(attempt, answer)
        self._report(attempt.delivery, state, answer)
        if state is State.QUEUED:
            raise TryAgain

    async def _claim(self, delivery_id: str) -> _Attempt | None:
        """Count the attempt and commit that before it is made; None when there is nothing to send."""
        async with self._begin() as work:
            locked = await work.deliveries.lock(delivery_id)
            if locked is None or locked[0].state in FINAL:
                return None
            delivery, told = locked
            if delivery.claimed:
                raise TryAgain
            recipient = await self._find_recipient(delivery.admin, work)
            if isinstance(recipient, str):
                await work.deliveries.cancel(delivery_id, recipient, self._clock())
                self._publish_failed(delivery, told, Outcome.DENIED, delivery.attempts, work, reason=recipient)
                return None
            number = await work.deliveries.begin_attempt(delivery_id)
        return _Attempt(delivery, number, recipient, told)

    @asynccontextmanager
    async def _claim_kept(self, delivery_id: str) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(HEARTBEAT_SECONDS)
                with suppress(Exception):  # a database that restarts: the next beat may still be in time
                    async with self._begin() as work:
                        await work.deliveries.keep_claim(delivery_id)

        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def _transmit(self, attempt: _Attempt) -> Answer:
        try:
            message = self._composer.message(attempt.delivery, attempt.recipient, attempt.told)
        except ValueError as error:  # a header that can't be written safely: no later attempt would be better
            return Answer(AttemptOutcome.PERMANENT, text=f"could not be composed: {type(error).__name__}")
        return await self._send(message, attempt.recipient.address)

    async def _record(self, attempt: _Attempt, answer: Answer) -> State:
        state = state_after(answer, created_at=attempt.delivery.created_at, now=self._clock())
        for pause in RECORDING_PAUSES:
            try:
                return await self._settle(attempt, answer, state)
            except Exception:
                await asyncio.sleep(pause)
        return await self._settle(attempt, answer, state)

    async def _settle(self, attempt: _Attempt, answer: Answer, state: State) -> State:
        """The attempt's answer, the delivery's state and what is published of it, in one transaction."""
        delivery = attempt.delivery
        async with self._begin() as work:
            if not await work.deliveries.end_attempt(delivery.id, attempt.number, answer, state, self._clock()):
                return state
            if state is State.SENT:
                self._publish_sent(attempt, work)
            elif state in FINAL:
                reason = "abandoned" if state is State.ABANDONED else "refused"
                self._publish_failed(
                    delivery, attempt.told, Outcome.FAILURE, attempt.number, work, reason=reason, answer=answer
                )
        return state

    def _publish_sent(self, attempt: _Attempt, work: Work) -> None:
        delivery = attempt.delivery
        for told in attempt.told if delivery.admin != FALLBACK else ():
            event = AdminNotified(
                id=self._new_id(),
                source=SOURCE,
                time=self._clock(),
                subject=told.data.subject,
                traceparent=told.traceparent,
                data=AdminNotifiedData(
                    reference_id=told.reference_id,
                    actor=ACTOR,
                    subject=told.data.subject,
                    admin=delivery.admin,
                    via=delivery.via,
                    message_id=delivery.message_id,
                    attempts=attempt.number,
                ),
            )
            work.unit.publish(event, key=told.reference_id)

    def _publish_failed(
        self,
        delivery: Delivery,
        about: Sequence[Told],
        outcome: Outcome,
        attempts: int,
        work: Work,
        *,
        reason: str,
        answer: Answer | None = None,
    ) -> None:
        # The fallback address is no account, and events name an administrator by theirs: its failures are in the
        # table, the log and the metric.
        for told in about if delivery.admin != FALLBACK else ():
            event = AdminNotificationFailed(
                id=self._new_id(),
                source=SOURCE,
                time=self._clock(),
                subject=told.data.subject,
                traceparent=told.traceparent,
                data=AdminNotificationFailedData(
                    reference_id=told.reference_id,
                    actor=ACTOR,
                    subject=told.data.subject,
                    outcome=outcome,
                    reason=reason,
                    admin=delivery.admin,
                    via=delivery.via,
                    message_id=delivery.message_id,
                    attempts=attempts,
                    smtp_status=answer.status if answer else None,
                    server_answer=answer.text or None if answer else None,
                ),
            )
            work.unit.publish(event, key=told.reference_id)
