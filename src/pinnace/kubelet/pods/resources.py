"""What a container and a Pod may use, as the kernel is told."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta, pods, qos, quantity
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
    """CPU shares, CPU quota and memory limit of the whole Pod, its overhead included; a limit only if every container
    has one, or the Pod itself."""
    spec = pod["spec"]
    lasting = [*(spec.get("containers") or ()), *(c for c in spec.get("initContainers") or () if is_sidecar(c))]
    limits = pods.pod_limits(pod)
    shares = cpu_shares(pods.pod_requests(pod).get("cpu", 0))
    cpu, memory = (limits.get(name) if _is_limited(spec, lasting, name) else None for name in ("cpu", "memory"))
    return shares, cpu_quota(cpu) if cpu else None, memory


def _is_limited(spec: Object, containers: Iterable[Object], name: str) -> bool:
    if _amount(spec.get("resources") or {}, "limits", name):
        return True
    return all(_amount(c.get("resources") or {}, "limits", name) for c in containers)
