"""One `readmit up` a data folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import USAGE, AlreadyRunningError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go when the process ends, however it ends."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            raise AlreadyRunningError(
                f"another `readmit up` (pid {holder or 'unknown'}) runs on {folder}. "
                "Stop it, or choose another --data-dir.",
                exit_code=USAGE,
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
