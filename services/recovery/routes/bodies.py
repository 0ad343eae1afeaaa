"""What comes in and what goes out, as JSON."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.recovery.domain.account import Account
from services.recovery.domain.actions import Action
from services.recovery.domain.problems import Conflict, InvalidOrExpired, NotFound, NotPermitted, Refused, Unacceptable
from services.recovery.ports import Activity, Request
from shared.kit.http.problems import Problem
from shared.schemas.reference import ReferenceId
from shared.schemas.values import AccountId, Label, Prose

LARGEST_BODY = 16 * 1024


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class VerificationBody(Body):
    """How the administrator made sure of the person."""

    method: Label = Field(min_length=1)
    note: Prose | None = None


class ActionBody(Body):
    """What an administrator says of an action."""

    reason: str = Field(min_length=1, max_length=64, description="A code of `GET /v1/reasons`.")
    details: Prose | None = None
    on_behalf_of: AccountId | None = Field(None, description="The account of whoever asked for it.")
    reference_id: ReferenceId | None = None
    verification: VerificationBody | None = None


class CloseBody(Body):
    outcome: Literal["resolved", "not-genuine", "duplicate"]
    note: Prose | None = None


GrantedActionName = Literal["reset-password", "remove-2fa"]


class RedeemCodeBody(Body):
    email: str
    code: str
    actions: list[GrantedActionName] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _each_once(self) -> RedeemCodeBody:
        if len(set(self.actions)) != len(self.actions):
            raise ValueError("an action is named twice")
        return self


class RedeemLinkBody(Body):
    token: str


def problem_of(refused: Refused) -> Problem:
    """The answer to a refusal."""
    match refused:
        case NotPermitted(denial=denial):
            return Problem(403, denial.detail, slug=denial.rule.value)
        case NotFound():
            return Problem(404, str(refused))
        case Unacceptable(member=member, reason=reason):
            errors = [{"member": member, "reason": reason}]
            return Problem(422, "The body names something that is not there.", errors=errors)
        case Conflict(code=code):
            return Problem(409, str(refused), slug=code)
        case InvalidOrExpired():
            return Problem(400, "The code or link is not valid, or not any more.", slug="invalid-or-expired")
    raise refused


def time_json(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def account_json(account: Account) -> dict[str, Any]:
    return {
        "account_id": account.account_id,
        "email": account.email or None,
        "display_name": account.display_name,
        "status": account.status.value,
        "two_factor_enabled": account.two_factor_enabled,
        "unused_backup_codes": account.unused_backup_codes,
        "data_protection_access": account.data_protection_access,
        "expert_mode": account.expert_mode,
        "locale": account.locale,
        "time_zone": account.time_zone,
        "notification_emails": list(account.notification_emails),
    }


def activity_json(line: Activity) -> dict[str, Any]:
    return {
        "at": time_json(line.at),
        "type": line.type,
        "actor": line.actor,
        "on_behalf_of": line.on_behalf_of,
        "reason": line.reason,
        "details": line.details,
        "reference_id": line.reference_id,
        "outcome": line.outcome,
        "ip": line.ip,
    }


def request_json(request: Request) -> dict[str, Any]:
    return {
        "reference_id": request.reference_id,
        "state": request.state,
        "issue": request.issue,
        "email": request.email,
        "account_id": request.account_id,
        "requested_at": time_json(request.requested_at),
        "suppressed": request.suppressed,
        "claimed_by": request.claimed_by,
        "claimed_at": time_json(request.claimed_at),
        "closed_by": request.closed_by,
        "closed_at": time_json(request.closed_at),
        "outcome": request.outcome,
        "note": request.note,
    }


def action_json(action: Action, now: datetime) -> dict[str, Any]:
    """The action with its times; never anything of what was mailed."""
    status = action.shown_status(now)
    return {
        "action_id": action.action_id,
        "kind": action.kind.value,
        "status": status.value,
        "account_id": action.account_id,
        "actor": action.actor,
        "on_behalf_of": action.on_behalf_of,
        "reason": action.reason,
        "reference_id": action.reference_id,
        "requested_at": time_json(action.issued_at),
        "sent_at": time_json(action.sent_at),
        "expires_at": time_json(action.expires_at),
        "ended_at": time_json(action.ended_at or (action.expires_at if status.value == "expired" else None)),
        "ended_reason": action.ended_reason,
    }


def write_cursor(*parts: str | int) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


def read_cursor(text: str | None, *types: type) -> tuple[Any, ...] | None:
    """What a page begins after. Raises Problem: 400 for what is no cursor of ours."""
    if not text:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
        if (
            not isinstance(parts, list)
            or [type(part) for part in parts] != list(types)
            or "\0" in "".join(map(str, parts))
        ):
            raise ValueError
        return tuple(parts)
    except (binascii.Error, ValueError, UnicodeError, RecursionError):
        raise Problem(400, "The cursor is not one of ours.") from None


def read_time_cursor(text: str | None, id_type: type) -> tuple[datetime, Any] | None:
    """The same, for pages ordered by time. Raises Problem: 400."""
    parts = read_cursor(text, str, id_type)
    if parts is None:
        return None
    try:
        moment = datetime.fromisoformat(parts[0])
    except ValueError:
        raise Problem(400, "The cursor is not one of ours.") from None
    if moment.tzinfo is None or (isinstance(parts[1], int) and not 0 <= parts[1] < 2**63):
        raise Problem(400, "The cursor is not one of ours.")
    return moment, parts[1]
