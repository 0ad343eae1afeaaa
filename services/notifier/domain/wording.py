"""Findings in words: one line each, in the reader's language, with UTC and the reader's own time zone.

"None" and "unknown" are different answers and never look alike (contract, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from gettext import NullTranslations
from typing import TypeVar
from zoneinfo import ZoneInfo

from shared.schemas.enrichment import (
    AddressKind,
    EarlierRequests,
    Fact,
    FactState,
    FailedSignins,
    Location,
    LocationSeen,
    Network,
    NetworkSeen,
    RequestContext,
    SigninSeen,
    UsedBefore,
)
from shared.schemas.identity import AccountStatus, SigninFailure
from shared.schemas.intake import Issue, SuppressedBefore

T = TypeVar("T")

_LATEST = 5  # of earlier requests, whose number is told anyway
Value = str | list[str]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of long findings is told, so that a message keeps within its size."""

    items: int = 20
    characters: int = 500


def one_line(text: str, characters: int) -> str:
    """The text without line breaks, so that it can't begin a line of its own; cut where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


class Wording:
    """Says findings in one language and time zone."""

    def __init__(self, translations: NullTranslations, zone: ZoneInfo | None, limits: Limits) -> None:
        self._ = translations.gettext
        self._n = translations.ngettext
        self.translated = type(translations) is not NullTranslations
        self._zone = zone
        self.limits = limits

    def cut(self, text: str) -> str:
        """A stranger's text on one line."""
        return one_line(text, self.limits.characters)

    def utc(self, moment: datetime) -> str:
        """For where a time is not the fact itself."""
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

    def time(self, moment: datetime) -> str:
        """UTC always; the reader's own zone in brackets."""
        utc = self.utc(moment)
        if self._zone is None:
            return utc
        local = moment.astimezone(self._zone)
        return utc if not local.utcoffset() else f"{utc} ({local.strftime('%Y-%m-%d %H:%M %Z')})"

    def fact(self, fact: Fact[T], say: Callable[[T], Value]) -> Value:
        """The value as `say` words it, or that there is none, or that nobody knows."""
        if fact.state is FactState.KNOWN and fact.value is not None:
            return say(fact.value)
        return self.none(fact) if fact.state is FactState.NONE else self.unknown(fact)

    def none(self, fact: Fact[T]) -> str:
        """Known to be none, and since when one would have been noticed."""
        _ = self._
        return _("none since %(time)s") % {"time": self.utc(fact.since)} if fact.since else _("none")

    def unknown(self, fact: Fact[T]) -> str:
        """Not known, and what is missing."""
        _ = self._
        return _("unknown (%(why)s)") % {"why": self.cut(self._why(fact.why))} if fact.why else _("unknown")

    def _why(self, why: str) -> str:
        """The usual ones of enrichment's in the reader's language; any other as it is."""
        _ = self._
        return {
            "no sign-in data received": _("no sign-in data received"),
            "no account has this address": _("no account has this address"),
            "several accounts have this address": _("several accounts have this address"),
            "not in the GeoIP database": _("not in the GeoIP database"),
        }.get(why, why)

    def issue(self, issue: Issue) -> str:
        """The type of problem."""
        _ = self._
        return {
            Issue.LOST_2FA: _("Lost two-factor authentication"),
            Issue.FORGOTTEN_PASSWORD: _("Forgotten password"),
            Issue.LOCKED_OUT: _("Locked out"),
            Issue.OTHER: _("Other sign-in problem"),
        }[issue]

    def yes_no(self, value: bool) -> str:
        """Yes or no."""
        return self._("yes") if value else self._("no")

    def active(self, status: AccountStatus) -> str:
        """Whether the owner can sign in."""
        _ = self._
        return {
            AccountStatus.ACTIVE: _("yes"),
            AccountStatus.LOCKED: _("no (locked)"),
            AccountStatus.DISABLED: _("no (disabled)"),
        }[status]

    def enabled(self, value: bool) -> str:
        """Whether two-factor authentication is on."""
        return self._("enabled") if value else self._("not enabled")

    def plural(self, singular: str, plural: str, count: int) -> str:
        """A text with `%(count)d`, in the form that the count asks for."""
        return self._n(singular, plural, count) % {"count": count}

    def sign_ins(self, count: int) -> str:
        """A number of sign-ins."""
        return self._n("%(count)d sign-in", "%(count)d sign-ins", count) % {"count": count}

    def location(self, location: Location) -> str:
        """City and country, as far as known."""
        parts = [part for part in (location.city, location.country or location.country_code) if part]
        return self.cut(", ".join(parts)) if parts else self._("unknown")

    def network(self, network: Network) -> str:
        """AS number and name, else the network itself."""
        number = f"AS{network.asn}" if network.asn is not None else ""
        named = " ".join(part for part in (number, network.name or "") if part)
        return self.cut(named or network.prefix or self._("unknown"))

    def sign_in(self, seen: SigninSeen) -> str:
        """When and from where."""
        _ = self._
        parts = [self.time(seen.at), _("from %(ip)s") % {"ip": seen.ip}]
        if seen.location:
            parts.append(self.location(seen.location))
        if seen.network:
            parts.append(self.network(seen.network))
        if seen.method:
            parts.append(_("by %(method)s") % {"method": self.cut(seen.method)})
        return ", ".join(parts)

    def seen(self, items: Sequence[LocationSeen] | Sequence[NetworkSeen]) -> Value:
        """Places or networks, latest first."""
        _ = self._
        lines = [
            _("%(place)s (%(sign_ins)s, last %(time)s)")
            % {"place": self.cut(item.label), "sign_ins": self.sign_ins(item.count), "time": self.utc(item.last_at)}
            for item in items[: self.limits.items]
        ]
        return self._more(lines, len(items)) or _("none")

    def failed_sign_ins(self, fact: Fact[FailedSignins]) -> Value:
        """Counts first, in digits."""
        _ = self._
        if fact.state is FactState.NONE:
            return _("%(count)d in the last 24 hours") % {"count": 0} + ", " + self.none(fact)
        return self.fact(fact, self._failures)

    def _failures(self, failed: FailedSignins) -> str:
        _ = self._
        parts = [
            _("%(count)d in the last 24 hours") % {"count": failed.last_24_hours},
            _("%(count)d in the last 30 days") % {"count": failed.last_30_days},
        ]
        parts += [f"{item.count} × {self._failure(item.failure)}" for item in failed.by_failure]
        if failed.last_at:
            parts.append(_("last %(time)s") % {"time": self.utc(failed.last_at)})
        return ", ".join(parts)

    def _failure(self, failure: SigninFailure) -> str:
        _ = self._
        return {
            SigninFailure.BAD_PASSWORD: _("wrong password"),
            SigninFailure.BAD_SECOND_FACTOR: _("wrong second factor"),
            SigninFailure.LOCKED: _("account locked"),
            SigninFailure.DISABLED: _("account disabled"),
            SigninFailure.UNKNOWN_ACCOUNT: _("no such account"),
            SigninFailure.OTHER: _("other reason"),
        }[failure]

    def used_before(self, fact: Fact[UsedBefore]) -> Value:
        """Yes, no or unknown first."""
        if fact.state is FactState.NONE:
            return f"{self._('no')}, {self.none(fact)}"
        return self.fact(fact, self._used)

    def _used(self, used: UsedBefore) -> str:
        if not used.used:
            return self._("no")
        parts = [self._("yes")]
        if used.count:
            parts.append(self.sign_ins(used.count))
        if used.last_at:
            parts.append(self._("last %(time)s") % {"time": self.utc(used.last_at)})
        return ", ".join(parts)

    def address_kind(self, kind: AddressKind) -> str:
        """What an address is that has no place and no network."""
        _ = self._
        return {
            AddressKind.PUBLIC: _("public address"),
            AddressKind.PRIVATE: _("private address"),
            AddressKind.LOOPBACK: _("loopback address"),
            AddressKind.LINK_LOCAL: _("link-local address"),
            AddressKind.CARRIER_GRADE_NAT: _("carrier-grade NAT address"),
            AddressKind.DOCUMENTATION: _("documentation address"),
            AddressKind.MULTICAST: _("multicast address"),
            AddressKind.RESERVED: _("reserved address"),
            AddressKind.UNSPECIFIED: _("unspecified address"),
        }[kind]

    def ip(self, request: RequestContext) -> str:
        """The address, and what kind it is when it is a special one."""
        if request.address_kind is AddressKind.PUBLIC:
            return str(request.ip)
        return f"{request.ip} ({self.address_kind(request.address_kind)})"

    def place(self, request: RequestContext, fact: Fact[T], say: Callable[[T], Value]) -> Value:
        """A place or network of the request; a special address has none, and says what it is."""
        if request.address_kind is AddressKind.PUBLIC or fact.state is FactState.KNOWN:
            return self.fact(fact, say)
        return self.address_kind(request.address_kind)

    def earlier(self, fact: Fact[EarlierRequests], suppressed: SuppressedBefore | None) -> Value:
        """How many came before, the latest of them, and those that led to no message of their own."""
        _ = self._
        lines: list[str] = []
        if fact.state is FactState.KNOWN and fact.value is not None:
            lines.append(
                self._n("%(count)d request", "%(count)d requests", fact.value.count) % {"count": fact.value.count}
            )
            lines += [
                _("%(reference)s at %(time)s") % {"reference": item.reference_id, "time": self.utc(item.at)}
                for item in fact.value.items[: min(self.limits.items, _LATEST)]
            ]
        elif fact.state is FactState.UNKNOWN:
            lines.append(self.unknown(fact))
        elif not suppressed or not suppressed.count:
            lines.append(f"0, {self.none(fact)}" if fact.since else "0")
        if suppressed and suppressed.count:
            lines.append(self._suppressed(suppressed))
        return lines

    def _suppressed(self, suppressed: SuppressedBefore) -> str:
        _ = self._
        line = self._n(
            "%(count)d suppressed, without a message of its own",
            "%(count)d suppressed, without messages of their own",
            suppressed.count,
        ) % {"count": suppressed.count}
        if suppressed.since:
            line += ", " + _("since %(time)s") % {"time": self.utc(suppressed.since)}
        if suppressed.networks:
            networks = [str(network) for network in suppressed.networks[: self.limits.items]]
            line += ", " + _("from %(networks)s") % {"networks": ", ".join(networks)}
        return line

    def _more(self, lines: list[str], total: int) -> list[str]:
        if total > len(lines):
            lines.append(self._("%(count)d more") % {"count": total - len(lines)})
        return lines
