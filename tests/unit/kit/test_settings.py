"""Settings: where they are looked up, what is said of wrong ones, and that secrets stay out of it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import Field, ValidationError

from shared.kit.http.settings import AuthSettings
from shared.kit.mail.settings import MailSettings
from shared.kit.settings import CommaList, PrivateKeys, ServiceSettings, SettingsError, SymmetricKeys, load_or_exit

KEY_1, KEY_2 = (base64.b64encode(letter * 32).decode() for letter in (b"1", b"2"))
DATABASE = "postgresql://toy:hunter2@/toy?host=/run/postgres"
BASE = {
    "READMIT_TOY_DATABASE_URL": DATABASE,
    "READMIT_KAFKA_BOOTSTRAP_SERVERS": "a:1, b:2,",
    "READMIT_HASH_KEY": KEY_1,
    "READMIT_AUTH_JWKS": "/run/jwks.json",
    "READMIT_AUTH_ISSUER": "https://issuer.example",
    "READMIT_SMTP_URL": "smtp://user:s3cret@mail.example:2525, smtps://b.example",
    "READMIT_MAIL_FROM": "Readmit <readmit@example.org>",
}


class ToySettings(ServiceSettings, AuthSettings, MailSettings):
    service: ClassVar[str] = "toy"

    limit: str = Field("10 per hour", description="A limit.", json_schema_extra={"empty_is_off": True})
    plain: str = Field("default", description="Not a limit.")
    networks: CommaList = Field((), description="Networks.")
    toy_key: SymmetricKeys | None = Field(None, repr=False, description="A key of this service only.")
    pem: PrivateKeys | None = Field(None, description="Signing keys.")
    toy_needed: str = Field("x", min_length=1, description="Of this service only.")


def load(**changes: str | None) -> ToySettings:
    environ = BASE | {f"READMIT_{name}": value for name, value in changes.items()}
    return ToySettings.load({name: value for name, value in environ.items() if value is not None})


def complaint(**changes: str | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**changes)
    return str(caught.value).splitlines()


def test_mixins_are_read_like_the_services_own_fields() -> None:
    settings = load()
    assert settings.kafka_bootstrap_servers == ("a:1", "b:2")
    assert [server.name for server in settings.smtp_url] == ["mail.example:2525", "b.example:465"]
    assert settings.auth_account_claim == "sub"
    assert settings.bearer_auth() is not None
    assert all(field.description for field in ToySettings.model_fields.values())
    with pytest.raises(ValidationError):
        settings.plain = "changed"  # type: ignore[misc]


def test_the_services_own_variable_wins() -> None:
    assert load(PLAIN="common").plain == "common"
    assert load(PLAIN="common", TOY_PLAIN="own").plain == "own"
    assert load(INTAKE_PLAIN="somebody else's").plain == "default"


def test_a_name_that_begins_with_the_service_is_not_doubled() -> None:
    settings = load(TOY_KEY=KEY_1)
    assert settings.toy_key is not None
    assert settings.toy_key.newest == b"1" * 32
    assert load(TOY_TOY_KEY=KEY_1).toy_key is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), (" a ", " a "), ("Zoë\n", "Zoë"), ("a\nb\n", "a\nb")],
)
def test_a_file_may_hold_the_value(tmp_path: Path, text: str, value: str) -> None:
    file = tmp_path / "value"
    file.write_bytes(text.encode())
    assert load(PLAIN_FILE=str(file)).plain == value
    assert load(TOY_PLAIN_FILE=str(file), PLAIN="common").plain == value


def test_both_the_value_and_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "value").write_text("a")
    assert complaint(PLAIN="a", PLAIN_FILE=str(tmp_path / "value")) == [
        "READMIT_PLAIN and READMIT_PLAIN_FILE are both set; set one of them"
    ]
    assert load(TOY_PLAIN="own", PLAIN_FILE=str(tmp_path / "value")).plain == "own", "different names don't collide"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s3cret\xff")
    missing = tmp_path / "missing"
    lines = complaint(PLAIN_FILE=str(missing), TOY_KEY_FILE=str(tmp_path / "secret"), LIMIT_FILE=str(tmp_path))
    assert lines == [
        f"READMIT_LIMIT_FILE: cannot read {tmp_path} (Is a directory)",
        f"READMIT_PLAIN_FILE: cannot read {missing} (No such file or directory)",
        f"READMIT_TOY_KEY_FILE: cannot read {tmp_path / 'secret'} (not UTF-8)",
    ]


def test_an_unreadable_file_of_a_required_setting_is_told_of_once(tmp_path: Path) -> None:
    lines = complaint(HASH_KEY=None, HASH_KEY_FILE=str(tmp_path / "missing"))
    assert len(lines) == 1
    assert lines[0].startswith("READMIT_HASH_KEY_FILE: cannot read")


def test_everything_missing_is_named_a_line_each() -> None:
    with pytest.raises(SettingsError) as caught:
        ToySettings.load({})
    assert sorted(str(caught.value).splitlines()) == [
        "READMIT_AUTH_ISSUER is missing",
        "READMIT_AUTH_JWKS is missing",
        "READMIT_HASH_KEY is missing",
        "READMIT_KAFKA_BOOTSTRAP_SERVERS is missing",
        "READMIT_MAIL_FROM is missing",
        "READMIT_SMTP_URL is missing",
        "READMIT_TOY_DATABASE_URL is missing",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "8o8o"), ("PORT", "0"), ("PORT", "65536"), ("LOG_LEVEL", "verbose"),
        ("HASH_KEY", "s3cret"), ("HASH_KEY", base64.b64encode(b"s3cret" * 4).decode()), ("HASH_KEY", f"{KEY_1},,"),
        ("TOY_DATABASE_URL", "mysql://toy:hunter2@db/toy"), ("TOY_DATABASE_URL", "hunter2"),
        ("TOY_DATABASE_URL", "postgresql://toy:hunter2@db:port/toy"), ("TOY_DATABASE_URL", "postgresql://toy:hunter2@db"),
        ("SMTP_URL", "http://user:s3cret@mail.example"), ("SMTP_URL", "smtp://user:s3cret@mail.example:0x"),
        ("SMTP_URL", ","), ("SMTP_URL", "smtp://user:s3cret@mail.example/?x"),
        ("MAIL_FROM", "Readmit, Inc <a@example.org>"), ("MAIL_FROM", "a@example.org, b@example.org"),
        ("MAIL_FROM", "nobody"), ("MAIL_FROM", "a@example.org\nBcc: b@example.org"),
        ("AUTH_JWKS", "http://issuer.example/jwks"), ("KAFKA_BOOTSTRAP_SERVERS", " , "),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"), ("KAFKA_CA_FILE", "/nowhere/ca.pem"), ("PEM", "s3cret"),
        ("PEM", "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----"),
        ("PEM", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI"), ("TOY_KEY", "AAAA"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_and_its_value_is_not_shown(name: str, value: str) -> None:
    lines = complaint(**{name: value})
    assert len(lines) == 1
    assert lines[0].startswith(f"READMIT_{name}: "), lines
    assert "s3cret" not in lines[0]
    assert "hunter2" not in lines[0]
    assert len(value) < 6 or value not in lines[0]


def test_a_wrong_setting_is_named_as_it_was_set(tmp_path: Path) -> None:
    assert complaint(TOY_PORT="x")[0].startswith("READMIT_TOY_PORT: ")
    (tmp_path / "port").write_text("x")
    assert complaint(PORT_FILE=str(tmp_path / "port"))[0].startswith("READMIT_PORT_FILE: ")


def test_sasl_needs_credentials() -> None:
    (line,) = complaint(KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="u")
    assert "READMIT_KAFKA_SASL_PASSWORD" in line
    assert load(KAFKA_SECURITY_PROTOCOL="SASL_SSL", KAFKA_SASL_USERNAME="u", KAFKA_SASL_PASSWORD="p").service == "toy"


def test_empty_is_off_where_that_means_something_and_not_set_elsewhere() -> None:
    assert load(LIMIT="").limit == ""
    assert load(LIMIT="1 per day", TOY_LIMIT="").limit == ""
    assert load(PLAIN="").plain == "default"
    assert load(PLAIN="common", TOY_PLAIN="").plain == "common", "an empty variable doesn't hide the common one"
    assert load(PLAIN="a", PLAIN_FILE="").plain == "a"
    assert complaint(AUTH_ISSUER="") == ["READMIT_AUTH_ISSUER is missing"]


def test_an_empty_file_is_an_empty_value(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert load(LIMIT_FILE=str(tmp_path / "empty")).limit == ""
    assert load(PLAIN_FILE=str(tmp_path / "empty")).plain == "default"


def test_lists_are_separated_by_commas() -> None:
    assert load(NETWORKS=" 10.0.0.0/8 ,, ::1/128,").networks == ("10.0.0.0/8", "::1/128")
    assert load(NETWORKS='["a"]').networks == ('["a"]',), "never JSON"
    assert load(NETWORKS="").networks == ()


def test_kafkas_files_are_paths_themselves(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("certificate")
    assert load(KAFKA_CA_FILE=str(file)).kafka_ca_file == file
    assert load(TOY_KAFKA_CA_FILE=str(file), KAFKA_CA_FILE="/elsewhere").kafka_ca_file == file
    assert load(KAFKA_CA_FILE="").kafka_ca_file is None
    assert load(KAFKA_CA_FILE_FILE="/elsewhere").kafka_ca_file is None


def test_keys_are_kept_newest_first() -> None:
    ring = load(TOY_KEY=f"{KEY_2},\n {KEY_1}").toy_key
    assert ring is not None
    assert ring.keys == (b"2" * 32, b"1" * 32)
    assert ring.newest == b"2" * 32


def pem() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_pem_blocks_in_sequence() -> None:
    first, second = pem(), pem()
    for text in (first + second, first.strip() + "\n\n" + second, f"  {first}{second}  \n"):
        keys = load(PEM=text).pem
        assert keys is not None
        assert [block.decode() for block in keys.blocks] == [first, second]
        assert keys.newest.decode() == first
    assert complaint(PEM=first + second.partition("-----END")[0])[0].startswith("READMIT_PEM: ")


def test_no_secret_is_shown_by_repr() -> None:
    settings = load(
        TOY_KEY=KEY_2,
        PEM=pem(),
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_USERNAME="u",
        KAFKA_SASL_PASSWORD="s3cret",
    )
    for shown in (repr(settings), str(settings), repr(settings.hash_key), repr(settings.smtp_url), repr(settings.pem)):
        for secret in ("s3cret", "hunter2", KEY_1, KEY_2, "1" * 32, "PRIVATE KEY"):
            assert secret not in shown


def test_a_bad_setting_ends_the_process_with_lines_that_name_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in BASE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("READMIT_PORT", "x")
    with pytest.raises(SystemExit) as caught:
        load_or_exit(ToySettings)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "readmit toy: cannot start"
    assert any(line.startswith("READMIT_PORT: ") for line in lines)
    assert "READMIT_HASH_KEY is missing" in lines
