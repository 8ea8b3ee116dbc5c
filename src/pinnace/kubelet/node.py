"""A node's object and its Lease: registered once, kept current.

The status is written when it changes and every ``REPORT`` seconds; the Lease every ``RENEW`` seconds. Labels, taints
and annotations that others set stay: the node sends patches of what is its own, never a whole object.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import LEASES, NODES
from pinnace.api.types import Object
from pinnace.client.client import STRATEGIC_MERGE_PATCH, Client
from pinnace.core.clock import Clock, timestamp, timestamp_micro
from pinnace.core.memo import memo
from pinnace.kubelet.machine import Machine

log = logging.getLogger(__name__)

REPORT = 300.0
RENEW = 10.0
LEASE_SECONDS = 40
LEASE_NAMESPACE = "kube-node-lease"

#: Condition -> reason and message while it is false, and while it is true.
_PRESSURE = {
    "MemoryPressure": (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    "DiskPressure": (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    "PIDPressure": (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}


@dataclass(slots=True)
class NodeDescription:
    """What a node says of itself."""

    name: str
    ips: Sequence[str]
    port: int
    machine: Machine
    runtime: str
    runtime_version: str
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    taints: list[Object] = field(default_factory=list)
    images: list[Object] = field(default_factory=list)


@memo(64)
def _by_type(since: tuple[tuple[str, tuple[str, str]], ...]) -> Mapping[str, tuple[str, str]]:
    """One for all nodes that began in the same moment."""
    return dict(since)


def _none() -> str:
    return ""


class NodeAgent:
    """``problem()`` says why the node is not ready, "" if it is."""

    __slots__ = (
        "_client",
        "_clock",
        "_has_lease",
        "_problem",
        "_reported",
        "_reported_at",
        "_since",
        "_uid",
        "description",
        "pod_cidr",
        "pressure",
    )

    def __init__(
        self, client: Client, clock: Clock, description: NodeDescription, problem: Callable[[], str] = _none
    ) -> None:
        self.description = description
        self.pod_cidr = ""
        #: The conditions of being short of something that hold.
        self.pressure: Collection[str] = ()
        self._client = client
        self._clock = clock
        self._problem = problem
        self._reported = b""  # the last status's digest
        self._reported_at = float("-inf")
        self._uid = ""
        self._since: Mapping[str, tuple[str, str]] = {}  # condition -> status, since when
        self._has_lease = False

    @property
    def uid(self) -> str:
        """The Node object's, once it is registered."""
        return self._uid

    async def register(self) -> None:
        """Create the Node, or take over the one of this name, and report. Raises ApiError, OSError."""
        wanted = self._object()
        try:
            node = await self._client.create(NODES, wanted)
        except ApiError as error:
            if not is_reason(error, "AlreadyExists"):
                raise
            change = {"metadata": {k: v for k, v in wanted["metadata"].items() if k in ("labels", "annotations")}}
            self._learn(await self._client.patch(NODES, self.description.name, change))
            await self.report(force=True)
        else:
            self._learn(node)
            self._reported, self._reported_at = _digest(wanted["status"]), self._clock.monotonic()

    def _learn(self, node: Object) -> None:
        self._uid = meta.uid(node)
        since = tuple(
            (condition["type"], (condition["status"], condition["lastTransitionTime"]))
            for condition in (node.get("status") or {}).get("conditions") or ()
            if condition.get("lastTransitionTime")
        )
        self._since = _by_type(since)
        self.pod_cidr = str((node.get("spec") or {}).get("podCIDR") or "")

    async def refresh(self) -> None:
        """Read the Node again, for what others decide (podCIDR)."""
        self._learn(await self._client.get(NODES, self.description.name))

    def _object(self) -> Object:
        d = self.description
        architecture = d.machine.architecture
        labels = {
            "beta.kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": d.name,
            "kubernetes.io/os": "linux",
            **d.labels,
        }
        metadata: Object = {"name": d.name, "labels": labels}
        if d.annotations:
            metadata["annotations"] = d.annotations
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": metadata,
            "spec": {"taints": d.taints} if d.taints else {},
            "status": self._status(),
        }

    def _status(self) -> Object:
        d = self.description
        return {
            "addresses": [
                *({"type": "InternalIP", "address": ip} for ip in d.ips),
                {"type": "Hostname", "address": d.name},
            ],
            "allocatable": d.machine.allocatable(),
            "capacity": d.machine.capacity(),
            "conditions": self._conditions(),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": d.port}},
            "images": d.images,
            "nodeInfo": d.machine.node_info(d.runtime, d.runtime_version),
        }

    def _conditions(self) -> list[Object]:
        now = timestamp(self._clock.now())
        problem = self._problem()
        wanted = [
            (type, "True" if type in self.pressure else "False", *texts[type in self.pressure])
            for type, texts in _PRESSURE.items()
        ]
        if problem:
            wanted.append(("Ready", "False", "KubeletNotReady", problem))
        else:
            wanted.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
        conditions = []
        for type, status, reason, message in wanted:
            known, since = self._since.get(type, ("", now))
            if known != status:
                since = now
            conditions.append(
                {
                    "type": type,
                    "status": status,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": since,
                    "reason": reason,
                    "message": message,
                }
            )
        return conditions

    async def report(self, *, force: bool = False) -> None:
        """Write the status if it changed or is due. Registers anew if somebody deleted the Node."""
        status = self._status()
        due = force or self._clock.monotonic() - self._reported_at >= REPORT
        digest = _digest(status)
        if not due and digest == self._reported:
            return
        try:
            self._learn(
                await self._client.patch(
                    NODES,
                    self.description.name,
                    {"status": status},
                    subresource="status",
                    content_type=STRATEGIC_MERGE_PATCH,
                )
            )
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            log.warning("node %s is gone from the API server: registering it again", self.description.name)
            self._reported = b""
            await self.register()
            return
        self._reported, self._reported_at = digest, self._clock.monotonic()

    async def renew(self) -> None:
        """Renew the node's Lease, making it if need be."""
        name = self.description.name
        now = timestamp_micro(self._clock.now())
        if not self._has_lease:
            await self._find_or_create(now)
            self._has_lease = True
            return
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": now}}, LEASE_NAMESPACE)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            await self._find_or_create(now)

    async def _find_or_create(self, now: str) -> None:
        name = self.description.name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        lease = {
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": spec,
        }
        try:
            await self._client.create(LEASES, lease)
            return
        except ApiError as error:
            if not is_reason(error, "AlreadyExists"):
                raise
        change = {"metadata": {"ownerReferences": [owner]}, "spec": spec}
        await self._client.patch(LEASES, name, change, LEASE_NAMESPACE)


def _digest(status: Object) -> bytes:
    """Of a status without what changes at every report."""
    conditions = [
        {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
    ]
    return blake2b(orjson.dumps({**status, "conditions": conditions}), digest_size=16).digest()
