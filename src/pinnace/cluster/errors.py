"""Why a cluster did not start or cannot be reached, each with the exit code that scripts rely on."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """What ``pinnace`` exits with. 0 is success, 1 an error of no kind below, 2 a wrong command line."""

    ERROR = 1
    USAGE = 2
    PORT_TAKEN = 10
    DATA_IN_USE = 11
    DATA_NEWER = 12
    NOT_PERMITTED = 13
    CONTAINERD_FAILED = 14
    TIMED_OUT = 15
    NOT_RUNNING = 16
    DATA_DAMAGED = 17
    COMPONENT_MISSING = 18
    IMAGE_REFUSED = 19
    NETWORK_FAILED = 20
    STORE_FAILED = 21


class ClusterError(Exception):
    """One line that says what was wrong, where, and what to do; ``lines`` may follow it (a log's last ones)."""

    def __init__(self, exit: Exit, message: str, *, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.exit = exit
        self.lines = lines
