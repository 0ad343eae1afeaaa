"""What a test needs beside Python, and what happens where it is missing."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def requires(missing: str) -> NoReturn:
    """Skips the test for want of something, or fails it where everything is required."""
    if os.environ.get("READMIT_REQUIRE_ALL") == "1":
        pytest.fail(f"needs {missing}, and READMIT_REQUIRE_ALL=1")
    pytest.skip(f"needs {missing}")


def require_kafka_tools() -> None:
    """For `up --kafka apache`: skips without Java and Maven. Whether Java is new enough is `up`'s to say."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        requires(f"{' and '.join(missing)} (a JDK of version 17 or newer, and Maven)")
