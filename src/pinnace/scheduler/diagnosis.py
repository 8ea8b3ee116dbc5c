"""Why a Pod found no node, in kube-scheduler's words (clients and people match on them).

``0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate,
preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for
incoming pod.``
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``reasons``: how many nodes each reason turned down (a node may have several). ``dropped``: how many nodes each
    plugin turned down. ``unresolvable``: on how many nodes removing Pods would not help."""

    nodes: int
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, int] = field(default_factory=dict)
    unresolvable: int = 0

    def message(self) -> str:
        if self.nodes == 0:
            return NO_NODES
        head = f"0/{self.nodes} nodes are available"
        preemption = Counter({NOT_HELPFUL: self.unresolvable, NO_VICTIMS: self.nodes - self.unresolvable})
        return (
            f"{head}: {_listed(self.reasons)}. no new claims to deallocate, preemption: {head}: {_listed(preemption)}."
        )


def _listed(reasons: Counter[str]) -> str:
    """Sorted as text, count first, as upstream does."""
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items() if count))
