"""`python -m deploy.demo.identity`, configured by the environment (see `settings`)."""

from __future__ import annotations

import os

from deploy.demo.identity.app import create_app
from deploy.demo.identity.settings import Settings
from deploy.demo.pages import serve


def main() -> None:
    os.umask(0o077)
    settings = Settings.from_environment()
    serve(create_app(settings), settings.port)


if __name__ == "__main__":
    main()
