"""`docs/settings.md` says what the settings classes say."""

from __future__ import annotations

import pytest

from deploy.commands.settings_reference import PAGE, is_secret, page, settings_class
from deploy.local.overrides import SERVICES


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m deploy.commands.settings_reference`"


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_described_and_no_secret_has_a_default(service: str) -> None:
    for name, info in settings_class(service).model_fields.items():
        assert info.description, name
        if is_secret(name, info):
            assert info.is_required() or info.default is None, name


@pytest.mark.parametrize(
    ("service", "secrets"),
    [
        ("intake", {"database_url", "kafka_sasl_password", "hash_key", "rate_limit_url"}),
        (
            "recovery",
            {
                "database_url", "kafka_sasl_password", "hash_key", "rate_limit_url", "smtp_url", "code_key",
                "session_key", "grant_key", "oidc_client_secret",
            },
        ),
        (
            "audit",
            {
                "database_url", "kafka_sasl_password", "hash_key", "session_key", "oidc_client_secret",
                "audit_signing_key", "audit_subject_key",
            },
        ),
    ],
)  # fmt: skip
def test_what_holds_keys_or_credentials_is_marked(service: str, secrets: set[str]) -> None:
    fields = settings_class(service).model_fields
    assert {name for name, info in fields.items() if is_secret(name, info)} == secrets


def test_settings_of_the_contract_are_on_the_page() -> None:
    """A sample of section 10 and the tables before it, by the names that it gives them."""
    text = page()
    for name in (
        "READMIT_KAFKA_BOOTSTRAP_SERVERS", "READMIT_KAFKA_CA_FILE", "READMIT_HASH_KEY", "READMIT_CODE_KEY",
        "READMIT_GRANT_KEY", "READMIT_AUDIT_SIGNING_KEY", "READMIT_AUDIT_SUBJECT_KEY", "READMIT_AUDIT_ORIGIN",
        "READMIT_INTAKE_LIMIT_NETWORK", "READMIT_INTAKE_LIMIT_ADDRESS_TOTAL", "READMIT_NOTIFY_LEVEL",
        "READMIT_NOTIFY_MAX_PER_HOUR", "READMIT_FALLBACK_EMAIL", "READMIT_ACCESS_EMAIL_LEVEL",
        "READMIT_RECOVERY_CODE_LEVEL", "READMIT_RECOVERY_CODE_TTL", "READMIT_RECOVERY_LIMIT_NETWORK",
        "READMIT_RECOVERY_LIMIT_ACCOUNT", "READMIT_FORBID_SELF_SERVICE", "READMIT_FORBID_HIGHER_TARGET",
        "READMIT_GEOIP_CITY", "READMIT_GEOIP_ASN", "READMIT_ENRICHMENT_URL", "READMIT_TRUSTED_PROXIES",
        "READMIT_IDENTITY_CONTINUE_URL", "READMIT_IDENTITY_AUDIENCE", "READMIT_OIDC_CLIENT_ID", "READMIT_AUTH_JWKS",
        "READMIT_SMTP_URL", "READMIT_MAIL_FROM", "READMIT_REASONS", "READMIT_SIGNIN_URL", "READMIT_PUBLIC_AUDIT_URL",
    ):  # fmt: skip
        assert f"`{name}`" in text, name
