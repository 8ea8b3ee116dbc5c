"""A pool of numbers that owners hold: the one bookkeeping behind cluster IPs and node ports.

What the store holds is *held*; what a request under way has taken is *reserved*. A number is free if it is neither, or
if the asker has it. A reservation ends in one of two ways: the commit that holds it is seen (``set_held``), or it is
given back (``release``). So nothing is lost by a failed request, and nothing needs to be written down: a restart reads
the Services again.

Automatic choices come from the upper band first, so that the lower one stays good for people who choose themselves
(upstream's reserved band); example: of 30000-32767 the first 86 are left alone until the rest is full.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random, SystemRandom


class TakenError(Exception):
    """Another owner has it."""


class FullError(Exception):
    """No number is left."""


class Pool:
    """The numbers first..last; choices leave the ``lower`` first ones for last."""

    def __init__(self, first: int, last: int, *, lower: int, random: Random | None = None) -> None:
        self.first = first
        self.last = last
        self._lower = lower
        self._random = random or SystemRandom()
        self._held: dict[int, str] = {}
        self._of_owner: dict[str, frozenset[int]] = {}
        self._reserved: dict[int, tuple[str, int]] = {}  # number -> (owner, how often)

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def set_held(self, owner: str, numbers: Iterable[int]) -> None:
        """What ``owner`` holds as of its newest committed state; its reservations of these are settled."""
        now = frozenset(number for number in numbers if number in self)
        for number in self._of_owner.pop(owner, frozenset()) - now:
            if self._held.get(number) == owner:
                del self._held[number]
        for number in now:
            self._held[number] = owner
            if self._reserved.get(number, ("", 0))[0] == owner:
                del self._reserved[number]
        if now:
            self._of_owner[owner] = now

    def owner(self, number: int) -> str | None:
        """Who holds or has reserved it."""
        held = self._held.get(number)
        if held is not None:
            return held
        reserved = self._reserved.get(number)
        return reserved[0] if reserved else None

    def reserve(self, number: int, owner: str) -> None:
        """Raises TakenError."""
        if self.owner(number) not in (None, owner):
            raise TakenError
        count = self._reserved.get(number, ("", 0))[1]
        self._reserved[number] = (owner, count + 1)

    def choose(self, owner: str) -> int:
        """Reserve a free number. Raises FullError."""
        upper = self.first + self._lower
        for first, last in ((upper, self.last), (self.first, upper - 1)):
            number = self._free_between(first, last)
            if number is not None:
                self.reserve(number, owner)
                return number
        raise FullError

    def _free_between(self, first: int, last: int) -> int | None:
        if first > last:
            return None
        for _ in range(8):
            number = self._random.randint(first, last)
            if self.owner(number) is None:
                return number
        start = self._random.randint(first, last)
        around = (*range(start, last + 1), *range(first, start))
        return next((number for number in around if self.owner(number) is None), None)

    def release(self, number: int, owner: str) -> None:
        """Give one reservation back; no effect if it was settled."""
        held_by, count = self._reserved.get(number, ("", 0))
        if held_by != owner:
            return
        if count == 1:
            del self._reserved[number]
        else:
            self._reserved[number] = (owner, count - 1)
