"""Placing Pods: filters, then scores, then the best node. Pure but for the table, on which a placed Pod is counted.

Pods of one signature share the work: after a placement only the node that took the Pod is evaluated again, until
anything else changes the table.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from pinnace.scheduler.diagnosis import Diagnosis
from pinnace.scheduler.framework import FilterPlugin, ScorePlugin, Scores
from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows


@dataclass(frozen=True, slots=True)
class Placement:
    """The node chosen with its total score, or why there is none."""

    node: str = ""
    score: float = 0.0
    diagnosis: Diagnosis | None = None


class _Evaluation:
    """All nodes' answers for the Pods of one signature."""

    __slots__ = ("feasible", "filters", "generation", "raw", "scorers", "signature")

    def __init__(self, info: PodInfo, table: NodeTable, filters: list[FilterPlugin], scores: list[ScorePlugin]) -> None:
        self.signature = info.signature
        self.filters = [(plugin, state) for plugin in filters if (state := plugin.prepare(info, table)) is not None]
        self.scorers = [
            (plugin, state) for plugin in scores if (state := plugin.prepare_score(info, table)) is not None
        ]
        self.generation = table.generation
        self.feasible: Mask = self._filter(table, slice(None))
        self.raw: list[Scores] = [plugin.score(state, table, slice(None)) for plugin, state in self.scorers]

    def _filter(self, table: NodeTable, rows: Rows) -> Mask:
        passed = table.present[rows].copy()
        for plugin, state in self.filters:
            passed &= plugin.filter(state, table, rows)
        return passed

    def update(self, table: NodeTable, row: int) -> None:
        """Evaluate one node again, whose Pods changed."""
        rows = slice(row, row + 1)
        self.feasible[rows] = self._filter(table, rows)
        for raw, (plugin, state) in zip(self.raw, self.scorers, strict=True):
            raw[rows] = plugin.score(state, table, rows)
        self.generation = table.generation

    def totals(self) -> Scores:
        total = np.zeros(len(self.feasible), np.float64)
        for raw, (plugin, _) in zip(self.raw, self.scorers, strict=True):
            total += plugin.weight * plugin.normalize(raw, self.feasible)
        return total


class Placer:
    """Chooses nodes with one set of plugins. Ties are broken by ``random``."""

    def __init__(
        self, table: NodeTable, filters: list[FilterPlugin], scores: list[ScorePlugin], random: Random
    ) -> None:
        self._table = table
        self._filters = filters
        self._scores = scores
        self._random = random
        self._last: _Evaluation | None = None

    def place(self, info: PodInfo) -> Placement:
        """The best node for a Pod, which is then counted there; or a diagnosis."""
        table = self._table
        if table.count == 0:
            return Placement(diagnosis=Diagnosis(0))
        evaluation = self._last
        if evaluation is None or evaluation.signature != info.signature or evaluation.generation != table.generation:
            evaluation = self._last = _Evaluation(info, table, self._filters, self._scores)
        candidates = np.flatnonzero(evaluation.feasible)
        if not len(candidates):
            return Placement(diagnosis=self.diagnose(info))
        totals = evaluation.totals()[candidates]
        best = totals.max()
        ties = candidates[totals == best]
        row = int(ties[0] if len(ties) == 1 else ties[self._random.randrange(len(ties))])
        table.add_pod(info, table.names[row])
        evaluation.update(table, row)
        return Placement(node=table.names[row], score=float(best))

    def diagnose(self, info: PodInfo) -> Diagnosis:
        """Which filter turned down how many nodes and why; a node is turned down by the first it does not pass."""
        table = self._table
        left: Mask = table.present.copy()
        reasons: Counter[str] = Counter()
        dropped: dict[str, int] = {}
        unresolvable = 0
        for plugin in self._filters:
            state: Any = plugin.prepare(info, table)
            if state is None:
                continue
            rejected = np.flatnonzero(left & ~plugin.filter(state, table, slice(None)))
            if len(rejected):
                dropped[plugin.name] = len(rejected)
                reasons.update(plugin.explain(state, table, rejected))
                unresolvable += int((~plugin.resolvable(state, table, rejected)).sum())
                left[rejected] = False
        return Diagnosis(table.count, reasons, dropped, unresolvable)
