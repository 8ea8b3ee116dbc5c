"""Ranges of IPv4 addresses as people write them: ``192.168.1.240-192.168.1.250``, ``10.98.0.0/24``, or several with
commas between."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator


class IPRanges:
    """Addresses in the order in which they are handed out. A network's own and broadcast address are not among them."""

    def __init__(self, text: str) -> None:
        """Raises ValueError saying what is wrong with which part."""
        self.text = text
        self._ranges: list[tuple[int, int]] = []
        for part in text.split(","):
            self._ranges.append(_parse(part.strip()))

    def __contains__(self, address: object) -> bool:
        try:
            number = int(ipaddress.IPv4Address(address))
        except ValueError:
            return False
        return any(first <= number <= last for first, last in self._ranges)

    def __iter__(self) -> Iterator[str]:
        for first, last in self._ranges:
            for number in range(first, last + 1):
                yield str(ipaddress.IPv4Address(number))

    def overlaps(self, network: str) -> bool:
        """Whether an address of theirs is in ``network``."""
        other = ipaddress.IPv4Network(network)
        begin, end = int(other.network_address), int(other.broadcast_address)
        return any(first <= end and begin <= last for first, last in self._ranges)

    def networks(self) -> list[str]:
        """The fewest networks that hold exactly these addresses."""
        found = (
            network
            for first, last in self._ranges
            for network in ipaddress.summarize_address_range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last))
        )
        return [str(network) for network in ipaddress.collapse_addresses(found)]


def _parse(part: str) -> tuple[int, int]:
    try:
        if "-" in part:
            first, last = (int(ipaddress.IPv4Address(end.strip())) for end in part.split("-", 1))
        else:
            network = ipaddress.IPv4Network(part)
            first, last = int(network.network_address), int(network.broadcast_address)
            if network.prefixlen < 31:
                first, last = first + 1, last - 1
    except ValueError as error:
        raise ValueError(f"{part!r} is neither CIDR nor FIRST-LAST of IPv4 addresses: {error}") from error
    if first > last:
        raise ValueError(f"{part!r} ends before it begins")
    return first, last
