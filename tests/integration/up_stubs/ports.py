"""Ports for tests that run beside each other."""

import random
import socket

from deploy.local.ports import HOST


def free_port_base() -> int:
    """The first of nine free ports, below the range from which the kernel takes ports of outgoing connections."""
    while True:
        base = random.randrange(20000, 32000)  # not seeded: parallel runs must differ
        if all(_is_free(base + offset) for offset in range(9)):
            return base


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False
