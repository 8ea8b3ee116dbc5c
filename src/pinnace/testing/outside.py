"""Clients outside the cluster, whose threads and processes live by the machine's time: letting them keep pace.

When virtual time moves, the cluster's own parts have always done what there is to do before it goes on. Of clients
outside only this is known: when they were told something (by a watch), and when they last asked for something. Where
they were told something, time stands still until they have been silent for a while.
"""

from __future__ import annotations

from pinnace.core.clock import Clock, VirtualClock


class Outside:
    """``react`` is how many seconds of the machine's time they get; 0: time does not wait for them."""

    def __init__(self) -> None:
        self.react = 0.0
        self._clock: Clock | None = None
        self._told = False
        self._last = 0.0

    def use(self, clock: Clock) -> None:
        self._clock = clock

    def heard(self) -> None:
        """One of them asked for something."""
        clock = self._clock
        if isinstance(clock, VirtualClock):
            clock.stir()
            self._last = clock.outside.monotonic()

    def told(self) -> None:
        """One of them was told something."""
        clock = self._clock
        if isinstance(clock, VirtualClock):
            self._told = True
            self._last = clock.outside.monotonic()

    async def keep_pace(self) -> None:
        """Return when they are silent, if they were told anything since the last time."""
        clock = self._clock
        if not self._told or not self.react or not isinstance(clock, VirtualClock):
            return
        while (left := self._last + self.react - clock.outside.monotonic()) > 0:
            await clock.outside.sleep(left)
        await clock.settle()
        self._told = False
