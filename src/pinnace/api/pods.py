"""What a Pod needs in all: requests and limits with init containers, sidecars, overhead and Pod-level resources.

Amounts are integers: CPU in thousandths of a core, everything else in whole units (bytes, counts), rounded up. The
rules are those of k8s.io/component-helpers ``resource``: the Pod needs the larger of its running containers together
(sidecars included) and of each init container together with the sidecars started before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pinnace.api import quantity
from pinnace.api.types import Object

CPU = "cpu"
MEMORY = "memory"
HUGE_PAGES_PREFIX = "hugepages-"


def amounts(resources: Mapping[str, str] | None) -> dict[str, int]:
    """A resource list as integers: ``{"cpu": "1", "memory": "1Ki"}`` is ``{"cpu": 1000, "memory": 1024}``.

    Raises QuantityError for a text that is no quantity.
    """
    if not resources:
        return {}
    return {
        name: quantity.milli_value(text) if name == CPU else quantity.value(text) for name, text in resources.items()
    }


def texts(resources: Mapping[str, int]) -> dict[str, str]:
    """The resource list that ``amounts`` reads back; memory-like resources in the binary format."""
    return {
        name: quantity.from_milli(amount)
        if name == CPU
        else quantity.from_value(amount, quantity.BINARY_SI if _is_bytes(name) else quantity.DECIMAL_SI)
        for name, amount in resources.items()
    }


def _is_bytes(name: str) -> bool:
    return name in (MEMORY, "ephemeral-storage", "storage") or name.startswith(HUGE_PAGES_PREFIX)


def is_sidecar(container: Object) -> bool:
    """Whether an init container restarts and so runs beside the main containers."""
    return container.get("restartPolicy") == "Always"


def is_pod_level(name: str) -> bool:
    """Whether ``spec.resources`` may speak of this resource."""
    return name in (CPU, MEMORY) or name.startswith(HUGE_PAGES_PREFIX)


def _add(into: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, 0) + amount


def _raise_to(into: dict[str, int], other: Mapping[str, int]) -> None:
    for name, amount in other.items():
        if amount > into.get(name, -1):
            into[name] = amount


def container_totals(pod: Object, which: str, missing: Mapping[str, int] | None = None) -> dict[str, int]:
    """The containers' ``requests`` or ``limits`` together, without overhead and Pod-level resources.

    ``missing`` stands in for resources that a container does not name (the scheduler's non-zero requests).
    """
    spec = pod.get("spec") or {}

    def of(container: Object) -> dict[str, int]:
        found = amounts((container.get("resources") or {}).get(which))
        return {**missing, **found} if missing else found

    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, of(container))
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        own = of(container)
        if is_sidecar(container):
            _add(total, own)
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise_to(peak, own)
    _raise_to(total, peak)
    return total


def pod_requests(pod: Object, *, overhead: bool = True, missing: Mapping[str, int] | None = None) -> dict[str, int]:
    """What a node must have free for the Pod. Raises QuantityError for a Pod that was never validated."""
    spec = pod.get("spec") or {}
    total = container_totals(pod, "requests", missing)
    for name, amount in amounts((spec.get("resources") or {}).get("requests")).items():
        if is_pod_level(name):
            total[name] = amount
    if overhead and spec.get("overhead"):
        _add(total, amounts(spec["overhead"]))
    return total


def pod_limits(pod: Object, *, overhead: bool = True) -> dict[str, int]:
    """What the Pod may use at most; resources without a limit are absent. Overhead is added to limits that exist."""
    spec = pod.get("spec") or {}
    total = container_totals(pod, "limits")
    for name, amount in amounts((spec.get("resources") or {}).get("limits")).items():
        if is_pod_level(name):
            total[name] = amount
    if overhead and spec.get("overhead"):
        _add(total, {name: more for name, more in amounts(spec["overhead"]).items() if total.get(name)})
    return total


def all_containers(spec: Object) -> Iterator[Object]:
    """Init, main and ephemeral containers of a Pod's spec, in that order."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()
