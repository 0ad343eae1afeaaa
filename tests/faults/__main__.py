"""`python -m tests.faults --kills 200 --seed 7 --kafka embedded`: exit code 1 when a check fails."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.faults.report import print_report
from tests.faults.soak import Plan, as_json, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="of what is killed when; said in the report")
    parser.add_argument("--kafka", choices=("embedded", "apache"), default="embedded")
    parser.add_argument("--rate", type=float, default=21.0, help="requests for help a second")
    parser.add_argument("--report", type=Path, default=Path("var/fault-report.json"))
    parser.add_argument("--keep", action="store_true", help="keep the stack's folder, as is done when a check fails")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="readmit-faults-"))
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    plan = Plan(given.kills, seed, folder, given.kafka, given.rate)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    outcome = asyncio.run(run(plan, console.print))
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(as_json(outcome) + "\n")
    print_report(outcome, console)
    console.print(f"report: {given.report}")
    if given.keep or not outcome.holds:
        console.print(f"logs and data: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main())
