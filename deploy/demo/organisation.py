"""The demo organisation: twenty accounts over all states and permission levels.

Each account is described as it stands when the history ends; the seed works backwards from here and the identity
platform starts from here, so the two never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# CloudEvents `source` of the seeded history and of what the demo identity platform reports later.
SOURCE = "https://identity.example.org"
ORGANISATION = "Example Org"


@dataclass(frozen=True)
class Account:
    """One account, with what the seed needs to know of the person's habits.

    `utc_offset` is in hours and stands in for `time_zone` in the generator, which must not depend on the time zone
    data of the machine it runs on. `networks` names entries of `deploy.demo.geoip.networks.NETWORKS`.
    """

    account_id: str
    email: str
    display_name: str
    time_zone: str
    utc_offset: int
    office: str
    home: str
    mobile: str
    status: str = "active"
    two_factor_enabled: bool = True
    unused_backup_codes: int = 8
    data_protection_access: int = 0
    expert_mode: bool = False
    locale: str | None = None
    notification_emails: tuple[str, ...] = ()
    role: str | None = None
    removed: bool = False

    def state(self) -> dict[str, Any]:
        """The `data` of `readmit.identity.account.v1`."""
        state: dict[str, Any] = {
            "account_id": self.account_id,
            "email": self.email,
            "display_name": self.display_name,
            "status": self.status,
            "two_factor_enabled": self.two_factor_enabled,
            "unused_backup_codes": self.unused_backup_codes,
            "data_protection_access": self.data_protection_access,
            "expert_mode": self.expert_mode,
            "time_zone": self.time_zone,
        }
        if self.locale is not None:
            state["locale"] = self.locale
        if self.notification_emails:
            state["notification_emails"] = list(self.notification_emails)
        return state


# The people of the tour have no second factor where they have to sign in to a console: whoever tries the demo has no
# authenticator of theirs at hand. Erin's is enrolled and lost, with every backup code used: the case it is all about.
ACCOUNTS: tuple[Account, ...] = (
    Account(
        "u-1001", "amelia.lantern@example.org", "Amelia Lantern", "Europe/London", 0,
        "office-london", "home-london", "mobile-london",
        two_factor_enabled=False, unused_backup_codes=0, data_protection_access=1, locale="en", role="admin",
    ),
    Account(
        "u-1002", "bruno.kompass@example.org", "Bruno Kompass", "Europe/Berlin", 1,
        "office-berlin", "home-berlin", "mobile-berlin",
        two_factor_enabled=False, unused_backup_codes=0, data_protection_access=2, expert_mode=True, locale="de",
        role="expert",
    ),
    Account(
        "u-1003", "salma.qindil@example.org", "سلمى قنديل", "Asia/Riyadh", 3,
        "office-riyadh", "home-riyadh", "mobile-riyadh",
        unused_backup_codes=9, data_protection_access=3, expert_mode=True, locale="ar", role="director",
    ),
    Account(
        "u-1004", "clara.paperweight@example.org", "Clara Paperweight", "Europe/London", 0,
        "office-london", "home-london", "mobile-london",
        two_factor_enabled=False, unused_backup_codes=0, locale="en", role="auditor",
    ),
    Account(
        "u-1005", "dario.teapot@example.org", "Dario Teapot", "Europe/London", 0,
        "office-london", "home-london", "mobile-london",
        two_factor_enabled=False, unused_backup_codes=0, role="no_permission",
    ),
    Account(
        "u-1006", "erin.umbrella@example.org", "Erin Umbrella", "Europe/London", 0,
        "office-london", "home-london", "mobile-london",
        status="locked", unused_backup_codes=0, locale="en",
        notification_emails=("erin.umbrella.private@example.com",), role="locked_out",
    ),
    Account(
        "u-1007", "felix.doorbell@example.org", "Felix Doorbell", "Europe/Berlin", 1,
        "office-berlin", "home-munich", "mobile-berlin",
        unused_backup_codes=5, locale="de", notification_emails=("felix@doorbell.example.com",), role="forgotten",
    ),
    Account(
        "u-1008", "greta.windmill@example.org", "Greta Windmühle", "Europe/Vienna", 1,
        "home-vienna", "home-vienna", "mobile-berlin",
        two_factor_enabled=False, unused_backup_codes=0, locale="de", role="no_two_factor",
    ),
    Account(
        "u-1009", "hassan.qamar@example.org", "حسن قمر", "Africa/Cairo", 2,
        "home-cairo", "home-cairo", "mobile-cairo", unused_backup_codes=3, locale="ar",
    ),
    Account(
        "u-1010", "ivy.marble@example.org", "Ivy Marble", "America/New_York", -5,
        "office-new-york", "home-new-york", "mobile-new-york",
        status="disabled", unused_backup_codes=10, data_protection_access=2, expert_mode=True, locale="en",
        role="disabled_admin",
    ),
    Account(
        "u-1011", "jonas.leuchtturm@example.org", "Jonas Leuchtturm", "Europe/Berlin", 1,
        "office-berlin", "home-berlin", "mobile-berlin",
        status="locked", unused_backup_codes=6, data_protection_access=1, locale="de", role="locked_admin",
    ),
    Account(
        "u-1012", "kira.saltmarsh@example.org", "Kira Saltmarsh", "America/New_York", -5,
        "office-new-york", "home-new-york", "mobile-new-york",
        unused_backup_codes=7, data_protection_access=2, locale="en", role="senior_admin",
    ),
    Account(
        "u-1013", "leo.thimble@example.org", "Leo Thimble", "America/Los_Angeles", -8,
        "home-san-francisco", "home-san-francisco", "mobile-new-york", unused_backup_codes=10, locale="en",
    ),
    Account(
        "u-1014", "mona.driftwood@example.org", "Mona Driftwood", "Australia/Sydney", 10,
        "home-sydney", "home-sydney", "mobile-sydney", unused_backup_codes=10,
    ),
    Account(
        "u-1015", "nils.haferkorn@example.org", "Nils Haferkorn", "Europe/Berlin", 1,
        "office-berlin", "home-munich", "mobile-berlin",
        status="disabled", two_factor_enabled=False, unused_backup_codes=0, locale="de", role="disabled",
    ),
    Account(
        "u-1016", "olga.clockwork@example.org", "Olga Clockwork", "Asia/Tokyo", 9,
        "home-tokyo", "home-tokyo", "mobile-tokyo", unused_backup_codes=1, locale="en", role="traveller",
    ),
    Account(
        "u-1017", "pascal.zeppelin@example.org", "Pascal Zeppelin", "Europe/Berlin", 1,
        "office-berlin", "home-berlin", "mobile-berlin", unused_backup_codes=4, locale="de", removed=True,
    ),
    Account(
        "u-1018", "quentin.biscuit@example.org", "Quentin Biscuit", "Asia/Singapore", 8,
        "home-singapore", "home-singapore", "home-singapore",
        two_factor_enabled=False, unused_backup_codes=0,
        notification_emails=("quentin@biscuit.example.com", "quentin.biscuit@example.net"),
    ),
    Account(
        "u-1019", "rosa.hinterland@example.org", "Rosa Hinterland", "America/Sao_Paulo", -3,
        "home-sao-paulo", "home-sao-paulo", "home-sao-paulo", status="locked", unused_backup_codes=2, locale="en",
    ),
    Account(
        "u-1020", "tariq.sandstone@example.org", "طارق الرملي", "Asia/Dubai", 4,
        "home-dubai", "home-dubai", "mobile-riyadh", unused_backup_codes=8, data_protection_access=3, locale="ar",
        role="highest_level",
    ),
)  # fmt: skip

BY_ID: dict[str, Account] = {account.account_id: account for account in ACCOUNTS}
BY_ROLE: dict[str, Account] = {account.role: account for account in ACCOUNTS if account.role}
