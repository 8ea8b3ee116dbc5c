"""Which address of a node's range belongs to which Pod: host-local's own files, one for each address, so that it and
this can take turns. A file appears with its content or not at all."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

_LAST = "last_reserved_ip.0"


class Exhausted(Exception):
    """Every address of the range is taken."""


class Addresses:
    """``directory`` is the network's own, in host-local's data directory. The first address is the gateway's."""

    def __init__(self, directory: Path, subnet: str) -> None:
        self._directory = directory
        self._subnet = ipaddress.IPv4Network(subnet)
        self._held: dict[str, str] = {}  # owner -> address, of those reserved here

    @property
    def gateway(self) -> str:
        return str(self._subnet.network_address + 1)

    @property
    def prefix(self) -> int:
        return self._subnet.prefixlen

    @property
    def subnet(self) -> str:
        return str(self._subnet)

    def reserve(self, container: str, interface: str) -> str:
        """Raises Exhausted, OSError."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        first = int(self._subnet.network_address) + 2
        count = int(self._subnet.broadcast_address) - first
        begin = self._after_last(first, count)
        fresh = self._directory / f".{os.getpid()}"
        fresh.write_bytes(f"{container}\r\n{interface}".encode())
        try:
            for step in range(count):
                address = str(ipaddress.IPv4Address(first + (begin + step) % count))
                try:
                    os.link(fresh, self._directory / address)
                except FileExistsError:
                    continue
                (self._directory / _LAST).write_text(address)
                self._held[f"{container}\r\n{interface}"] = address
                return address
        finally:
            fresh.unlink()
        raise Exhausted(f"no IP addresses available in range set: {self._subnet}")

    def _after_last(self, first: int, count: int) -> int:
        try:
            last = ipaddress.IPv4Address((self._directory / _LAST).read_text().strip())
        except (FileNotFoundError, ValueError):
            return 0
        return max(int(last) - first + 1, 0) % max(count, 1)

    def release(self, container: str, interface: str) -> None:
        """Nothing happens if it has none. Raises OSError."""
        owner = f"{container}\r\n{interface}"
        known = self._held.pop(owner, None)
        try:
            files = list(self._directory.iterdir()) if known is None else [self._directory / known]
        except FileNotFoundError:
            return
        for file in files:
            try:
                if file.name[:1].isdigit() and file.read_bytes().strip() == owner.encode():
                    file.unlink()
            except FileNotFoundError:  # released meanwhile
                continue
