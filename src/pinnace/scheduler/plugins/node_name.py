"""NodeName: a Pod that names its node runs on that one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from pinnace.scheduler.framework import no_node_resolvable
from pinnace.scheduler.nodes import Mask, NodeTable, PodInfo, Rows


class NodeName:
    name = "NodeName"

    def prepare(self, info: PodInfo, table: NodeTable) -> int | None:
        wanted = info.pod["spec"].get("nodeName")
        return table.rows.get(wanted, -1) if wanted else None

    def filter(self, state: int, table: NodeTable, rows: Rows) -> Mask:
        passed = np.zeros(len(table.present), np.bool_)
        if state >= 0:
            passed[state] = True
        return passed[rows]

    def explain(self, state: int, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        return Counter({"node(s) didn't match the requested node name": len(rejected)})

    def resolvable(self, state: int, table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        return no_node_resolvable(rejected)
