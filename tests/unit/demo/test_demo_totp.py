"""One-time passwords against the RFC's own vectors."""

from __future__ import annotations

import pytest

from deploy.demo.identity import totp

_RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("time", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238_appendix_b(time: int, code: str) -> None:
    assert totp.code_at(_RFC_SECRET, time // totp.STEP_SECONDS, digits=8) == code


def test_rfc_4226_appendix_d() -> None:
    codes = [totp.code_at(_RFC_SECRET, counter) for counter in range(10)]
    assert codes == [
        "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489",
    ]  # fmt: skip


def test_a_code_works_a_step_early_or_late_and_no_further() -> None:
    now = 1_000_000_000.0
    step = int(now) // totp.STEP_SECONDS
    for offset, good in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        assert (totp.matching_step(_RFC_SECRET, totp.code_at(_RFC_SECRET, step + offset), now) is not None) is good


def test_a_used_step_is_not_taken_again() -> None:
    now = 1_000_000_000.0
    step = int(now) // totp.STEP_SECONDS
    assert totp.matching_step(_RFC_SECRET, totp.code_at(_RFC_SECRET, step), now, after_step=step) is None


def test_text_form_and_address() -> None:
    assert totp.from_text(totp.as_text(_RFC_SECRET)) == _RFC_SECRET
    assert totp.from_text("gezd gnbv gy3t qojq gezd gnbv gy3t qojq") == _RFC_SECRET
    assert totp.enrolment_uri(_RFC_SECRET, "a+b@example.org", "Example Org") == (
        "otpauth://totp/Example%20Org%3Aa%2Bb%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Org"
    )
