"""Clusters for tests, in the test's own process: see docs/testing.md.

Nothing is imported before it is asked for: pytest imports this package whenever it starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinnace.api.errors import ApiError
    from pinnace.testing.client import Client
    from pinnace.testing.faults import Fault, Faults
    from pinnace.testing.handle import Pinnace, start
    from pinnace.testing.options import Options

__all__ = ["ApiError", "Client", "Fault", "Faults", "Options", "Pinnace", "start"]

_HOMES = {
    "ApiError": "pinnace.api.errors",
    "Client": "pinnace.testing.client",
    "Fault": "pinnace.testing.faults",
    "Faults": "pinnace.testing.faults",
    "Options": "pinnace.testing.options",
    "Pinnace": "pinnace.testing.handle",
    "start": "pinnace.testing.handle",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
