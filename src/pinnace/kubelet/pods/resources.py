"""What a container and a Pod may use, as the kernel is told."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta, qos, quantity
from pinnace.api.types import Object
from pinnace.kubelet.lifecycle.qos import oom_score_adjustment
from pinnace.kubelet.lifecycle.situation import is_sidecar
from pinnace.kubelet.runtime.base import Config

PERIOD = 100_000
MIN_SHARES = 2
MIN_QUOTA = 1000


def cpu_shares(milli: int) -> int:
    return min(max(milli * 1024 // 1000, MIN_SHARES), 262_144)


def cpu_quota(milli: int) -> int:
    return max(milli * PERIOD // 1000, MIN_QUOTA)


def _amount(resources: Object, group: str, name: str) -> int | None:
    text = (resources.get(group) or {}).get(name)
    if text is None:
        return None
    return quantity.milli_value(text) if name == "cpu" else quantity.value(text)


def container_resources(pod: Object, spec: Object, machine_memory: int) -> Config:
    """CRI's LinuxContainerResources."""
    resources = spec.get("resources") or {}
    limit, memory = _amount(resources, "limits", "cpu"), _amount(resources, "limits", "memory")
    request = _amount(resources, "requests", "cpu")
    if request is None:
        request = limit or 0
    found: Config = {
        "cpu_period": PERIOD,
        "cpu_shares": cpu_shares(request),
        "oom_score_adj": oom_score_adjustment(pod, spec, machine_memory),
    }
    if limit:
        found["cpu_quota"] = cpu_quota(limit)
    if memory:
        found["memory_limit_in_bytes"] = memory
    return found


def cgroup_parent(pod: Object) -> str:
    """The Pod's own cgroup, under its class's: ``/kubepods/burstable/pod<uid>``."""
    kind = qos.pod_qos(pod)
    middle = "" if kind == qos.GUARANTEED else f"/{kind.lower()}"
    return f"/kubepods{middle}/pod{meta.uid(pod)}"


def pod_limits(pod: Object) -> tuple[int, int | None, int | None]:
    """CPU shares, CPU quota and memory limit of the whole Pod; a limit only if every container has one."""
    regular = pod["spec"].get("containers") or []
    inits = pod["spec"].get("initContainers") or []
    lasting = [*regular, *(c for c in inits if is_sidecar(c))]
    shares = cpu_shares(_total(lasting, inits, "requests", "cpu") or _total(lasting, inits, "limits", "cpu") or 0)
    cpu = _total(lasting, inits, "limits", "cpu") if _all_have(lasting, "cpu") else None
    memory = _total(lasting, inits, "limits", "memory") if _all_have(lasting, "memory") else None
    return shares, cpu_quota(cpu) if cpu else None, memory


def _all_have(containers: Iterable[Object], name: str) -> bool:
    return all(_amount(c.get("resources") or {}, "limits", name) for c in containers)


def _total(lasting: list[Object], inits: list[Object], group: str, name: str) -> int:
    """What runs together, or the largest init container if that is more."""
    together = sum(_amount(c.get("resources") or {}, group, name) or 0 for c in lasting)
    alone = [_amount(c.get("resources") or {}, group, name) or 0 for c in inits if not is_sidecar(c)]
    return max([together, *alone])
