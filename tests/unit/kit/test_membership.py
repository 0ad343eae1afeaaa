"""A commit is made by who was assigned what it commits, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError

from shared.kit.messaging import membership


@dataclass
class Coordinator:
    generation: int
    group_id: str = "g.events"


@dataclass
class Assignment:
    active: bool


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the library's own commit was asked for."""
    commits: list[Any] = []

    async def commit(coordinator: Any, assignment: Any, offsets: Any) -> None:
        commits.append(offsets)

    monkeypatch.setattr(membership, "_commit", commit)
    return commits


async def test_a_member_commits_what_it_was_assigned(made: list[Any]) -> None:
    await membership._commit_as_member(Coordinator(3), Assignment(True), {"t": 9})
    assert made == [{"t": 9}]


async def test_nobody_commits_nothing(made: list[Any]) -> None:
    """Found by the fault test: a fresh broker took the offsets of the log that it had lost from who was in no group."""
    with pytest.raises(UnknownMemberIdError):
        await membership._commit_as_member(Coordinator(-1), Assignment(True), {"t": 9})
    assert made == []


async def test_a_new_member_does_not_commit_what_the_old_one_was_assigned(made: list[Any]) -> None:
    with pytest.raises(IllegalGenerationError):
        await membership._commit_as_member(Coordinator(4), Assignment(False), {"t": 9})
    assert made == []
