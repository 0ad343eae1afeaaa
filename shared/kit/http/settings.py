"""The settings of services that take bearer tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from shared.kit.http.auth import BearerAuth, SigningKeys, TokenVerifier


def _key_location(value: str) -> str:
    SigningKeys(value)
    return value


def _optional_key_location(value: str | None) -> str | None:
    return None if value is None else _key_location(value)


class AuthSettings(BaseModel):
    """Mixed into the settings of a service with an authenticated interface."""

    auth_jwks: Annotated[str, AfterValidator(_key_location)] = Field(
        min_length=1,
        description="The issuer's keys: an https URL, http on a loopback address, or the path of a JWKS file.",
    )
    auth_issuer: str = Field(min_length=1, description="The `iss` that tokens must have.")
    auth_account_claim: str = Field("sub", min_length=1, description="The claim that names an admin's account.")

    def token_verifier(self) -> TokenVerifier:
        return TokenVerifier(
            SigningKeys(self.auth_jwks), issuer=self.auth_issuer, account_claim=self.auth_account_claim
        )

    def bearer_auth(self) -> BearerAuth:
        return BearerAuth(self.token_verifier())


class OperationsAuthSettings(BaseModel):
    """Mixed into the settings of a service that has tokens for its operations only, and works without them."""

    auth_jwks: Annotated[str | None, AfterValidator(_optional_key_location)] = Field(
        None, description="The issuer's keys: an https URL, http on a loopback address, or the path of a JWKS file."
    )
    auth_issuer: str | None = Field(None, description="The `iss` that tokens must have.")
    auth_account_claim: str = Field("sub", min_length=1, description="The claim that names an admin's account.")

    def operations_auth(self) -> BearerAuth | None:
        """None without an issuer and its keys: then nothing that needs a token is served."""
        if not self.auth_jwks or not self.auth_issuer:
            return None
        keys = SigningKeys(self.auth_jwks)
        return BearerAuth(TokenVerifier(keys, issuer=self.auth_issuer, account_claim=self.auth_account_claim))
