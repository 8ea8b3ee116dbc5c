"""Ranges of addresses."""

from __future__ import annotations

import pytest

from pinnace.core.ipranges import IPRanges


def test_networks_and_ranges_in_their_order() -> None:
    ranges = IPRanges("192.168.1.9-192.168.1.10, 10.98.0.0/30,10.0.0.7/32")
    assert list(ranges) == ["192.168.1.9", "192.168.1.10", "10.98.0.1", "10.98.0.2", "10.0.0.7"]
    assert "10.98.0.2" in ranges
    assert not any(address in ranges for address in ("10.98.0.0", "10.98.0.3", "192.168.1.11", "x", "::1"))


def test_what_they_overlap() -> None:
    ranges = IPRanges("10.0.0.9-10.0.0.20,10.1.0.0/24")
    assert all(ranges.overlaps(network) for network in ("10.0.0.0/28", "10.0.0.12/32", "10.0.0.0/8", "10.1.0.128/25"))
    assert not any(ranges.overlaps(network) for network in ("10.0.0.0/29", "10.1.1.0/24"))


def test_the_networks_that_hold_exactly_them() -> None:
    assert IPRanges("192.168.1.4-192.168.1.9").networks() == ["192.168.1.4/30", "192.168.1.8/31"]
    assert "10.98.0.0/25" not in IPRanges("10.98.0.0/24").networks()


@pytest.mark.parametrize("text", ["", "10.0.0.9-10.0.0.1", "10.0.0.1/24", "fd00::/64", "a-b", "10.0.0.1-", "1.2.3.4,,"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        IPRanges(text)
