"""NodePorts: two Pods of one node cannot hold the same host port on the same address."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from pinnace.scheduler.nodes import HostPort, Mask, NodeTable, PodInfo, Rows

ANY = "0.0.0.0"


class NodePorts:
    name = "NodePorts"

    def prepare(self, info: PodInfo, table: NodeTable) -> tuple[HostPort, ...] | None:
        return info.host_ports or None

    def filter(self, state: tuple[HostPort, ...], table: NodeTable, rows: Rows) -> Mask:
        free = np.ones(len(table.present), np.bool_)
        for protocol, port, address in state:
            for row, taken in table.host_ports.get((protocol, port), {}).items():
                if address == ANY or ANY in taken or address in taken:
                    free[row] = False
        return free[rows]

    def explain(self, state: tuple[HostPort, ...], table: NodeTable, rejected: npt.NDArray[np.intp]) -> Counter[str]:
        return Counter({"node(s) didn't have free ports for the requested pod ports": len(rejected)})

    def resolvable(self, state: tuple[HostPort, ...], table: NodeTable, rejected: npt.NDArray[np.intp]) -> Mask:
        return np.ones(len(rejected), np.bool_)
