"""NodeResourcesBalancedAllocation: prefer nodes whose CPU and memory would be used to the same degree."""

from __future__ import annotations

import numpy as np

from pinnace.scheduler.framework import MAX_SCORE, Scores
from pinnace.scheduler.nodes import CPU, MEMORY, Mask, NodeTable, PodInfo, Rows


class BalancedAllocation:
    name = "NodeResourcesBalancedAllocation"
    weight = 1.0

    def prepare_score(self, info: PodInfo, table: NodeTable) -> tuple[int, int] | None:
        """Nothing to balance for a Pod that requests neither."""
        wanted = (info.requests.get("cpu", 0), info.requests.get("memory", 0))
        return wanted if any(wanted) else None

    def score(self, state: tuple[int, int], table: NodeTable, rows: Rows) -> Scores:
        """100 less the standard deviation of the two shares, which of two values is half their distance."""
        allocatable = np.maximum(table.allocatable[rows][:, (CPU, MEMORY)], 1)
        share = np.minimum((table.requested[rows][:, (CPU, MEMORY)] + np.array(state)) / allocatable, 1.0)
        return np.asarray(np.floor((1.0 - np.abs(share[:, 0] - share[:, 1]) / 2.0) * MAX_SCORE))

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return scores
