"""What several of these tests read."""

import json
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "contract" / "schemas" / "golden"


@pytest.fixture
def golden() -> dict[str, Any]:
    """Give the golden example of every type; a test may change its copy."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob("*.json"))}
