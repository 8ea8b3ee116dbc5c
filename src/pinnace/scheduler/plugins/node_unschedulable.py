"""NodeUnschedulable: cordoned nodes take only Pods that tolerate the cordon's taint."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from pinnace.scheduler.framework import no_node_resolvable
from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows
from pinnace.scheduler.plugins.taint_toleration import tolerates

TAINT = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class NodeUnschedulable:
    name = "NodeUnschedulable"

    def prepare(self, info: PodInfo, table: NodeTable) -> bool | None:
        return None if tolerates(info.pod["spec"].get("tolerations") or (), TAINT) else True

    def filter(self, state: bool, table: NodeTable, rows: Rows) -> Mask:
        return ~table.unschedulable[rows]

    def explain(self, state: bool, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        return Counter({"node(s) were unschedulable": len(rejected)})

    def resolvable(self, state: bool, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        return no_node_resolvable(rejected)
