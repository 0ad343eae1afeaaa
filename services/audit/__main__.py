"""The process: `python -m services.audit`."""

from services.audit.bootstrap import bootstrap
from services.audit.settings import AuditSettings
from shared.kit.service import serve, start_logging
from shared.kit.settings import load_or_exit


def main() -> None:
    settings = load_or_exit(AuditSettings)
    start_logging(settings)
    serve(bootstrap(settings), settings)


if __name__ == "__main__":
    main()
