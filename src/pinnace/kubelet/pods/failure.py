"""Why a Pod's part could not be started."""

from __future__ import annotations

#: The reason of a container that cannot be made of what the Pod says.
CONFIG_ERROR = "CreateContainerConfigError"


class StartFailure(Exception):
    """A container, or a Pod's sandbox or volumes, that cannot be started now. ``reason`` and ``str(error)`` are the
    waiting state's; ``event`` is the reason of the event to record (none if "") and ``event_message`` its text;
    ``hold`` is in how many seconds to try again."""

    def __init__(
        self, reason: str, message: str, *, event: str = "", event_message: str = "", hold: float = 10.0
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.event = event
        self.event_message = event_message or message
        self.hold = hold
