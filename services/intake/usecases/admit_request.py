"""Counting a request against the limits, before any other work is done for it."""

from __future__ import annotations

from services.intake.domain.client_address import IpAddress, network_of
from services.intake.domain.submission import Throttled
from services.intake.ports import Limits, Refused
from shared.schemas.intake import ThrottlingLimit


class AdmitRequest:
    """The network first: what it is refused doesn't use the total up, so that one network can't shut everybody out."""

    def __init__(self, limits: Limits, refused: Refused) -> None:
        self._limits = limits
        self._refused = refused

    async def __call__(self, address: IpAddress, actor: str) -> None:
        """Raises: Throttled."""
        network = network_of(address)
        if (seconds := await self._limits.network(network)) is not None:
            self._refuse(ThrottlingLimit.NETWORK, address, actor, seconds)
        if (seconds := await self._limits.total()) is not None:
            self._refuse(ThrottlingLimit.TOTAL, address, actor, seconds)

    def _refuse(self, limit: ThrottlingLimit, address: IpAddress, actor: str, seconds: int) -> None:
        self._refused(limit, address, network_of(address), actor)
        raise Throttled(limit, seconds)
