"""Compresses history while there is time: a slice of half a millisecond at a time, with pauses in between.

So it takes no more than a fiftieth of the event loop's time, whatever is written; what it has not come to is bounded as
all of history is. Nothing is scheduled while there is nothing to compress.
"""

from __future__ import annotations

from pinnace.core.clock import Clock, Timer
from pinnace.store.mvcc import View

#: Seconds between two slices.
PAUSE = 0.025
#: Events of which what they superseded is left as it is, so that slices are worth their while.
LEFT = 64


class Packer:
    """Of one store's view."""

    def __init__(self, view: View, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._timer: Timer | None = None

    def changed(self) -> None:
        """The view has grown."""
        if self._timer is None and self._view.unpacked > LEFT:
            self._timer = self._clock.call_later(PAUSE, self._pack, routine=True)

    def _pack(self) -> None:
        self._timer = None
        self._view.pack()
        self.changed()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
