"""The body of a request for assistance: JSON, or the page's form with the same names."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictStr

from shared.kit.addresses import parse_address
from shared.schemas.intake import Issue
from shared.schemas.values import IpAddress, check_address


def _one_address(text: str) -> str:
    # Both: one knows the rules of mail, the other is what every event promises.
    return check_address(parse_address(text))


def _not_null(value: object) -> object:
    if value is None:
        raise ValueError("must not be null")
    return value


def _without_control(text: str) -> str:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError("contains control characters")
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ClientBody(_Body):
    """Where the user really is, said by whoever submits for them."""

    ip: IpAddress
    user_agent: Annotated[
        StrictStr | None, BeforeValidator(_not_null), AfterValidator(lambda text: text and _without_control(text))
    ] = None


class AssistanceRequestBody(_Body):
    """`{"email", "issue", "client"?}`; nothing else that a requester writes is taken."""

    email: Annotated[StrictStr, AfterValidator(_one_address)]
    issue: Issue
    client: Annotated[ClientBody | None, BeforeValidator(_not_null)] = None
