from __future__ import annotations

from typing import Any


def install_pages(*_: Any) -> None: ...
