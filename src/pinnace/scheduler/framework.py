"""The extension points of scheduling, after kube-scheduler's framework (KEP-624), over arrays.

A plugin is a small class with a ``name`` and any of the methods below. ``prepare`` looks at the Pod once; what it
returns (None: this plugin has nothing to say) is handed to the other methods. ``rows`` is a slice of the table: all
nodes, or the single one that changed since the last Pod of the same kind.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows

Scores = npt.NDArray[np.float64]
MAX_SCORE = 100.0


@runtime_checkable
class FilterPlugin(Protocol):
    """Which nodes a Pod may run on."""

    name: str

    def prepare(self, info: PodInfo, table: NodeTable) -> Any:
        """PreFilter: what ``filter`` needs, or None if every node passes."""

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Mask:
        """Filter: True for the nodes of ``rows`` that pass."""

    def explain(self, state: Any, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        """Why the nodes in the rows ``rejected`` did not pass: reason -> how many, in kube-scheduler's words."""

    def resolvable(self, state: Any, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        """For each of ``rejected``: whether removing Pods from the node could make it pass."""


@runtime_checkable
class ScorePlugin(Protocol):
    """How well a Pod would do on a node. ``weight`` multiplies the scores of 0 to 100."""

    name: str
    weight: float

    def prepare_score(self, info: PodInfo, table: NodeTable) -> Any:
        """PreScore: what ``score`` needs, or None if all nodes are alike."""

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        """Score: raw scores of the nodes of ``rows``."""

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        """NormalizeScore: bring raw scores over all nodes to 0..100; only feasible nodes count."""


def no_node_resolvable(rejected: npt.NDArray[np.intp]) -> Mask:
    """The answer of filters that look at the node alone: removing Pods does not help."""
    return np.zeros(len(rejected), np.bool_)


def normalize_to_max(scores: Scores, feasible: Mask, *, reverse: bool) -> Scores:
    """Scale so that the largest feasible score becomes 100 (``reverse``: 0, and 0 becomes 100)."""
    largest = float(scores[feasible].max(initial=0.0))
    if largest == 0.0:
        return np.full_like(scores, MAX_SCORE if reverse else 0.0)
    scaled = np.floor(scores * MAX_SCORE / largest)
    return MAX_SCORE - scaled if reverse else scaled
