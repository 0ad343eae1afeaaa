"""The seeded generator: people at work, their mistakes, their changes."""

from __future__ import annotations

import ipaddress
import json
import random
from datetime import datetime, timedelta
from typing import Any

from deploy.demo.geoip.networks import NETWORKS
from deploy.demo.organisation import Account
from deploy.demo.seed import ANCHOR
from deploy.demo.seed.attacks import add_attacks
from deploy.demo.seed.story import LAST_ACTIVE, TRIPS, Change, story_of_everyone
from deploy.demo.seed.timeline import Timeline

SEED = "readmit demo 1"
START = ANCHOR - timedelta(days=91)
# A week past the anchor: the copy for a given day is cut where that day's now is.
END = ANCHOR + timedelta(days=7)

DESKTOPS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.6 Safari/605.1.15"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
)
PHONES = (
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.6 Mobile/15E148 Safari/604.1"
    ),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
)


def generate() -> list[dict[str, Any]]:
    """The whole history as CloudEvents, oldest first; the same on every machine."""
    timeline = Timeline()
    for account, story in story_of_everyone():
        person = _Person(account, _random(account.account_id))
        person.live_through(timeline, story)
    add_attacks(timeline, _random("attacks"))
    _add_final_states(timeline)
    return timeline.events()


def _random(purpose: str) -> random.Random:
    """A stream of its own for each purpose, so that a change of one leaves the others as they are."""
    return random.Random(f"{SEED} {purpose}")  # noqa: S311 (nothing here is a secret)


def to_line(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _add_final_states(timeline: Timeline) -> None:
    """The identity platform's last full report, minutes before now: it settles every account's state."""
    for index, (account, _) in enumerate(story_of_everyone()):
        if not account.removed:
            timeline.add(ANCHOR - timedelta(seconds=90 - index), "account", account.state(), live=True)


class _Person:
    """One person's habits: where they work from, with what, and how often they mistype."""

    def __init__(self, account: Account, rng: random.Random) -> None:
        self.account = account
        self.rng = rng
        self.desktop = DESKTOPS[int(rng.random() * len(DESKTOPS))]
        self.phone = PHONES[int(rng.random() * len(PHONES))]
        self.home_hosts = [int(rng.random() * 16000) + 1 for _ in range(3)]
        self.typo_rate = 0.03 + 0.06 * rng.random()

    def live_through(self, timeline: Timeline, story: list[tuple[Change | None, dict[str, Any]]]) -> None:
        changes = [(ANCHOR - timedelta(days=change.days_ago) if change else START, state) for change, state in story]
        self._add_changes(timeline, story)
        self._add_weekly_reports(timeline, changes)
        last = ANCHOR - timedelta(days=LAST_ACTIVE.get(self.account.account_id, -7))
        day = START
        while day < min(END, last):
            for time in self._sign_in_times(day):
                if START + timedelta(minutes=1) <= time < min(END, last):
                    self._sign_in(timeline, time, _state_at(changes, time))
            day += timedelta(days=1)

    def _add_changes(self, timeline: Timeline, story: list[tuple[Change | None, dict[str, Any]]]) -> None:
        account_id = self.account.account_id
        for change, state in story:
            if change is None:
                continue
            time = ANCHOR - timedelta(days=change.days_ago)
            data: dict[str, Any] = {"account_id": account_id}
            if change.kind not in ("account", "account-removed"):
                data |= change.values
                data["ip"] = self._address(self._working_network(time), time)
            if change.kind == "backup-codes-changed":
                data["unused"] = state["unused_backup_codes"]
            if change.kind == "backup-codes-changed" and change.values["change"] == "used":
                self._succeed(timeline, time + timedelta(milliseconds=150), data["ip"], self.desktop, "backup-code")
            if change.kind == "locked":
                self._lock_out(timeline, time, data["ip"])
            timeline.add(time, change.kind, state if change.kind == "account" else data)
            if change.kind not in ("account", "account-removed", "password-changed"):
                timeline.add(time + timedelta(milliseconds=400), "account", state)

    def _lock_out(self, timeline: Timeline, time: datetime, ip: str) -> None:
        """The five failures that lead to a lock."""
        for attempt in range(5):
            self._fail(timeline, time - timedelta(seconds=25 * (4 - attempt), milliseconds=200), ip, "bad-password")

    def _add_weekly_reports(self, timeline: Timeline, changes: list[tuple[datetime, dict[str, Any]]]) -> None:
        """A full report of the account's state at the beginning of each week."""
        number = int(self.account.account_id[-2:])
        time = START + timedelta(seconds=number)
        while time < END:
            if not (self.account.removed and time > changes[-1][0]):
                timeline.add(time, "account", _state_at(changes, time))
            time += timedelta(weeks=1)

    def _sign_in_times(self, day: datetime) -> list[datetime]:
        """The times of one local day, in UTC: mornings nearly always, after lunch and other pauses often."""
        midnight = day - timedelta(hours=self.account.utc_offset)
        if day.weekday() >= 5:
            return [midnight + timedelta(hours=10 + 10 * self.rng.random())] if self.rng.random() < 0.18 else []
        if self.rng.random() < 0.06:
            return []
        times = [midnight + timedelta(hours=8 + 1.6 * self.rng.random())]
        for chance, hour, spread in ((0.75, 13, 1.2), (0.55, 15.5, 1.8), (0.42, 10.5, 1.4), (0.4, 19, 3.2)):
            if self.rng.random() < chance:
                times.append(midnight + timedelta(hours=hour + spread * self.rng.random()))
        return sorted(times)

    def _working_network(self, time: datetime) -> str:
        days_ago = (ANCHOR - time) / timedelta(days=1)
        for begin, end, network in TRIPS.get(self.account.account_id, ()):
            if end <= days_ago <= begin:
                return network
        local = time + timedelta(hours=self.account.utc_offset)
        if local.weekday() in (0, 4, 5, 6) or local.hour >= 18:
            return self.account.home
        return self.account.office

    def _address(self, network_name: str, time: datetime) -> str:
        network = ipaddress.ip_network(NETWORKS[network_name].cidr)
        if network.version == 6:
            # A phone gets a new prefix each day.
            return str(network[(time.toordinal() % 97 + 1) * 2**64 + self.home_hosts[0]])
        if network_name.startswith("office-"):
            return str(network[10 + self.home_hosts[0] % 4])
        # A home's address changes with the provider's lease, about monthly.
        return str(network[self.home_hosts[time.month % 3]])

    def _sign_in(self, timeline: Timeline, time: datetime, state: dict[str, Any]) -> None:
        local_hour = (time + timedelta(hours=self.account.utc_offset)).hour
        on_phone = local_hour >= 18 and self.rng.random() < 0.6
        network = self.account.mobile if on_phone else self._working_network(time)
        agent = self.phone if on_phone else self.desktop
        ip = self._address(network, time)
        while self.rng.random() < self.typo_rate:
            second = state["two_factor_enabled"] and self.rng.random() < 0.35
            self._fail(timeline, time, ip, "bad-second-factor" if second else "bad-password", agent)
            time += timedelta(seconds=8 + 40 * self.rng.random())
        self._succeed(timeline, time, ip, agent, "totp" if state["two_factor_enabled"] else "password")

    def _succeed(self, timeline: Timeline, time: datetime, ip: str, agent: str, method: str) -> None:
        data = {"account_id": self.account.account_id, "ip": ip, "user_agent": agent, "method": method}
        timeline.add(time, "signin-succeeded", data)

    def _fail(self, timeline: Timeline, time: datetime, ip: str, failure: str, agent: str | None = None) -> None:
        data = {
            "account_id": self.account.account_id,
            "ip": ip,
            "user_agent": agent or self.desktop,
            "failure": failure,
        }
        timeline.add(time, "signin-failed", data)


def _state_at(changes: list[tuple[datetime, dict[str, Any]]], time: datetime) -> dict[str, Any]:
    return next(state for since, state in reversed(changes) if since <= time)
