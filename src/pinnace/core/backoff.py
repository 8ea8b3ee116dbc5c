"""Delays that grow with every failure."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random


class Backoff:
    """Exponential delay per key: ``base * factor**failures``, at most ``cap`` seconds.

    >>> backoff = Backoff(base=1, cap=8)
    >>> [backoff.next("a") for _ in range(5)]
    [1, 2, 4, 8, 8]
    """

    __slots__ = ("_base", "_cap", "_factor", "_failures")

    def __init__(self, *, base: float, cap: float, factor: float = 2.0) -> None:
        self._base = base
        self._cap = cap
        self._factor = factor
        self._failures: dict[Hashable, int] = {}

    def next(self, key: Hashable) -> float:
        """Count one more failure of ``key`` and return the delay before its next try, in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        try:
            return min(self._base * self._factor**failures, self._cap)
        except OverflowError:
            return self._cap

    def failures(self, key: Hashable) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: Hashable) -> None:
        """Start ``key`` anew at the base delay."""
        self._failures.pop(key, None)


def jitter(delay: float, fraction: float, random: Random) -> float:
    """``delay`` lengthened by up to ``fraction`` of itself, so that many waiters do not come back at once."""
    return delay * (1.0 + random.random() * fraction)
