"""What a controller has asked for and not yet seen in its cache.

A cache lags behind the controller's own writes. Acting on it meanwhile would create or delete too much, so a
controller notes what it is about to do and does nothing more for that key until it has seen all of it, or until
``LIFETIME`` has passed (a lost watch event must not block a key for ever).
"""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.core.clock import Clock

LIFETIME = 300.0


class _Expected:
    __slots__ = ("creations", "deletions", "since")

    def __init__(self, creations: int, deletions: set[str], since: float) -> None:
        self.creations = creations
        self.deletions = deletions
        self.since = since


class Expectations:
    """Creations (counted) and deletions (by uid) that are under way, per key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def satisfied(self, key: str) -> bool:
        """Whether the cache shows everything that ``key``'s last round asked for."""
        expected = self._expected.get(key)
        if expected is None:
            return True
        if expected.creations <= 0 and not expected.deletions:
            return True
        return self._clock.monotonic() - expected.since > LIFETIME

    def expect(self, key: str, *, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        """Begin a new round for ``key``; what it expected before is dropped."""
        self._expected[key] = _Expected(creations, set(deletions), self._clock.monotonic())

    def created(self, key: str, count: int = 1) -> None:
        """``count`` creations were seen, or will never be (they failed)."""
        if (expected := self._expected.get(key)) is not None:
            expected.creations -= count

    def deleted(self, key: str, uid: str) -> None:
        if (expected := self._expected.get(key)) is not None:
            expected.deletions.discard(uid)

    def seen(self, key: str, old: Object | None, new: Object | None) -> None:
        """The cache shows that an object which ``key`` owns went from ``old`` to ``new``; one that is being deleted is
        as good as gone."""
        obj = new or old
        if obj is not None and (new is None or meta.is_deleting(new)):
            self.deleted(key, meta.uid(obj))
        elif old is None:
            self.created(key)

    def pending_deletions(self, key: str) -> set[str]:
        expected = self._expected.get(key)
        return set(expected.deletions) if expected else set()

    def forget(self, key: str) -> None:
        self._expected.pop(key, None)
