"""Long work inside the event loop takes its turns: at most a few milliseconds each."""

from __future__ import annotations

import types
from collections.abc import Generator


@types.coroutine
def breathe() -> Generator[None, None, None]:
    """Let the event loop run what else is ready, then go on."""
    yield
