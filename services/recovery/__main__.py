"""Runs recovery: `python -m services.recovery`."""

from __future__ import annotations

from services.recovery.bootstrap import bootstrap
from services.recovery.settings import RecoverySettings
from shared.kit.service import serve, start_logging
from shared.kit.settings import load_or_exit


def main() -> None:
    settings = load_or_exit(RecoverySettings)
    start_logging(settings)
    serve(bootstrap(settings), settings)


if __name__ == "__main__":
    main()
