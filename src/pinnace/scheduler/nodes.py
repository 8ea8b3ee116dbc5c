"""The nodes as rows of NumPy arrays, kept current by events.

A node keeps its row while it exists; a freed row is used again. ``present`` masks the rows in use. Label values and
taint lists are interned, so that a rule looks at each distinct one once and at nodes only through integer arrays.

>>> table = NodeTable()
>>> row = table.set_node({"metadata": {"name": "a", "labels": {"disk": "ssd"}},
...                       "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}}})
>>> bool(table.label_equals("disk", "ssd")[row]), int(table.allocatable[row, CPU])
(True, 2000)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pinnace.api import meta, pods, quantity
from pinnace.api.types import Object

Mask = npt.NDArray[np.bool_]
Rows = slice

#: Columns of the resource arrays that every node has; other resources get further columns as they appear.
CPU, MEMORY, STORAGE, PODS = range(4)
#: What a Pod that asks for nothing counts for when nodes are compared by load: 100m and 200 MB (kube-scheduler).
DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024

Taint = tuple[str, str, str]  # key, value, effect
HostPort = tuple[str, int, str]  # protocol, port, address ("0.0.0.0" for all)


class PodInfo:
    """What scheduling needs of one Pod, computed once. Milli-CPU, bytes, counts."""

    __slots__ = ("host_ports", "key", "nonzero", "pod", "priority", "requests", "signature", "uid")

    def __init__(self, pod: Object) -> None:
        spec = pod["spec"]
        self.pod = pod
        self.key = meta.key(pod)
        self.uid = meta.uid(pod)
        self.requests = pods.pod_requests(pod)
        self.nonzero = (self.requests.get("cpu") or DEFAULT_CPU, self.requests.get("memory") or DEFAULT_MEMORY)
        self.priority = int(spec.get("priority") or 0)
        self.host_ports = host_ports(spec)
        self.signature = signature(spec, self.requests)


def host_ports(spec: Object) -> tuple[HostPort, ...]:
    found: list[HostPort] = []
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if spec.get("hostNetwork") else 0)
            if number:
                found.append((port.get("protocol") or "TCP", number, port.get("hostIP") or "0.0.0.0"))
    return tuple(found)


def signature(spec: Object, requests: dict[str, int]) -> str:
    """Equal for Pods to which every rule gives the same answer on the same nodes."""
    return repr(
        (
            sorted(requests.items()),
            spec.get("nodeName"),
            spec.get("nodeSelector"),
            (spec.get("affinity") or {}).get("nodeAffinity"),
            spec.get("tolerations"),
            host_ports(spec),
        )
    )


class NodeTable:
    """See the module's docstring."""

    def __init__(self, capacity: int = 16) -> None:
        self.names: list[str] = []
        self.count = 0  # nodes present
        self.size = 0  # rows in use or freed
        self.generation = 0  # counts changes that can alter a rule's answer
        self.resources: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "ephemeral-storage": STORAGE, "pods": PODS}
        self.allocatable = np.zeros((capacity, 4), np.int64)
        self.requested = np.zeros((capacity, 4), np.int64)
        self.nonzero = np.zeros((capacity, 2), np.int64)
        self.present = np.zeros(capacity, np.bool_)
        self.unschedulable = np.zeros(capacity, np.bool_)
        self.taint_set = np.zeros(capacity, np.int32)
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.rows: dict[str, int] = {}
        self.host_ports: dict[tuple[str, int], dict[int, list[str]]] = {}  # (protocol, port) -> row -> addresses
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._labels: dict[str, npt.NDArray[np.int32]] = {}  # label -> value code per row; 0: not there
        self._values: dict[str, dict[str, int]] = {}  # label -> value -> code, from 1
        self._free: list[int] = []
        self._pods: dict[str, tuple[int, PodInfo]] = {}
        self._homeless: dict[str, dict[str, PodInfo]] = {}  # Pods on nodes that are not (yet) known

    # -- nodes

    def set_node(self, node: Object) -> int:
        """Add or change a node; its row."""
        self.generation += 1
        name = meta.name(node)
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        columns = [self.column(resource) for resource in allocatable]
        self.allocatable[row] = 0
        for column, (resource, amount) in zip(columns, allocatable.items(), strict=True):
            number = quantity.milli_value(amount) if resource == "cpu" else quantity.value(amount)
            self.allocatable[row, column] = number
        spec = node.get("spec") or {}
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        taints = tuple((t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ())
        self.taint_set[row] = self._intern_taints(taints)
        labels = meta.labels(node)
        for key, codes in self._labels.items():
            if key not in labels:
                codes[row] = 0
        for key, value in labels.items():
            self._label_column(key)[row] = self._code(key, value)
        for info in self._homeless.pop(name, {}).values():
            self.add_pod(info, name)
        return row

    def remove_node(self, name: str) -> None:
        row = self.rows.pop(name, None)
        if row is None:
            return
        self.generation += 1
        self.present[row] = False
        self.count -= 1
        self.names[row] = ""
        self._free.append(row)
        for uid in [uid for uid, (at, _) in self._pods.items() if at == row]:
            _, info = self._pods.pop(uid)
            self._account(row, info, -1)
            self._homeless.setdefault(name, {})[uid] = info

    def _new_row(self, name: str) -> int:
        if self._free:
            row = self._free.pop()
            self.names[row] = name
        else:
            row = self.size
            self.size += 1
            self.names.append(name)
            if row >= len(self.present):
                self._grow()
        self.rows[name] = row
        self.present[row] = True
        self.count += 1
        return row

    def _grow(self) -> None:
        extra = len(self.present)

        def longer(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.concatenate([array, np.zeros((extra, *array.shape[1:]), array.dtype)])

        self.allocatable = longer(self.allocatable)
        self.requested = longer(self.requested)
        self.nonzero = longer(self.nonzero)
        self.present = longer(self.present)
        self.unschedulable = longer(self.unschedulable)
        self.taint_set = longer(self.taint_set)
        self._labels = {key: longer(codes) for key, codes in self._labels.items()}

    def column(self, resource: str) -> int:
        """The column of a resource, made if it is new."""
        column = self.resources.get(resource)
        if column is None:
            column = self.resources[resource] = self.allocatable.shape[1]
            empty = np.zeros((len(self.present), 1), np.int64)
            self.allocatable = np.hstack([self.allocatable, empty])
            self.requested = np.hstack([self.requested, empty])
        return column

    def _intern_taints(self, taints: tuple[Taint, ...]) -> int:
        known = self._taint_ids.get(taints)
        if known is None:
            known = self._taint_ids[taints] = len(self.taint_sets)
            self.taint_sets.append(taints)
        return known

    # -- labels

    def _label_column(self, key: str) -> npt.NDArray[np.int32]:
        codes = self._labels.get(key)
        if codes is None:
            codes = self._labels[key] = np.zeros(len(self.present), np.int32)
        return codes

    def _code(self, key: str, value: str) -> int:
        values = self._values.setdefault(key, {})
        return values.setdefault(value, len(values) + 1)

    def label_equals(self, key: str, value: str, rows: Rows = slice(None)) -> Mask:
        return self.label_in(key, (value,), rows)

    def label_exists(self, key: str, rows: Rows = slice(None)) -> Mask:
        codes = self._labels.get(key)
        if codes is None:
            return np.zeros(len(self.present[rows]), np.bool_)
        return np.asarray(codes[rows] != 0, np.bool_)

    def label_in(self, key: str, values: tuple[str, ...], rows: Rows = slice(None)) -> Mask:
        codes = self._labels.get(key)
        known = self._values.get(key, {})
        wanted = [known[value] for value in values if value in known]
        if codes is None or not wanted:
            return np.zeros(len(self.present[rows]), np.bool_)
        if len(wanted) == 1:
            return np.asarray(codes[rows] == wanted[0])
        return np.asarray(np.isin(codes[rows], wanted), np.bool_)

    def label_values(self, key: str) -> dict[str, int]:
        """Every value seen of a label and its code; see ``label_codes``."""
        return self._values.get(key, {})

    def label_codes(self, key: str, rows: Rows = slice(None)) -> npt.NDArray[np.int32]:
        return self._label_column(key)[rows]

    # -- Pods

    def add_pod(self, info: PodInfo, node: str) -> None:
        """Count a Pod on its node; a Pod known already is moved."""
        row = self.rows.get(node)
        known = self._pods.get(info.uid)
        if known is not None and known[0] == row and known[1].signature == info.signature:
            self._pods[info.uid] = (row, info)
            return
        self.remove_pod(info.uid)
        if row is None:
            self._homeless.setdefault(node, {})[info.uid] = info
            return
        self._account(row, info, 1)
        self._pods[info.uid] = (row, info)

    def remove_pod(self, uid: str) -> None:
        """Forget a Pod that is gone or has finished; no effect if it is not counted."""
        known = self._pods.pop(uid, None)
        if known is not None:
            self._account(*known, -1)
            return
        for node, members in list(self._homeless.items()):
            if members.pop(uid, None) is not None and not members:
                del self._homeless[node]

    def pods_on(self, row: int) -> list[PodInfo]:
        return [info for at, info in self._pods.values() if at == row]

    def node_of(self, uid: str) -> str:
        """The name of the node that a Pod is counted on, or ""."""
        known = self._pods.get(uid)
        return self.names[known[0]] if known else ""

    def _account(self, row: int, info: PodInfo, sign: int) -> None:
        self.generation += 1
        for resource, amount in info.requests.items():
            column = self.column(resource)  # may make the arrays anew, so not within the next line
            self.requested[row, column] += sign * amount
        self.requested[row, PODS] += sign
        self.nonzero[row, 0] += sign * info.nonzero[0]
        self.nonzero[row, 1] += sign * info.nonzero[1]
        for protocol, port, address in info.host_ports:
            by_row = self.host_ports.setdefault((protocol, port), {})
            if sign > 0:
                by_row.setdefault(row, []).append(address)
            else:
                by_row[row].remove(address)
                if not by_row[row]:
                    del by_row[row]
