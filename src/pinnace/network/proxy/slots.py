"""Which endpoint has which slot, and how many slots a chain chooses among. Pure.

The endpoints of a port are numbered without gaps: slots 0 to n-1. One that goes leaves its slot to one that comes in
the same change, or to the last: a change of k endpoints changes at most 2k slots, however many there are. A chain
chooses among a power of two of slots, the least that holds them all, so most changes need no other chain.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

#: Slots of the chains that every table has, and of those that there are for at most; endpoints beyond get nothing.
FEW, MOST = 64, 65536

T = TypeVar("T", bound=Hashable)


def size(count: int) -> int:
    """Among how many slots a chain chooses for ``count`` endpoints, of which there is one at least."""
    return min(1 << (count - 1).bit_length(), MOST)


def sizes(capacity: int) -> list[int]:
    """Every size up to that of ``capacity``."""
    return [1 << power for power in range(size(capacity).bit_length())]


class Moves(NamedTuple, Generic[T]):
    """A change: who has ``slots`` before and after (None: nobody), who ``left`` and who ``came``."""

    slots: dict[int, tuple[T | None, T | None]]
    left: list[T]
    came: list[T]


class Slots(Generic[T]):
    """Values by slot; each has one."""

    def __init__(self) -> None:
        self.held: list[T] = []
        self._where: dict[T, int] = {}

    def __contains__(self, value: object) -> bool:
        return value in self._where

    def __len__(self) -> int:
        return len(self.held)

    def change(self, left: Iterable[T], came: Iterable[T]) -> Moves[T]:
        """Those that are there leave, those that are not come, in that order."""
        moves: Moves[T] = Moves({}, list(left), list(came))
        before: dict[int, T | None] = {}
        holes = sorted(self._where.pop(value) for value in moves.left)
        coming = iter(moves.came)
        filled = 0
        for hole, value in zip(holes, coming, strict=False):
            self._put(before, hole, value)
            filled += 1
        for value in moves.came[filled:]:
            self._put(before, len(self.held), value)
        for hole in reversed(holes[filled:]):  # from behind: the last one is a hole itself or stays
            end = len(self.held) - 1
            before.setdefault(end, self.held[end])
            value = self.held.pop()
            if hole != end:
                self._put(before, hole, value)
        for slot, old in before.items():
            moves.slots[slot] = old, self.held[slot] if slot < len(self.held) else None
        return moves

    def _put(self, before: dict[int, T | None], slot: int, value: T) -> None:
        if slot < len(self.held):
            before.setdefault(slot, self.held[slot])
            self.held[slot] = value
        else:
            before.setdefault(slot, None)
            self.held.append(value)
        self._where[value] = slot
