"""Where published vectors are, if they are there: they are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from tests.requirements import requires

_DEFAULT = Path(__file__).parents[4] / "shared" / "vectors"


def vectors(name: str) -> Path:
    """A folder of vectors; skips the test, or fails it where everything is required, when it is not there."""
    folder = Path(os.environ.get("READMIT_TEST_VECTORS", str(_DEFAULT))) / name
    if not folder.is_dir():
        requires(f"the published vectors {name} (READMIT_TEST_VECTORS names their folder)")
    return folder
