"""The newest fact wins, whatever the order in which events arrive (contract section 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.recovery.domain.account import Registers, fold
from shared.schemas import identity
from shared.schemas.envelope import Event

START = datetime(2026, 11, 1, tzinfo=UTC)


def event(kind: type[Event[Any]], at: int, id_: str, **data: Any) -> Event[Any]:
    payload = kind.model_fields["data"].annotation
    assert payload is not None
    return kind(  # type: ignore[call-arg]
        id=id_, source="/test", time=START + timedelta(seconds=at), subject="p", data=payload(account_id="p", **data)
    )


def reported(at: int, id_: str, status: str, email: str) -> Event[Any]:
    return event(
        identity.AccountReported,
        at,
        id_,
        email=email,
        display_name="P",
        status=status,
        two_factor_enabled=True,
        unused_backup_codes=3,
        data_protection_access=1,
        expert_mode=False,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Event[Any]]:
    events = []
    for number in range(draw(st.integers(1, 8))):
        at, id_ = draw(st.integers(0, 4)), f"e{number}"
        events.append(
            draw(
                st.sampled_from(
                    [
                        reported(at, id_, "active", f"{number}@example.org"),
                        reported(at, id_, "disabled", ""),
                        event(identity.EmailChanged, at, id_, old="", new=f"new{number}@example.org"),
                        event(identity.AccountLocked, at, id_),
                        event(identity.AccountUnlocked, at, id_),
                        event(identity.TwoFactorChanged, at, id_, change="removed"),
                        event(identity.BackupCodesChanged, at, id_, change="used", unused=number),
                        event(identity.PasswordChanged, at, id_),
                        event(identity.SigninSucceeded, at, id_, ip="192.0.2.1"),
                        event(identity.AccountRemoved, at, id_),
                    ]
                )
            )
        )
    return events


def hashed(address: str) -> str:
    return f"hash of {address}"


@given(st.data(), histories())
def test_any_order_and_any_repetition_fold_into_the_same(data: st.DataObject, events: list[Event[Any]]) -> None:
    shuffled = data.draw(st.permutations(events + events[:2]))
    assert fold(shuffled, hashed) == fold(events, hashed)


def test_a_lock_has_a_register_of_its_own() -> None:
    registers: Registers = fold([event(identity.AccountUnlocked, 9, "z"), reported(1, "a", "disabled", "")], hashed)[
        "p"
    ]
    assert registers["state"].values["reported_status"] == "disabled"
    assert registers["lock"].values == {"locked": False}


def test_a_failed_signin_of_no_account_changes_nothing() -> None:
    failed = identity.SigninFailed(
        id="f",
        source="/test",
        time=START,
        data=identity.SigninFailedData(email="x@example.org", ip="192.0.2.1", failure=identity.SigninFailure.OTHER),
    )
    assert fold([failed], hashed) == {}
