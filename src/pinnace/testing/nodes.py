"""Simulated nodes that fail and come back."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from pinnace.kubelet.simulated_nodes import SimulatedNodes


class _Call(Protocol):
    def __call__(self, work: Coroutine[Any, Any, None]) -> None: ...


class Nodes:
    """Those of one cluster, by name: ``simulated-0``, ``simulated-1``, ..."""

    def __init__(self, call: _Call, part: SimulatedNodes) -> None:
        self._call = call
        self._part = part

    @property
    def names(self) -> list[str]:
        return self._part.names

    def stop(self, name: str) -> None:
        """Its kubelet goes: no heartbeat, no news of its Pods. After 50 seconds of the cluster's time the node is not
        ready, five minutes later its Pods are evicted. Idempotent. Raises LookupError."""
        self._call(self._part.stop_node(name))

    def start(self, name: str) -> None:
        """Its kubelet is back, and finds its containers running. Idempotent. Raises LookupError."""
        self._call(self._part.start_node(name))
