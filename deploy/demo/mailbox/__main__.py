"""`python -m deploy.demo.mailbox`: READMIT_DEMO_DIR, READMIT_DEMO_MAILBOX_PORT, READMIT_DEMO_SMTP_PORT."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.demo.mailbox.app import create_app
from deploy.demo.pages import environment_value, serve


def main() -> None:
    os.umask(0o077)
    folder = Path(environment_value("READMIT_DEMO_DIR")) / "mail"
    app = create_app(folder, int(environment_value("READMIT_DEMO_SMTP_PORT")))
    serve(app, int(environment_value("READMIT_DEMO_MAILBOX_PORT")))


if __name__ == "__main__":
    main()
