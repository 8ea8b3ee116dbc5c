"""Whether a node takes a Pod that was bound to it: the last word, after the scheduler's and for Pods that it never saw.

A refused Pod is Failed at once and for good; nothing of it ever ran here. Critical Pods are taken even where the node
runs short of memory or disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinnace.api import meta, pods, qos
from pinnace.api.selectors import match_node_affinity
from pinnace.api.types import Object
from pinnace.kubelet.configuration import SYSTEM_CRITICAL
from pinnace.kubelet.lifecycle.situation import Waiting

#: What Pods may set of their own namespaces, with the namespace that it is of.
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced": "ipc",
    "net.ipv4.ip_local_port_range": "net",
    "net.ipv4.ip_local_reserved_ports": "net",
    "net.ipv4.ip_unprivileged_port_start": "net",
    "net.ipv4.ping_group_range": "net",
    "net.ipv4.tcp_fin_timeout": "net",
    "net.ipv4.tcp_keepalive_intvl": "net",
    "net.ipv4.tcp_keepalive_probes": "net",
    "net.ipv4.tcp_keepalive_time": "net",
    "net.ipv4.tcp_rmem": "net",
    "net.ipv4.tcp_syncookies": "net",
    "net.ipv4.tcp_wmem": "net",
}
_IPC = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_MEMORY = "MemoryPressure"
_MEMORY_TAINT = "node.kubernetes.io/memory-pressure"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What decides over a Pod. ``others`` are the Pods that the node has taken and that still count."""

    node: Object
    allocatable: Mapping[str, str]
    others: Sequence[Object]
    pressure: Collection[str] = ()
    shutting_down: bool = False
    unsafe_sysctls: Collection[str] = ()
    apparmor: bool = False


def refusal(pod: Object, state: NodeState) -> Waiting | None:
    """Reason and message of why the node does not take the Pod, None if it does."""
    return (
        _shutdown(state)
        or _pressure(pod, state)
        or _sysctls(pod, state.unsafe_sysctls)
        or _fits(pod, state)
        or _apparmor(pod, state.apparmor)
        or _groups(pod)
    )


def has_apparmor() -> bool:
    """Whether this machine's kernel enforces AppArmor profiles."""
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:  # a kernel without the module
        return False


def is_static(pod: Object) -> bool:
    """Whether the Pod comes from a file of the node."""
    return meta.annotations(pod).get("kubernetes.io/config.source", "api") != "api"


def is_critical(pod: Object) -> bool:
    return is_static(pod) or int(pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL


def _shutdown(state: NodeState) -> Waiting | None:
    if not state.shutting_down:
        return None
    return Waiting("NodeShutdown", "Pod was rejected as the node is shutting down.")


def _pressure(pod: Object, state: NodeState) -> Waiting | None:
    if not state.pressure or is_critical(pod):
        return None
    if set(state.pressure) == {_MEMORY}:
        tolerated = any(
            t.get("operator") == "Exists"
            and t.get("key") in (None, "", _MEMORY_TAINT)
            and t.get("effect") in (None, "", "NoSchedule")
            for t in pod["spec"].get("tolerations") or ()
        )
        if tolerated or qos.pod_qos(pod) != qos.BEST_EFFORT:
            return None
    return Waiting("Evicted", f"The node had condition: [{' '.join(sorted(state.pressure))}]. ")


def _sysctls(pod: Object, unsafe: Collection[str]) -> Waiting | None:
    spec = pod["spec"]
    for entry in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = dotted(entry["name"])
        allowed = name in unsafe or any(p.endswith("*") and name.startswith(p[:-1]) for p in unsafe)
        space = SAFE_SYSCTLS.get(name)
        if space is None and allowed:
            space = "ipc" if name.startswith(_IPC) else "net"
        if space is None:
            why = f'"{name}" not allowlisted'
        elif (space == "ipc" and spec.get("hostIPC")) or (space == "net" and spec.get("hostNetwork")):
            why = f'"{name}" not allowed with host {space} enabled'
        else:
            continue
        return Waiting("SysctlForbidden", f"forbidden sysctl: {why}")
    return None


def dotted(name: str) -> str:
    """A sysctl's name with dots between its parts: ``net/ipv4/conf/eth0.1/x`` is ``net.ipv4.conf.eth0/1.x``."""
    first = next((c for c in name if c in "./"), ".")
    return name if first == "." else name.translate({ord("/"): ".", ord("."): "/"})


def _fits(pod: Object, state: NodeState) -> Waiting | None:
    """Resources and node affinity and host ports, as kube-scheduler's filters have them."""
    if short := _insufficient(pod, state):
        return short
    if not is_static(pod) and not match_node_affinity(pod, state.node):
        return Waiting("NodeAffinity", "Predicate NodeAffinity failed")
    mine = set(_host_ports(pod))
    for other in state.others:
        for protocol, port, address in _host_ports(other):
            for own in mine:
                if own[:2] == (protocol, port) and (own[2] == address or "0.0.0.0" in (own[2], address)):
                    return Waiting("NodePorts", "Predicate NodePorts failed")
    return None


def _insufficient(pod: Object, state: NodeState) -> Waiting | None:
    free = pods.amounts(state.allocatable)
    wanted = pods.pod_requests(pod)
    used: dict[str, int] = {}
    for other in state.others:
        for name, amount in pods.pod_requests(other).items():
            used[name] = used.get(name, 0) + amount
    asked = {"pods": 1, **{name: amount for name, amount in wanted.items() if amount}}
    used["pods"] = len(state.others)
    for name, amount in asked.items():
        if "/" in name and name not in free:  # a resource of somebody else's, whom to ask is not known here
            continue
        have, taken = free.get(name, 0), used.get(name, 0)
        if amount > have - taken:
            text = f"requested: {amount}, used: {taken}, capacity: {have}"
            return Waiting(f"OutOf{name}", f"Node didn't have enough resource: {name}, {text}")
    return None


def _host_ports(pod: Object) -> Iterable[tuple[str, int, str]]:
    for spec in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        for port in spec.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("protocol") or "TCP", port["hostPort"], port.get("hostIP") or "0.0.0.0"


def _apparmor(pod: Object, enabled: bool) -> Waiting | None:
    if enabled:
        return None
    profiles = [(pod["spec"].get("securityContext") or {}).get("appArmorProfile")]
    profiles += [(c.get("securityContext") or {}).get("appArmorProfile") for c in pods.all_containers(pod["spec"])]
    if any(profile and profile.get("type") != "Unconfined" for profile in profiles):
        return Waiting("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None


def _groups(pod: Object) -> Waiting | None:
    """Only the runtime could leave out the groups that an image names, and containerd 1 does not."""
    policy = (pod["spec"].get("securityContext") or {}).get("supplementalGroupsPolicy") or "Merge"
    if policy == "Merge":
        return None
    reason = "SupplementalGroupsPolicyNotSupported"
    return Waiting(reason, f"SupplementalGroupsPolicy={policy} is not supported in this node")
