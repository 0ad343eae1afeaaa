"""Records that no service can process, of every kind that was thought of, and valid ones to hide them among."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.builders.records import RawRecord

ACCOUNT = "readmit.identity.account.v1"
SIGNIN = "readmit.identity.signin-succeeded.v1"
PASSWORD = "readmit.identity.password-changed.v1"
JSON_HEADER = (b"content-type", b"application/cloudevents+json")
SOURCE = "https://identity.example.org"


class Records:
    """Makes records by a seed: the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self.kinds: dict[str, Callable[[], bytes | None]] = {
            name.removeprefix("_value_"): getattr(self, name) for name in dir(self) if name.startswith("_value_")
        }

    def malformed(self, kind: str) -> RawRecord:
        """One that every group of its topic parks, and audit records as unparsed."""
        return RawRecord(self.kinds[kind](), self._key(), self._headers())

    def event(self, type_: str, account_id: str, **data: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": self._id(),
            "source": SOURCE,
            "type": type_,
            "time": datetime.now(UTC).isoformat(),
            "subject": account_id,
            "data": {"account_id": account_id} | data,
        }

    def account(self, account_id: str, **changes: Any) -> dict[str, Any]:
        state: dict[str, Any] = {
            "email": f"{account_id}@example.org",
            "display_name": account_id,
            "status": "active",
            "two_factor_enabled": True,
            "unused_backup_codes": 0,
            "data_protection_access": 0,
            "expert_mode": False,
        }
        return self.event(ACCOUNT, account_id, **(state | changes))

    def signin(self, account_id: str) -> dict[str, Any]:
        return self.event(SIGNIN, account_id, ip=f"198.51.100.{self._random.randrange(1, 255)}")

    def valid(self, event: dict[str, Any]) -> RawRecord:
        """The event as a record: with any key and any headers, since nobody relies on them."""
        odd = self._random.random() < 0.1
        key = self._key() if odd else str(event["subject"]).encode()
        return RawRecord(json.dumps(event).encode(), key, self._headers() if odd else [JSON_HEADER])

    def unknown(self) -> RawRecord:
        """An event of a type that nobody knows: recorded by audit, ignored by everybody else, parked by nobody."""
        event = self.event("readmit.identity.account-merged.v1", "a-unknown", whatever=[1, {"deep": None}])
        return RawRecord(json.dumps(event).encode(), self._key(), [JSON_HEADER])

    def _id(self) -> str:
        self._number += 1
        return f"{self._random.getrandbits(64):016x}-{self._number}"

    def _key(self) -> bytes | None:
        return self._random.choice([None, b"", b"a-1", b"\x00\xff", b"\xed\xa0\x80", self._random.randbytes(12)])

    def _headers(self) -> list[tuple[bytes, bytes | None]]:
        return self._random.choice(
            [
                [],
                [JSON_HEADER],
                [(b"content-type", b"text/html")],
                [(b"content-type", None), (b"content-type", b"\xff")],
                [(b"", b"")],
                [(b"\xff\xfe\x00", b"\x00"), JSON_HEADER],
                [(b"reply_to", b"readmit.identity.accounts.v1"), (b"correlation_id", b"\x1b[2J")],
                [(b"traceparent", b"00-0-0-0")],
            ]
        )

    def _text(self, **changes: Any) -> str:
        return json.dumps(self.account("a-bad") | changes)

    def _data(self, **changes: Any) -> bytes:
        """A valid envelope of a known type with data that break its schema."""
        event = self.account("a-bad")
        event["data"] |= changes
        return json.dumps(event).encode()

    # The kinds.

    def _value_null(self) -> bytes | None:
        return None

    def _value_empty(self) -> bytes:
        return b""

    def _value_cut_off(self) -> bytes:
        text = self._text()
        return text[: self._random.randrange(1, len(text))].encode()

    def _value_noise(self) -> bytes:
        return b"\xff" + self._random.randbytes(self._random.randrange(1, 2000))

    def _value_no_object(self) -> bytes:
        return self._random.choice([b"[]", b'"text"', b"1", b"null", b"true", b"[[1]]", b"1e5"])

    def _value_text(self) -> bytes:
        return self._random.choice([b"hello", b"<xml/>", b"'single'", b"{a: 1}", b"\xef\xbb\xbf{}", b" ", b"{} {}"])

    def _value_not_utf8(self) -> bytes:
        return self._text().encode().replace(b"a-bad", b"a-\xff\xfe")

    def _value_utf16(self) -> bytes:
        return self._text().encode("utf-16")

    def _value_raw_nul(self) -> bytes:
        return self._text().encode().replace(b"a-bad", b"a-\x00")

    def _value_escaped_nul(self) -> bytes:
        return self._text(id=f"{self._id()}\x00").encode()

    def _value_nul_in_a_name(self) -> bytes:
        return self._data(display_name="a\x00b")

    def _value_lone_surrogate(self) -> bytes:
        return self._text().encode().replace(b"a-bad", self._random.choice([rb"a-\ud800", rb"\udfff", b"\xed\xa0\x80"]))

    def _value_surrogate_member(self) -> bytes:
        return self._text().encode().replace(b'"data"', rb'"\ud800": 1, "data"')

    def _value_nested(self) -> bytes:
        depth = self._random.choice([33, 100, 900, 1100, 20_000])
        return b'{"data": ' + b"[" * depth + b"]" * depth + b"}"

    def _value_nested_objects(self) -> bytes:
        depth = self._random.choice([40, 500, 5000])
        return b'{"a":' * depth + b"1" + b"}" * depth

    def _value_unclosed(self) -> bytes:
        return self._random.choice([b"[", b'{"a":']) * self._random.choice([10, 100_000])

    def _value_name_twice(self) -> bytes:
        return self._text().replace('"data"', f'"id": "{self._id()}", "data"').encode()

    def _value_no_number(self) -> bytes:
        value = self._random.choice([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000, b"01", b"+1", b"1."])
        return self._text().encode().replace(b'"unused_backup_codes": 0', b'"unused_backup_codes": ' + value)

    def _value_missing_member(self) -> bytes:
        event = self.account("a-bad")
        del event[self._random.choice(["specversion", "id", "source", "type", "time", "data"])]
        return json.dumps(event).encode()

    def _value_wrong_type_in_the_envelope(self) -> bytes:
        name = self._random.choice(["id", "source", "type", "time", "subject"])
        return self._text(**{name: self._random.choice([1, True, [], {}, 1.5])}).encode()

    def _value_wrong_envelope(self) -> bytes:
        name, value = self._random.choice(
            [
                *[("specversion", item) for item in ("0.3", "2.0", 1.0, None)],
                *[("time", item) for item in ("yesterday", "2026-13-01T00:00:00Z", "2026-11-24T00:00:00", "")],
                *[("id", item) for item in ("", "x" * 10_000, "a\nb", "\u202e\x1b[31m")],
                *[("source", item) for item in ("", "with space", "<script>", "\x00")],
                *[("datacontenttype", item) for item in ("text/xml", 5)],
                ("type", "with space"),
                ("type", ""),
                ("subject", "another-account"),
            ]
        )
        return self._text(**{name: value}).encode()

    def _value_wrong_data(self) -> bytes:
        return self._text(data=self._random.choice([None, [], "text", 1, {}])).encode()

    def _value_invalid_data(self) -> bytes:
        name, value = self._random.choice(
            [
                *[("email", item) for item in ("b@example.org,c@example.org", "no address", 5, ["a@example.org"])],
                *[("status", item) for item in ("ACTIVE", None, 1)],
                *[("unused_backup_codes", item) for item in (-1, "0", 1.5, None, 10**30)],
                *[("two_factor_enabled", item) for item in ("yes", 1, None)],
                *[("display_name", item) for item in ("x" * 100_000, {"a": 1}, "a\x07b")],
                *[("account_id", item) for item in ("", "x" * 5000, 7, None)],
                ("notification_emails", ["a@example.org"] * 21),
            ]
        )
        return self._data(**{name: value})

    def _value_invalid_signin(self) -> bytes:
        event = self.signin("a-bad")
        event["data"]["ip"] = self._random.choice(["999.1.1.1", "", None, 7, "fe80::1%eth0; DROP TABLE accounts"])
        return json.dumps(event).encode()

    def _value_large(self) -> bytes:
        return b'{"a": "' + b"x" * self._random.choice([50_000, 200_000]) + b'"'
