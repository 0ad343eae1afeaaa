"""Runs enrichment: `python -m services.enrichment`, configured by environment variables only."""

from __future__ import annotations

from shared.kit.shutdown import stop_at_once


def main() -> None:
    """Runs the service until SIGTERM or SIGINT."""
    stop_at_once()  # before the imports, which take a second
    from services.enrichment.bootstrap import bootstrap
    from services.enrichment.settings import EnrichmentSettings
    from shared.kit.service import serve, start_logging
    from shared.kit.settings import load_or_exit

    settings = load_or_exit(EnrichmentSettings)
    start_logging(settings)
    serve(bootstrap(settings), settings)


if __name__ == "__main__":
    main()
