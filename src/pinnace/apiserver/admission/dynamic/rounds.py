"""Which of those that may change an object are asked again, when others have changed it after them.

All are asked in a first round. If anything was changed in it, the built-in plugins look again, and there is a second
round for those that want it (``reinvocationPolicy: IfNeeded``) and were followed by a change.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object


class Round:
    """What one kind (webhooks, or policies) has done to one request."""

    def __init__(self) -> None:
        self.anything_changed = False
        self._second = False
        self._called: set[str] = set()
        self._again: set[str] = set()
        self._last: Object | None = None

    def begin(self, obj: Object | None) -> None:
        if self._second and self._called and obj != self._last:
            self._require()

    def end(self, obj: Object | None) -> None:
        """The last thing done in a round."""
        if not self._second:
            self._last = meta.copy(obj) if self._called else None
        self._second = True

    def calls(self, key: str) -> bool:
        """Whether it is to be asked in this round."""
        return not self._second or key in self._again

    def changed(self) -> None:
        """The one that was asked last has changed the object."""
        self.anything_changed = True
        self._require()

    def called(self, key: str) -> None:
        """It has been asked, and is to be asked again after changes."""
        self._called.add(key)

    def _require(self) -> None:
        self._again |= self._called
        self._called = set()
