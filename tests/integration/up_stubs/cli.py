"""Stands in for the `readmit` command in the steps of a start: writes down that it was called.

Imports are real: they go to a stub of intake.
"""

import os
import sys
import time
from pathlib import Path

from deploy import cli

if __name__ == "__main__":
    if sys.argv[1] == "import":
        cli.main()
    with Path(os.environ["STUB_CALLS"]).open("a") as calls:
        calls.write(" ".join(sys.argv[1:]) + "\n")
    if sys.argv[1:] == ["topics", "apply"]:
        # For as long as a file says; whoever looks at the stack meanwhile sees a broker that has no topics yet.
        while Path(os.environ["STUB_CALLS"] + ".hold").exists():
            time.sleep(0.02)
