"""Settings that would be dangerous stop the service, and the line says which."""

from __future__ import annotations

import base64

import pytest

from services.intake.domain.client_address import ProxyHeader
from services.intake.settings import IntakeSettings
from shared.kit.settings import SettingsError

NEEDED = {
    "READMIT_INTAKE_DATABASE_URL": "postgresql://u@/intake",
    "READMIT_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
    "READMIT_AUTH_JWKS": "/dev/null",
    "READMIT_AUTH_ISSUER": "https://id.example.org",
    "READMIT_PUBLIC_INTAKE_URL": "https://help.example.org",
}


def test_defaults_are_the_contracts() -> None:
    limits = IntakeSettings.load(NEEDED).limits()
    assert [str(limit) for limit in (limits.network, limits.address, limits.address_total, limits.total)] == [
        "10 per 10 minute",
        "3 per 1 hour",
        "10 per 1 hour",
        "100 per 1 second",
    ]


def test_empty_is_off() -> None:
    settings = IntakeSettings.load({**NEEDED, "READMIT_INTAKE_LIMIT_NETWORK": "", "READMIT_INTAKE_LIMIT_TOTAL": ""})
    limits = settings.limits()
    assert (limits.network, limits.total) == (None, None)
    assert limits.address is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("READMIT_TRUSTED_PROXIES", "*"),
        ("READMIT_TRUSTED_PROXIES", "10.0.0.0/8, 0.0.0.0/0"),
        ("READMIT_TRUSTED_PROXIES", "::/0"),
        ("READMIT_TRUSTED_PROXIES", "proxy"),
        ("READMIT_TRUSTED_PROXY_HEADER", "X-Real-IP"),
        ("READMIT_INTAKE_LIMIT_NETWORK", "many"),
        ("READMIT_INTAKE_LIMIT_ADDRESS_TOTAL", "10 per"),
        ("READMIT_RATE_LIMIT_URL", "memcached://h"),
        ("READMIT_PUBLIC_INTAKE_URL", "help.example.org"),
        ("READMIT_SIGNIN_URL", "javascript:alert(1)"),
        ("READMIT_FRAME_ANCESTORS", "https://a.example.org; script-src *"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        IntakeSettings.load({**NEEDED, name: value})


@pytest.mark.parametrize("missing", list(NEEDED))
def test_a_missing_setting_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{missing} is missing"):
        IntakeSettings.load({name: value for name, value in NEEDED.items() if name != missing})


def test_the_header_is_named_in_any_case() -> None:
    settings = IntakeSettings.load({**NEEDED, "READMIT_TRUSTED_PROXY_HEADER": "forwarded"})
    assert settings.trusted_proxy_header is ProxyHeader.FORWARDED
