"""Stands in for the `readmit` command in the steps of a start: writes down that it was called."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    with Path(os.environ["STUB_CALLS"]).open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
