"""Why a call is refused, in the order in which the contract has them checked."""

from __future__ import annotations

from services.recovery.domain.permissions import Denial


class Refused(Exception):
    """Base of all refusals; the text is for the caller."""


class NotPermitted(Refused):
    """403."""

    def __init__(self, denial: Denial) -> None:
        super().__init__(denial.detail)
        self.denial = denial


class NotFound(Refused):
    """404."""


class Unacceptable(Refused):
    """422: well-formed, but it names something that is not there."""

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(reason)
        self.member = member
        self.reason = reason


class Conflict(Refused):
    """409: the account or request is in a state that doesn't allow it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class InvalidOrExpired(Refused):
    """400: the one answer to every code or link that is not good, for whatever reason."""
