"""Two attacks in progress: they end where the history ends, so they are under way when the demo starts."""

from __future__ import annotations

import ipaddress
import random
from datetime import datetime, timedelta
from typing import Any

from deploy.demo.geoip.networks import NETWORKS
from deploy.demo.organisation import ACCOUNTS, BY_ROLE, Account
from deploy.demo.seed import ANCHOR
from deploy.demo.seed.timeline import Timeline

_SPRAY_AGENT = "python-requests/2.32.3"
_GUESSING_AGENT = (
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36"
)

# What a sprayer tries beside the addresses it has bought.
_GUESSED_ADDRESSES = tuple(
    f"{name}@example.org"
    for name in ("admin", "info", "root", "test", "it.support", "payroll", "hr", "sales", "finance", "backup")
)
# Erin's address with a digit for a letter, with a Cyrillic first letter, with a doubled one, and at another domain.
_LOOK_ALIKES = (
    "erin.umbrel1a@example.org",
    "\u0435rin.umbrella@example.org",
    "erin.umbrellla@example.org",
    "erin.umbrella@example.com",
)


def add_attacks(timeline: Timeline, rng: random.Random) -> None:
    """Add both attacks, and what Erin and Felix themselves tried in their last hours."""
    _spray(timeline, rng)
    _guess_erin(timeline, rng)
    _own_attempts(timeline)


def _failed(account: Account, ip: str, agent: str, failure: str) -> dict[str, Any]:
    return {"account_id": account.account_id, "ip": ip, "user_agent": agent, "failure": failure}


def _unknown(email: str, ip: str, agent: str) -> dict[str, Any]:
    return {"email": email, "ip": ip, "user_agent": agent, "failure": "unknown-account"}


def _host(network: str, number: int) -> str:
    return str(ipaddress.ip_network(NETWORKS[network].cidr)[number])


def _spray(timeline: Timeline, rng: random.Random) -> None:
    """One password over everybody, then the next one: six hours, a dozen hosts, too slow to lock anybody out."""
    hosts = [_host("hosting-amsterdam", 17 + 31 * number) for number in range(12)]
    victims: list[Account | str] = [account for account in ACCOUNTS if not account.removed]
    victims += _GUESSED_ADDRESSES
    time = ANCHOR - timedelta(hours=6)
    for _ in range(12):
        for victim in victims:
            time += timedelta(seconds=55 + 45 * rng.random())
            if time >= ANCHOR - timedelta(minutes=4):
                return
            ip = hosts[int(rng.random() * len(hosts))]
            if isinstance(victim, str):
                data = _unknown(victim, ip, _SPRAY_AGENT)
            else:
                status = _status(victim, time)
                failure = "bad-password" if status == "active" else status
                data = _failed(victim, ip, _SPRAY_AGENT, failure)
            timeline.add(time, "signin-failed", data, live=True)


def _status(account: Account, time: datetime) -> str:
    if account is BY_ROLE["locked_out"] and time < _LOCKED_AT:
        return "active"
    return account.status


_LOCKED_AT = ANCHOR - timedelta(minutes=38)


def _guess_erin(timeline: Timeline, rng: random.Random) -> None:
    """Somebody is after one account: look-alikes of the address first, then passwords, until it locks and beyond."""
    erin = BY_ROLE["locked_out"]
    hosts = [_host("hosting-ashburn", 901 + number) for number in range(3)]
    time = ANCHOR - timedelta(minutes=95)
    for address in _LOOK_ALIKES * 2:
        time += timedelta(seconds=20 + 30 * rng.random())
        timeline.add(time, "signin-failed", _unknown(address, hosts[0], _GUESSING_AGENT), live=True)
    # Four at a time with a pause, to stay below the limit; then impatience: the fifth locks.
    for burst in range(4):
        time = ANCHOR - timedelta(minutes=88 - 16 * burst)
        for attempt in range(4):
            time += timedelta(seconds=15 + 10 * rng.random())
            data = _failed(erin, hosts[(burst + attempt) % 3], _GUESSING_AGENT, "bad-password")
            timeline.add(time, "signin-failed", data, live=True)
    fifth = _failed(erin, hosts[2], _GUESSING_AGENT, "bad-password")
    timeline.add(_LOCKED_AT - timedelta(milliseconds=120), "signin-failed", fifth, live=True)
    timeline.add(_LOCKED_AT, "locked", {"account_id": erin.account_id, "ip": hosts[2]}, live=True)
    timeline.add(_LOCKED_AT + timedelta(milliseconds=90), "account", erin.state(), live=True)
    for number in range(14):
        time = _LOCKED_AT + timedelta(seconds=70 + 130 * number + 40 * rng.random())
        data = _failed(erin, hosts[number % 3], _GUESSING_AGENT, "locked")
        timeline.add(time, "signin-failed", data, live=True)


def _own_attempts(timeline: Timeline) -> None:
    """Erin is without phone and codes; Felix is back from a holiday and has forgotten his password."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
    erin, felix = BY_ROLE["locked_out"], BY_ROLE["forgotten"]
    for minutes, account, network, failure in (
        (310, erin, "home-london", "bad-second-factor"),
        (308, erin, "home-london", "bad-second-factor"),
        (46, felix, "home-munich", "bad-password"),
        (44, felix, "home-munich", "bad-password"),
        (41, felix, "home-munich", "bad-password"),
    ):
        data = _failed(account, _host(network, 4242), agent, failure)
        timeline.add(ANCHOR - timedelta(minutes=minutes), "signin-failed", data, live=True)
