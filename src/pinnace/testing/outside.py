"""Clients outside the cluster, whose threads and processes live by the machine's time: letting them keep pace.

When virtual time moves, the cluster's own parts have always done what there is to do before it goes on. Of clients
outside only this is known: when they were told something (by a watch), when they last asked for something, and whether
a thread of this process is at work. Where they were told something, time stands still until all that has been silent
for a while.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from pinnace.core.clock import Clock, VirtualClock

#: Looks at the threads in a time of silence; and times of silence until nobody waits any more for one that never rests.
LOOKS = 5
PATIENCE = 50


class Outside:
    """``react`` is how many seconds of the machine's time they are to be silent; 0: time does not wait for them."""

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
        machine = clock.outside
        began = machine.monotonic()
        while (left := self._last + self.react - machine.monotonic()) > 0:
            await machine.sleep(min(left, self.react / LOOKS))
            if others_at_work() and machine.monotonic() - began < PATIENCE * self.react:
                self._last = machine.monotonic()
        await clock.settle()
        self._told = False


def others_at_work() -> bool:
    """Whether a thread of this process other than this one runs, or would if it got a processor: a busy machine must
    not make a client look silent."""
    own = str(threading.get_native_id())
    for thread in os.listdir("/proc/self/task"):
        if thread != own:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                state = Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
                if state in "RD":
                    return True
    return False
