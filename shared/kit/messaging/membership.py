"""Offsets are committed by members of the group only, and only those of what they were assigned.

aiokafka 0.14 tries a commit again and again, each time as whoever it is by then. Between being told that it is no
member any more and joining anew it is nobody, generation -1, and a broker takes that for a consumer without a group:
where the group is not known, as in a broker that lost its log, the commit is accepted. After joining it is a new
member, which may commit as well. Either way the group has offsets of the lost log then, and passes over that many
records of the new one.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError

_commit: Any = GroupCoordinator._do_commit_offsets
_NOBODY = -1


async def _commit_as_member(self: Any, assignment: Any, offsets: Any) -> None:
    if self.generation == _NOBODY:
        raise UnknownMemberIdError(self.group_id)
    if not assignment.active:
        raise IllegalGenerationError(self.group_id)
    await _commit(self, assignment, offsets)


def commit_as_members_only() -> None:
    """Has all consumers of this process commit so; a commit that may not be made fails as one after a rebalance."""
    GroupCoordinator._do_commit_offsets = _commit_as_member
