"""At the end of an hour, tell an administrator in one message of what was kept from their mailbox."""

from __future__ import annotations

from datetime import datetime

from services.notifier.domain.delivery import message_id
from services.notifier.ports import MAIL, Composer, NewDelivery, Work
from services.notifier.usecases.deliver_mail import FindRecipient
from services.notifier.usecases.notify_admins import NotificationPolicy
from shared.kit.clock import Clock, NewId
from shared.schemas.notifier import Via


class TellDigest:
    """Turns what was collected into as many deliveries as it needs messages."""

    def __init__(
        self,
        policy: NotificationPolicy,
        composer: Composer,
        find_recipient: FindRecipient,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._policy = policy
        self._composer = composer
        self._find_recipient = find_recipient
        self._clock = clock
        self._new_id = new_id

    async def __call__(self, admin: str, due_at: datetime, work: Work) -> None:
        """Queue the digest of that hour; does nothing the second time."""
        collected = await work.requests.collected(admin, due_at)
        if not collected:
            return
        recipient = await self._find_recipient(admin, work)
        # Who is no longer eligible gets a delivery all the same: its attempt records why nothing was sent.
        parts = [collected] if isinstance(recipient, str) else self._composer.digest_parts(recipient, collected)
        deliveries = [
            NewDelivery(
                id=self._new_id(),
                admin=admin,
                via=Via.DIGEST,
                message_id=message_id(
                    self._policy.message_id_key,
                    "digest",
                    admin,
                    due_at.isoformat(),
                    part[0].reference_id,
                    domain=self._policy.message_id_domain,
                ),
                reference_ids=tuple(told.reference_id for told in part),
            )
            for part in parts
        ]
        for delivery_id in await work.deliveries.add(deliveries, self._clock()):
            work.unit.enqueue(MAIL, {"delivery_id": delivery_id})
