"""Settings from environment variables, read once at start-up (contract section 10).

A field `smtp_url` of the service `notifier` is read from the first of these that is there:
`READMIT_NOTIFIER_SMTP_URL`, `READMIT_NOTIFIER_SMTP_URL_FILE`, `READMIT_SMTP_URL`, `READMIT_SMTP_URL_FILE`. A `_FILE`
variant names a file that holds the value (one final newline is cut), which is how secrets reach a container.
"""

from __future__ import annotations

import base64
import binascii
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, BeforeValidator, DirectoryPath, Field, FilePath, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from shared.kit.failpoints import Failpoint, parse

PREFIX = "READMIT_"
FAILPOINTS_REFUSED = (
    "READMIT_FAILPOINTS is for tests: it kills services on purpose, and is refused unless READMIT_ENVIRONMENT=test"
)
DISORDER_REFUSED = (
    "READMIT_DISORDER_WINDOW is for tests: it doubles and shuffles messages on purpose, and is refused unless"
    " READMIT_ENVIRONMENT=test"
)


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line for each and names it."""


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


@dataclass(frozen=True)
class KeyRing:
    """Symmetric keys, newest first: the first signs and encrypts, all of them verify and decrypt."""

    keys: tuple[bytes, ...] = field(repr=False)

    @property
    def newest(self) -> bytes:
        return self.keys[0]

    @classmethod
    def parse(cls, value: object) -> KeyRing:
        """Reads base64 keys, comma separated; each at least 32 bytes (256 bits, the strength of SHA-256)."""
        if isinstance(value, KeyRing):
            return value
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be base64, comma separated, newest first")
        keys = []
        for part in value.split(","):
            try:
                key = base64.b64decode(part.strip(), validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("is not valid base64") from None
            if len(key) < 32:
                raise ValueError("holds a key of fewer than 32 bytes")
            keys.append(key)
        return cls(tuple(keys))


@dataclass(frozen=True)
class PemKeys:
    """PKCS#8 PEM private keys, newest first."""

    blocks: tuple[bytes, ...] = field(repr=False)

    @property
    def newest(self) -> bytes:
        return self.blocks[0]

    @classmethod
    def parse(cls, value: object) -> PemKeys:
        if isinstance(value, PemKeys):
            return value
        end = "-----END PRIVATE KEY-----"
        text = value if isinstance(value, str) else ""
        *parts, rest = text.split(end)
        blocks = tuple((part.strip() + "\n" + end + "\n").encode() for part in parts)
        if not blocks or rest.strip():
            raise ValueError("must be PKCS#8 PEM blocks ('-----BEGIN PRIVATE KEY-----')")
        for block in blocks:
            try:
                load_pem_private_key(block, password=None)
            except (ValueError, TypeError, UnsupportedAlgorithm):
                raise ValueError("holds a block that is no PKCS#8 private key") from None
        return cls(blocks)


def _postgres_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        named = parts.scheme.partition("+")[0] in {"postgresql", "postgres"} and bool(parts.path.strip("/"))
        named = named and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named:
        raise ValueError("must be postgresql://user:password@host/database")
    return value


def _failpoints(value: object) -> object:
    return parse(value) if isinstance(value, str) else value


PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
SymmetricKeys = Annotated[KeyRing, NoDecode, BeforeValidator(KeyRing.parse)]
PrivateKeys = Annotated[PemKeys, NoDecode, BeforeValidator(PemKeys.parse)]


class _Environment(PydanticBaseSettingsSource):
    """Looks each field up under its service's name, then under the common one."""

    def __init__(self, settings_cls: type[BaseSettings], service: str, environ: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._service = service
        self._environ = environ
        self.names: dict[str, str] = {}  # field -> the variable that it was read from
        self.errors: list[str] = []

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in candidates(self._service, field_name):
            variable, value = self._read(name, is_path=field_name.endswith("_file"))
            # An empty variable is how a deployment says "off" (limits) or "not set" (everything else).
            if value or (value is not None and _keeps_empty(field)):
                self.names[field_name] = variable
                return value, field_name, False
        return None, field_name, False

    def _read(self, name: str, *, is_path: bool) -> tuple[str, str | None]:
        """The variable and its value. Raises: SettingsError."""
        variable = name + "_FILE"
        direct, by_file = self._environ.get(name), None if is_path else self._environ.get(variable)
        if not by_file:
            return name, direct
        if direct is not None:
            raise SettingsError(f"{name} and {variable} are both set; set one of them")
        try:
            text = Path(by_file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}: cannot read {by_file} ({_reason(error)})") from None
        return variable, text.removesuffix("\n").removesuffix("\r")

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, info in self.settings_cls.model_fields.items():
            try:
                value, _, _ = self.get_field_value(info, name)
            except SettingsError as error:
                self.errors.append(str(error))
                self.names[name] = ""  # said already
                continue
            if value is not None:
                values[name] = value
        return values


def _reason(error: OSError | UnicodeDecodeError) -> str:
    # A decoding error's own text quotes the file, which holds a secret.
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not UTF-8"


def _keeps_empty(info: FieldInfo) -> bool:
    return isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("empty_is_off") is True


def candidates(service: str, field_name: str) -> tuple[str, str]:
    """The two environment variables that a field is read from, the service's own first."""
    name = field_name.removeprefix(f"{service}_").upper()
    return f"{PREFIX}{service.upper()}_{name}", f"{PREFIX}{name}"


class ServiceSettings(BaseSettings):
    """What every service reads. A service's own settings extend this class and set `service`."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)
    service: ClassVar[str]

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level that is logged.")

    database_url: PostgresUrl = Field(
        repr=False, description="The service's own database, postgresql://user:password@host/database."
    )
    database_pool_size: int = Field(8, ge=4, le=100, description="Connections to the database kept in the pool.")

    kafka_bootstrap_servers: CommaList = Field(description="Kafka brokers, comma separated.", min_length=1)
    kafka_security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.",
    )
    kafka_sasl_mechanism: str | None = Field(
        None, pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(None, description="SASL user name.")
    kafka_sasl_password: str | None = Field(None, repr=False, description="SASL password.")
    kafka_ca_file: FilePath | None = Field(None, description="Authority that signed the brokers' certificates.")
    kafka_cert_file: FilePath | None = Field(None, description="Client certificate.")
    kafka_key_file: FilePath | None = Field(None, description="Key of the client certificate.")
    # Defaults are aiokafka's; the embedded broker wants shorter ones (DESIGN section 4, hazard 17).
    kafka_session_timeout_ms: int = Field(10_000, ge=500, description="Consumer session timeout, milliseconds.")
    kafka_heartbeat_interval_ms: int = Field(3_000, ge=100, description="Consumer heartbeat interval, milliseconds.")
    kafka_rebalance_timeout_ms: int = Field(10_000, ge=100, description="Consumer rebalance timeout, milliseconds.")
    # A broker answers a waiting fetch when data comes; the embedded one only when this time is over.
    kafka_fetch_max_wait_ms: int = Field(500, ge=1, description="Longest wait of a fetch for data, milliseconds.")
    kafka_enable_idempotence: bool = Field(True, description="Idempotent producer; off only for the embedded broker.")
    dead_letters_in_a_row: int = Field(
        5,
        ge=0,
        description="Well-formed records that may fail one after another before a consumer parks no more and waits; 0: "
        "no such brake.",
    )

    # A rebalance takes up to 20 s, a reconnection of the outbox up to 35 s; a broker or database that is away does not
    # count. A mail server may keep a sender for three minutes.
    watchdog_consumer_seconds: float = Field(
        60, gt=0, description="Seconds without progress, though there are records, until a consumer is not live."
    )
    watchdog_queue_seconds: float = Field(
        60, gt=0, description="Seconds without anybody taking the rows of a queue until the service is not live."
    )
    watchdog_job_seconds: float = Field(
        600, gt=0, description="Seconds that one job of a queue may take until the service is not live."
    )
    watchdog_alarm_seconds: float = Field(
        120, gt=0, description="Seconds that rows may wait, or mail servers not answer, until an alarm is raised."
    )

    hash_key: SymmetricKeys = Field(description="Keys of the keyed hashes of addresses; the same in all services.")

    environment: str = Field(
        "production", pattern="^(production|test)$", description="`test` where settings for tests are let in."
    )
    failpoints: Annotated[tuple[Failpoint, ...], NoDecode, BeforeValidator(_failpoints)] = Field(
        (),
        description="For tests: places at which the service kills itself, such as `intake.request.before-answer=kill`; "
        "refused unless `READMIT_ENVIRONMENT=test`.",
    )
    failpoints_dir: DirectoryPath | None = Field(
        None, description="For tests: a folder that remembers which of these places were reached; each then acts once."
    )

    disorder_window: int = Field(
        0,
        ge=0,
        le=1000,
        description="For tests: every message is published and delivered twice, out of order within so many; refused "
        "unless `READMIT_ENVIRONMENT=test`.",
    )

    @model_validator(mode="after")
    def _no_disorder_in_production(self) -> Self:
        if self.disorder_window and self.environment != "test":
            raise ValueError(DISORDER_REFUSED)
        return self

    @model_validator(mode="after")
    def _no_failpoints_in_production(self) -> Self:
        if self.failpoints and self.environment != "test":
            raise ValueError(FAILPOINTS_REFUSED)
        return self

    @model_validator(mode="after")
    def _kafka_credentials(self) -> Self:
        named = self.kafka_sasl_username and self.kafka_sasl_password
        if self.kafka_security_protocol.startswith("SASL") and not named:
            raise ValueError(
                "READMIT_KAFKA_SASL_USERNAME and READMIT_KAFKA_SASL_PASSWORD are needed with "
                f"READMIT_KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Reads the settings from the environment.

        Raises:
            SettingsError: one line for each setting that is missing or wrong.
        """
        source = _Environment(cls, cls.service, os.environ if environ is None else environ)
        values = source()
        try:
            settings = cls(**values)
        except ValidationError as error:
            lines = [_describe(cls.service, item, source.names) for item in error.errors()]
            raise SettingsError("\n".join([*source.errors, *filter(None, lines)])) from None
        if source.errors:
            raise SettingsError("\n".join(source.errors))
        return settings


def _describe(service: str, item: Any, names: Mapping[str, str]) -> str | None:
    """One line about one wrong setting, without its value; None for one that was told of before."""
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return message
    field_name = str(item["loc"][0])
    own, common = candidates(service, field_name)
    # What only this service has, or what each service has another of, is told by the service's own name.
    is_own = field_name.startswith(f"{service}_") or field_name in {"database_url", "owner_database_url"}
    name = names.get(field_name, own if is_own else common)
    if not name:
        return None
    return f"{name} is missing" if item["type"] == "missing" else f"{name}: {message}"


Settings = TypeVar("Settings", bound=ServiceSettings)


def load_or_exit(settings_class: type[Settings]) -> Settings:
    """Reads the settings, or ends the process with exit code 2 and lines on stderr that name what is wrong."""
    try:
        return settings_class.load()
    except SettingsError as error:
        _stop(f"readmit {settings_class.service}: cannot start\n{error}")


def _stop(message: str) -> NoReturn:
    sys.stderr.write(message + "\n")
    raise SystemExit(2)
