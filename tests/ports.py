"""Ports for servers that are told theirs before they listen, or that stop and listen again."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def unused_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody has.

    They are below those that the kernel gives to connections: one of these, free for a moment, would be some client's
    own port the next, even the very client's that waits for the server there.
    """
    beyond = int(_RANGE.read_text().split()[0])
    found: list[int] = []
    for port in random.SystemRandom().sample(range(min(11_000, beyond // 2), beyond), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"of 200 ports below {beyond} fewer than {count} are free")
