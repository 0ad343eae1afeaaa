"""The settings of audit."""

from __future__ import annotations

from typing import Annotated, ClassVar

from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import AfterValidator, Field, SecretStr

from services.audit.domain.notes import CheckpointSigner
from shared.kit.http.settings import AuthSettings
from shared.kit.settings import PemKeys, PrivateKeys, ServiceSettings, SymmetricKeys
from shared.web.settings import PageSettings


def _ed25519(keys: PemKeys) -> PemKeys:
    try:
        CheckpointSigner("check", keys.blocks)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("must hold Ed25519 keys as PKCS#8 PEM without a password") from None
    return keys


class AuditSettings(ServiceSettings, AuthSettings, PageSettings):
    """What audit reads from the environment."""

    service: ClassVar[str] = "audit"

    # C2SP signed-note: a key name holds no plus and no white space.
    audit_origin: str = Field(
        pattern=r"^[^\s+]{1,200}$",
        description="The name of the log in its checkpoints and of its key, as in `example.org/readmit/audit`.",
    )
    audit_signing_key: Annotated[PrivateKeys, AfterValidator(_ed25519)] = Field(
        description="Ed25519 keys that sign checkpoints, newest first; all of them sign."
    )
    audit_subject_key: SymmetricKeys = Field(
        description="Wraps the keys of the persons in the log, newest first; whoever has it and the database reads all."
    )
    session_key: SymmetricKeys = Field(description="Signs sessions and cursors, newest first.")

    public_audit_url: str = Field(
        pattern=r"^https?://", description="The address of audit's pages, as browsers see it."
    )
    oidc_client_id: str | None = Field(None, description="Client of the console at the OpenID provider.")
    oidc_client_secret: SecretStr | None = Field(None, description="The client's secret.")
