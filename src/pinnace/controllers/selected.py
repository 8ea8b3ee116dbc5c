"""The Pods that Services select, and which of them changed since a Service was last looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.informer import Informer

#: Services of more Pods than this are followed change by change; others are computed anew, and nothing of them is kept.
LARGE = 200


def facets(pod: Object | None) -> tuple[object, ...]:
    """All that endpoints show of a Pod; a change of anything else does not concern them."""
    if pod is None:
        return ()
    status, spec = pod.get("status") or {}, pod["spec"]
    return (
        meta.uid(pod),
        meta.labels(pod),
        meta.is_deleting(pod),
        status.get("phase") in ("Succeeded", "Failed"),
        status.get("podIPs"),
        status.get("podIP"),
        meta.has_condition(pod, "Ready"),
        spec.get("nodeName"),
    )


def selects(service: Object, pod: Object | None) -> bool:
    selector = service["spec"].get("selector")
    return pod is not None and bool(selector) and selector.items() <= meta.labels(pod).items()


class Selected:
    """Tells ``add`` the key of every Service that a Pod's change concerns."""

    def __init__(self, services: Informer, pods: Informer, add: Callable[[str], None]) -> None:
        self._services = services
        self._pods = pods
        self._add = add
        self._changed: dict[str, set[str]] = {}  # keys of Pods, by Service
        pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if facets(old) == facets(new):
            return
        pod = new if new is not None else old or {}
        for service in self._services.in_namespace(meta.namespace(pod)):
            if selects(service, old) or selects(service, new):
                self._changed.setdefault(meta.key(service), set()).add(meta.key(pod))
                self._add(meta.key(service))

    def all(self, service: Object) -> list[Object]:
        """Every Pod that the Service selects."""
        return [pod for pod in self._pods.in_namespace(meta.namespace(service)) if selects(service, pod)]

    def of(self, service: Object, keys: Iterable[str]) -> list[Object]:
        """Those of the Pods with these keys that there are and the Service selects."""
        found = (self._pods.by_key(key) for key in keys)
        return [pod for pod in found if pod is not None and selects(service, pod)]

    def take(self, service: str) -> set[str]:
        """The keys of the Pods that came to, left or changed for the Service since the last call."""
        return self._changed.pop(service, set())


class TriggerTimes:
    """When what a Service's endpoints show last changed, for the annotation that measures programming latency."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = {}  # service key -> pod key -> its last change

    def compute(self, service: Object, pods: Iterable[Object], changed: Set[str] | None = None) -> str:
        """The earliest change since the last call; ``""`` if none is known. ``pods`` are all of the Service's, or those
        of the ``changed`` keys that it still selects."""
        key = meta.key(service)
        before = self._seen.get(key)
        changes: list[str] = [] if before is not None else [str(service["metadata"].get("creationTimestamp") or "")]
        now = before if before is not None and changed is not None else {}
        last: dict[str, str] = {}
        for pod in pods:
            ready = meta.condition(pod, "Ready")
            at = str((ready or {}).get("lastTransitionTime") or "")
            if not at:
                continue
            last[meta.key(pod)] = at
            if before is not None and at > before.get(meta.key(pod), ""):
                changes.append(at)
        for name in changed or ():
            now.pop(name, None)
        now.update(last)
        self._seen[key] = now
        return min((change for change in changes if change), default="")

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)
