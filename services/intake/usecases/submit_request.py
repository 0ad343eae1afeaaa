"""Taking a request for assistance: the same work and the same answer for every address."""

from __future__ import annotations

from collections.abc import Callable

from services.intake.domain.submission import Answer, Entry, ReferenceTaken, Submission
from services.intake.ports import Limits, Requests
from shared.kit.addresses import AddressHasher
from shared.kit.clock import Clock, NewId
from shared.schemas.intake import (
    AssistanceRequested,
    AssistanceRequestedData,
    AssistanceSuppressed,
    AssistanceSuppressedData,
    SuppressionReason,
)

SOURCE = "/readmit/intake"
# Of 2^40 references a million are in use: five in a row taken is one in 10^30.
_MOST_REFERENCES_TRIED = 5


class SubmitRequest:
    """Writes one request and its event. Whether an account has the address is unknown here, and stays so."""

    def __init__(
        self,
        requests: Requests,
        limits: Limits,
        hash_address: AddressHasher,
        *,
        clock: Clock,
        new_reference: Callable[[], str],
        new_id: NewId,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._requests = requests
        self._limits = limits
        self._hash = hash_address
        self._clock = clock
        self._new_reference = new_reference
        self._new_id = new_id
        self._traceparent = traceparent

    async def __call__(self, submission: Submission) -> Answer:
        """The answer, once the request is durable.

        Raises:
            KeyReused, NotDurable
        """
        hashes = self._hash.all(submission.email)
        suppressed = await self._limits.address(hashes[0], submission.network)
        tried = 0
        while True:
            try:
                return await self._requests.record(self._entry(submission, hashes, suppressed))
            except ReferenceTaken:
                tried += 1
                if tried == _MOST_REFERENCES_TRIED:
                    raise

    def _entry(self, submission: Submission, hashes: tuple[str, ...], suppressed: SuppressionReason | None) -> Entry:
        now, reference = self._clock(), self._new_reference()
        facts = {
            "reference_id": reference,
            "actor": submission.actor,
            "email": submission.email,
            "email_hash": hashes[0],
            "issue": submission.issue,
            "requested_at": now,
            "ip": str(submission.address),
            "user_agent": submission.user_agent,
            "language": submission.language,
        }
        envelope = {"id": self._new_id(), "source": SOURCE, "time": now, "traceparent": self._traceparent()}
        event: AssistanceRequested | AssistanceSuppressed
        if suppressed is None:
            event = AssistanceRequested.model_validate(
                {**envelope, "data": AssistanceRequestedData.model_validate(facts)}
            )
        else:
            data = AssistanceSuppressedData.model_validate({**facts, "reason": suppressed})
            event = AssistanceSuppressed.model_validate({**envelope, "data": data})
        return Entry(
            reference_id=reference,
            email_hash=hashes[0],
            earlier_hashes=hashes,
            suppressed_from=None if suppressed is None else submission.network,
            event_id=event.id,
            event_type=event.type,
            event=event.to_bytes(),
            time=event.time,
            language=submission.language,
            idempotency=submission.idempotency,
        )
