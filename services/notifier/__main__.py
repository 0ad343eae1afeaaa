"""`python -m services.notifier`, the same as `readmit run notifier`."""

from __future__ import annotations

from shared.kit.shutdown import stop_at_once


def main() -> None:
    """Runs the service until SIGTERM or SIGINT."""
    stop_at_once()  # before the imports, which take a second
    from services.notifier.bootstrap import bootstrap
    from services.notifier.settings import NotifierSettings
    from shared.kit.service import serve, start_logging
    from shared.kit.settings import load_or_exit

    settings = load_or_exit(NotifierSettings)
    start_logging(settings)
    serve(bootstrap(settings), settings)


if __name__ == "__main__":
    main()
