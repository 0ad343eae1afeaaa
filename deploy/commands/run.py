"""`readmit run SERVICE`: what a container runs."""

import os
import sys


def run(service: str) -> None:
    """Become the service: same process, so that signals and the exit code are its own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", f"services.{service}"])  # noqa: S606
