"""The nine ports of the embedded stack, counted from one base."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.errors import USAGE, CommandError, PortTakenError

HOST = "127.0.0.1"
_OFFSETS = {
    "identity": 0,
    "intake": 1,
    "enrichment": 2,
    "notifier": 3,
    "recovery": 4,
    "audit": 5,
    "mailbox": 6,
    "smtp": 7,
    "kafka": 8,
}


@dataclass(frozen=True)
class Ports:
    """Port numbers by what listens there."""

    base: int

    def __post_init__(self) -> None:
        last = self.base + max(_OFFSETS.values())
        if self.base < 1 or last > 65535:
            raise CommandError(f"port base {self.base} is out of range: {self.base} to {last}", exit_code=USAGE)

    def of(self, name: str) -> int:
        """The port of a process or listener, by name."""
        return self.base + _OFFSETS[name]

    def url(self, name: str) -> str:
        """The address of an HTTP listener, without a final slash."""
        return f"http://{HOST}:{self.of(name)}"

    def endpoint(self, name: str) -> str:
        """`host:port` of a listener that doesn't speak HTTP."""
        return f"{HOST}:{self.of(name)}"

    def require_free(self, uses: Mapping[str, str]) -> None:
        """Raise `PortTakenError` for the first port that can't be bound. `uses` maps names to what people call them."""
        for name, use in uses.items():
            if not is_free(self.of(name)):
                raise PortTakenError(self.of(name), use)


def is_free(port: int) -> bool:
    """Whether a port of the loopback address can be bound now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: without it, connections in TIME_WAIT of the last run would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
