"""TaintToleration: NoSchedule and NoExecute taints must be tolerated; PreferNoSchedule ones lower the score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pinnace.api.types import Object
from pinnace.scheduler.framework import Scores, no_node_resolvable, normalize_to_max
from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows, Taint

Tolerations = Sequence[Object]


def tolerates(tolerations: Tolerations, taint: Taint) -> bool:
    """Whether any toleration matches the taint: same effect (or none named), same key (or none named with Exists), and
    the operator holds for the value (Equal, Exists, and Lt and Gt on numbers)."""
    key, value, effect = taint
    for toleration in tolerations:
        if toleration.get("effect") and toleration["effect"] != effect:
            continue
        if toleration.get("key") and toleration["key"] != key:
            continue
        operator = toleration.get("operator") or "Equal"
        wanted = toleration.get("value") or ""
        if operator == "Exists":
            return True
        if operator == "Equal" and toleration.get("key") and wanted == value:
            return True
        if operator in ("Lt", "Gt") and _is_integer(value) and _is_integer(wanted):
            if int(value) < int(wanted) if operator == "Lt" else int(value) > int(wanted):
                return True
    return False


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


class TaintToleration:
    name = "TaintToleration"
    weight = 3.0

    def prepare(self, info: PodInfo, table: NodeTable) -> Tolerations:
        return info.pod["spec"].get("tolerations") or ()

    def filter(self, state: Tolerations, table: NodeTable, rows: Rows) -> Mask:
        ids = table.taint_set[rows]
        if not ids.any():
            return np.ones(len(ids), np.bool_)
        passed = np.ones(len(table.taint_sets), np.bool_)
        for number in np.unique(ids):
            taints = table.taint_sets[number]
            passed[number] = all(t[2] == "PreferNoSchedule" or tolerates(state, t) for t in taints)
        return passed[ids]

    def explain(self, state: Tolerations, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        return Counter({"node(s) had untolerated taint(s)": len(rejected)})

    def resolvable(self, state: Tolerations, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        return no_node_resolvable(rejected)

    def prepare_score(self, info: PodInfo, table: NodeTable) -> Tolerations | None:
        if not any(t[2] == "PreferNoSchedule" for taints in table.taint_sets for t in taints):
            return None
        tolerations = info.pod["spec"].get("tolerations") or ()
        return [t for t in tolerations if t.get("effect") in (None, "", "PreferNoSchedule")]

    def score(self, state: Tolerations, table: NodeTable, rows: Rows) -> Scores:
        """How many PreferNoSchedule taints are not tolerated."""
        against = [
            sum(t[2] == "PreferNoSchedule" and not tolerates(state, t) for t in taints) for taints in table.taint_sets
        ]
        return np.array(against, np.float64)[table.taint_set[rows]]

    def normalize(self, scores: Scores, feasible: Mask) -> Scores:
        return normalize_to_max(scores, feasible, reverse=True)
