"""NodeResourcesFit: what a Pod requests must be left on the node; emptier nodes score higher (LeastAllocated)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from pinnace.scheduler.framework import MAX_SCORE, Scores
from pinnace.scheduler.nodes import CPU, MEMORY, PODS, Mask, NodeTable, PodInfo, Rows

Requests = list[tuple[str, int, int]]  # resource, column, amount


class NodeResourcesFit:
    name = "NodeResourcesFit"
    weight = 1.0

    def prepare(self, info: PodInfo, table: NodeTable) -> Requests:
        wanted = [(name, table.column(name), amount) for name, amount in info.requests.items() if amount > 0]
        return [("pods", PODS, 1), *wanted]

    def filter(self, state: Requests, table: NodeTable, rows: Rows) -> Mask:
        passed = np.ones(len(table.present[rows]), np.bool_)
        for _, column, amount in state:
            passed &= table.requested[rows, column] + amount <= table.allocatable[rows, column]
        return passed

    def explain(self, state: Requests, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        reasons: Counter[str] = Counter()
        for name, column, amount in state:
            short = table.requested[rejected, column] + amount > table.allocatable[rejected, column]
            if count := int(short.sum()):
                reasons["Too many pods" if name == "pods" else f"Insufficient {name}"] += count
        return reasons

    def resolvable(self, state: Requests, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        """Not where the Pod asks for more than the whole node has."""
        passed = np.ones(len(rejected), np.bool_)
        for _, column, amount in state:
            passed &= amount <= table.allocatable[rejected, column]
        return passed

    def prepare_score(self, info: PodInfo, table: NodeTable) -> tuple[int, int]:
        return info.nonzero

    def score(self, state: tuple[int, int], table: NodeTable, rows: Rows) -> Scores:
        """The mean over CPU and memory of the share that is left, 0 to 100."""
        allocatable = table.allocatable[rows][:, (CPU, MEMORY)]
        left = allocatable - table.nonzero[rows] - np.array(state)
        share = np.where(allocatable > 0, np.clip(left, 0, None) * MAX_SCORE // np.maximum(allocatable, 1), 0.0)
        return np.asarray(share.sum(axis=1) // 2)

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return scores
