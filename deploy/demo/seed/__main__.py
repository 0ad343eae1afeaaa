"""Write the committed history again: `python -m deploy.demo.seed`."""

from __future__ import annotations

from deploy.demo.seed import HISTORY
from deploy.demo.seed.generator import generate, to_line


def main() -> None:
    events = generate()
    HISTORY.write_text("".join(to_line(event) + "\n" for event in events), encoding="utf-8")
    print(f"{len(events)} events, {HISTORY.stat().st_size / 1e6:.2f} MB: {HISTORY}")


if __name__ == "__main__":
    main()
