"""How endpoints share the slots that a chain chooses among. Pure.

Up to ``EXACT`` endpoints have a slot each. For more there are chains for powers of two only, since every command to the
kernel takes the longer the more chains there are; each endpoint then has at least eight slots (up to 8,192 endpoints)
and none has more than one slot more than another, so that none gets over an eighth more connections.
"""

from __future__ import annotations

from collections.abc import Iterable

EXACT = 64
#: Of endpoints with which clients stay: every timeout has chains of its own.
EXACT_STICKY = 16
MOST = 65536
_SHARE = 8


def exact(timeout: int) -> int:
    return EXACT_STICKY if timeout else EXACT


def size(count: int, timeout: int = 0) -> int:
    """How many slots ``count`` endpoints share."""
    if count <= exact(timeout):
        return count
    return min(1 << (count * _SHARE - 1).bit_length(), MOST)


def sizes(capacity: int, timeout: int = 0) -> list[int]:
    """Every size there is: one by one up to ``capacity`` at most, and the powers of two."""
    few = exact(timeout)
    least = size(few + 1, timeout).bit_length() - 1
    return [*range(1, min(capacity, few) + 1), *(1 << power for power in range(least, MOST.bit_length()))]


def arrange(values: list[str], size: int, before: Iterable[str | None]) -> list[str]:
    """Who has each of the ``size`` slots. Each value keeps as many as it may of those it had ``before``."""
    values = values[:size]
    if not values:
        return []
    base, extra = divmod(size, len(values))
    left = dict.fromkeys(values, base)
    result: list[str] = [""] * size
    for slot, value in zip(range(size), before, strict=False):
        if value is None or (quota := left.get(value)) is None:
            continue
        if quota == 0:
            if not extra:
                continue
            extra -= 1
        elif quota < 0:
            continue
        left[value] = quota - 1
        result[slot] = value
    wanting = [value for value, quota in left.items() for _ in range(max(quota, 0))]
    wanting += [value for value, quota in left.items() if quota >= 0][:extra]
    needy = iter(wanting)
    return [value or next(needy) for value in result]
