"""Whose data a record holds, and the keyed hashes under which persons, addresses and IPs are found again."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

from shared.kit.addresses import AddressHasher
from shared.kit.settings import KeyRing
from shared.schemas.action import ANONYMOUS


class PersonKind(StrEnum):
    """What a person is known by."""

    ACCOUNT = "account"
    ADDRESS = "address"
    NOBODY = "nobody"
    """Messages about nobody we know of: one key a month."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a key of their own. `hashes`: what their row may be found under, the newest hash key's first."""

    kind: PersonKind
    hashes: tuple[str, ...]


class KeyedHashes:
    """HMAC-SHA-256 under READMIT_HASH_KEY: tables find persons again without holding who they are."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._addresses = AddressHasher(keys)

    def account(self, account_id: str) -> Person:
        return Person(PersonKind.ACCOUNT, self._all("account", account_id))

    def address(self, email: str) -> Person:
        return Person(PersonKind.ADDRESS, self.email(email))

    @staticmethod
    def hashed_address(email_hash: str) -> Person:
        """Of an address that only its hash is known of: the same hash that producers publish."""
        return Person(PersonKind.ADDRESS, (email_hash,))

    @staticmethod
    def nobody(month: str) -> Person:
        return Person(PersonKind.NOBODY, (month,))

    def email(self, email: str) -> tuple[str, ...]:
        return self._addresses.all(email)

    def ip(self, ip: str) -> tuple[str, ...]:
        return self._all("ip", ip)

    def message(self, raw: bytes) -> tuple[bytes, ...]:
        """What tells a message from another under the same event id."""
        return tuple(hmac.digest(key, b"message\x00" + raw, hashlib.sha256) for key in self._keys.keys)

    def _all(self, purpose: str, text: str) -> tuple[str, ...]:
        data = f"audit/{purpose}\x00{text}".encode()
        return tuple(hmac.new(key, data, hashlib.sha256).hexdigest()[:32] for key in self._keys.keys)


def is_account(actor: str | None) -> bool:
    """Whether an actor is a person with an account: not a service, not somebody unknown."""
    return actor is not None and actor != ANONYMOUS and not actor.startswith("service:")
