"""What the environment of `readmit up` already settles: it wins over anything embedded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import USAGE, CommandError

SERVICES = ("intake", "enrichment", "notifier", "recovery", "audit")

# These two are the exception: a stack of five processes can't share one address.
_NEVER_INHERITED = ("HOST", "PORT")


def variable(setting: str, service: str | None = None) -> str:
    """The environment variable of a setting, or of one service's own value of it."""
    return f"READMIT_{service.upper()}_{setting}" if service else f"READMIT_{setting}"


@dataclass(frozen=True)
class Overrides:
    """Settings found in the environment; `READMIT_X_FILE` counts as `READMIT_X`."""

    environ: Mapping[str, str]

    def holds(self, setting: str, service: str | None = None) -> bool:
        """Whether a setting is there, for one service when named, else for all."""
        return any(name in self.environ or f"{name}_FILE" in self.environ for name in _names(setting, service))

    def value(self, setting: str, service: str | None = None) -> str | None:
        """A setting's value, read from its file where there is one; None when it is not set."""
        for name in _names(setting, service):
            if name in self.environ:
                return self.environ[name]
            if f"{name}_FILE" in self.environ:
                return _read(f"{name}_FILE", self.environ[f"{name}_FILE"])
        return None

    def missing(self, settings: tuple[str, ...]) -> list[str]:
        """Names of the variables that are not set, or set to nothing."""
        return [variable(setting) for setting in settings if not self.value(setting)]

    def inherited(self, service: str | None = None) -> dict[str, str]:
        """The environment to hand on: all but listening addresses, and what would redirect PostgreSQL clients."""
        services = (None, service) if service else (None, *SERVICES)
        dropped = {variable(setting, owner) for setting in _NEVER_INHERITED for owner in services}
        dropped |= {f"{name}_FILE" for name in dropped}
        return {
            name: value
            for name, value in self.environ.items()
            if name not in dropped and not (name.startswith("PG") and name[2:].isalpha())
        }


def _names(setting: str, service: str | None) -> tuple[str, ...]:
    return (variable(setting, service), variable(setting)) if service else (variable(setting),)


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text().removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name}: cannot read {path}: {error}", exit_code=USAGE) from error
