"""`python -m services.notifier`, the same as `readmit run notifier`."""

from services.notifier.bootstrap import bootstrap
from services.notifier.settings import NotifierSettings
from shared.kit.service import serve, start_logging
from shared.kit.settings import load_or_exit


def main() -> None:
    """Run the service until SIGTERM or SIGINT."""
    settings = load_or_exit(NotifierSettings)
    start_logging(settings)
    serve(bootstrap(settings), settings)


if __name__ == "__main__":
    main()
