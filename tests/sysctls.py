"""A new network namespace starts with what its computer has set for IPv4; tests start with what the kernel has."""

from __future__ import annotations

import subprocess

_DEFAULTS = {
    "forwarding": 0,
    "route_localnet": 0,
    "rp_filter": 0,
    "accept_local": 0,
    "src_valid_mark": 0,
    "proxy_arp": 0,
    "arp_ignore": 0,
    "arp_announce": 0,
    "arp_filter": 0,
}
#: For ``sh`` in the namespace.
RESET = "".join(
    f"echo {value} >/proc/sys/net/ipv4/conf/{whose}/{name}\n"
    for name, value in _DEFAULTS.items()
    for whose in ("all", "default", "lo")
)


def reset() -> None:
    """In the namespace of the calling thread, before it has interfaces other than ``lo``."""
    subprocess.run(["sh", "-ec", RESET], check=True)
