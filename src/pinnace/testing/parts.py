"""Parts of a cluster that fail and come back."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from pinnace.cluster.cluster import Cluster

NAMES = ("controllers", "scheduler")


class _Call(Protocol):
    def __call__(self, work: Coroutine[Any, Any, None]) -> None: ...


class Parts:
    """``controllers`` and ``scheduler``; nodes are ``Nodes``'."""

    def __init__(self, call: _Call, cluster: Cluster) -> None:
        self._call = call
        self._cluster = cluster

    def stop(self, name: str) -> None:
        """It ends; the rest of the cluster goes on without it. Idempotent. Raises LookupError."""
        self._call(self._cluster.end_part(self._known(name)))

    def start(self, name: str) -> None:
        """It is back, knowing nothing but what the API server tells it. Idempotent. Raises LookupError."""
        self._call(self._cluster.begin_part(self._known(name)))

    def _known(self, name: str) -> str:
        if name not in NAMES or name not in self._cluster.config.parts:
            there = [part for part in NAMES if part in self._cluster.config.parts]
            raise LookupError(f"no part {name!r} can be stopped and started here; those are: {', '.join(there)}")
        return name
