"""A container's health check: asks the service in it whether it is ready.

`python -m deploy.docker.health [--end-when-not-live]`. Exit code 0 for ready, 1 for not ready, with the service's own
words on stdout, which `docker inspect` shows. Docker restarts what ends and leaves alone what is merely unhealthy, so
with `--end-when-not-live` a service that says three times in a row that it is no longer live (a consumer gone deaf) is
asked to stop; the restart policy does the rest. It is `readmit up`'s own rule.

It runs every few seconds beside the service, so it does without `http.client`, whose import takes ten times as long.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

_STRIKES = 3
_SECONDS = 4.0  # below the five that Docker gives the check
_SHOWN = 1000  # characters of the answer
_LONGEST = 65536  # bytes of it that are read


def main(arguments: list[str], environ: Mapping[str, str], *, notes: Path = Path("/tmp")) -> int:  # noqa: S108  a tmpfs
    """Check once. Returns the exit code."""
    port = int(environ.get("READMIT_PORT") or 8000)
    status, body = _ask(port, "/health/ready")
    if status != 200 and "--end-when-not-live" in arguments:
        _judge(port, notes / "readmit-not-live")
    if status != 200:
        print(f"{status or 'no answer'} {body}")
    return 0 if status == 200 else 1


def _judge(port: int, strikes: Path) -> None:
    # No answer is no verdict: a stopped or busy process is not a broken one.
    status, body = _ask(port, "/health/live")
    if status != 503:
        strikes.unlink(missing_ok=True)
        return
    count = len(strikes.read_bytes()) + 1 if strikes.exists() else 1
    if count < _STRIKES:
        strikes.write_bytes(b"x" * count)
        return
    strikes.unlink(missing_ok=True)
    print(f"not live, ending it: {body}")
    os.kill(1, signal.SIGTERM)


def _ask(port: int, path: str) -> tuple[int, str]:
    """Status and the beginning of the body; status 0 when there is no answer."""
    request = f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS / 2) as connection:
            connection.sendall(request.encode())
            answer = b""
            while len(answer) < _LONGEST and (part := connection.recv(_LONGEST)):
                answer += part
    except OSError as error:
        return 0, type(error).__name__
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    words = head.split(" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
    return status, body[:_SHOWN].strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
