"""PodDisruptionBudgets: how many Pods may be evicted now."""

from __future__ import annotations

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS
from pinnace.api.types import GVR, Object, split_api_version
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import budget, kit, ownership, rollout
from pinnace.controllers.discovery import Discovered, discover
from pinnace.controllers.replicaset import REPLICATION_CONTROLLERS

BUDGETS = GVR("policy", "v1", "poddisruptionbudgets")


class DisruptionController(kit.Controller):
    """Keeps the status of budgets, which the eviction API draws on."""

    name = "disruption-controller"
    account = "disruption-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder("controllermanager")
        self._discovered: Discovered | None = None
        self._budgets = tools.informer(BUDGETS)
        self._pods = tools.informer(PODS)
        self._scaled = {
            "ReplicaSet": tools.informer(REPLICA_SETS),
            "ReplicationController": tools.informer(REPLICATION_CONTROLLERS),
            "StatefulSet": tools.informer(STATEFUL_SETS),
            "Deployment": tools.informer(DEPLOYMENTS),
        }
        self.watch(self._budgets)
        self._pods.add_handler(self._pod_changed)
        for informer in self._scaled.values():
            informer.add_handler(self._scale_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        for found in self._budgets.in_namespace(meta.namespace(pod)):
            match = selectors.label_selector(found["spec"].get("selector")).matches
            if any(version is not None and match(meta.labels(version)) for version in (old, new)):
                self.enqueue(found)

    def _scale_changed(self, old: Object | None, new: Object | None) -> None:
        """The size that was asked for counts before the Pods are there."""
        if old is None or new is None or rollout.replicas_of(old) != rollout.replicas_of(new):
            for found in self._budgets.in_namespace(meta.namespace(new if new is not None else old or {})):
                self.enqueue(found)

    async def sync(self, key: str) -> None:
        held = self._budgets.by_key(key)
        if held is None:
            return
        match = selectors.label_selector(held["spec"].get("selector")).matches
        pods = [pod for pod in self._pods.in_namespace(meta.namespace(held)) if match(meta.labels(pod))]
        now = self.clock.now()
        if not pods:
            self._events.event(held, NORMAL, "NoPods", "No matching pods found")
        try:
            expected = await self._expected(held, pods)
        except LookupError as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            self._events.event(held, WARNING, "CalculateExpectedPodCountFailed", message)
            conditions = budget.with_allowed(held, "False", "SyncFailed", str(error), now)
            await self._write(held, {**(held.get("status") or {}), "disruptionsAllowed": 0, "conditions": conditions})
            return
        evicting, wait = budget.disrupted(held, pods, now)
        await self._write(held, budget.status(held, pods, expected, evicting, now))
        if wait is not None:
            self.queue.add_after(key, wait)

    async def _write(self, held: Object, status: Object) -> None:
        if status != (held.get("status") or {}):
            await self.client.update(BUDGETS, {**held, "status": status}, subresource="status")

    async def _expected(self, held: Object, pods: list[Object]) -> int:
        """Pods that there should be. Raises LookupError for a controller without a scale."""
        if not budget.needs_scale(held):
            return len(pods)
        sizes: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            ref = meta.controller_of(pod)
            if ref is None:
                unmanaged.append(meta.name(pod))
            elif ref["uid"] not in sizes:
                uid, size = await self._scale(pod, ref)
                sizes[ref["uid"]] = 0
                sizes[uid] = size
        if unmanaged:
            message = (
                f"Pods selected by this PodDisruptionBudget (selector: "
                f"{selectors.label_selector(held['spec'].get('selector'))}) were found to be unmanaged. As a result, "
                "the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To "
                'account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self._events.event(held, WARNING, "UnmanagedPods", message)
        return sum(sizes.values())

    async def _scale(self, pod: Object, ref: Object) -> tuple[str, int]:
        """(uid, size) of what a Pod belongs to in the end: of a ReplicaSet's Deployment, if it has one."""
        owners = self._scaled.get(str(ref["kind"]))
        owner = ownership.controller_in(owners, pod, str(ref["kind"])) if owners is not None else None
        if owner is not None:
            upper = ownership.controller_in(self._scaled["Deployment"], owner, "Deployment")
            found = upper if upper is not None else owner
            return meta.uid(found), rollout.replicas_of(found)
        if owners is not None:  # gone: its Pods are on their way out
            return str(ref["uid"]), 0
        return str(ref["uid"]), await self._custom_scale(pod, ref)

    async def _custom_scale(self, pod: Object, ref: Object) -> int:
        at = (*split_api_version(str(ref["apiVersion"])), str(ref["kind"]))
        if self._discovered is None or at not in self._discovered.kinds:
            self._discovered = await discover(self.client)
        served = self._discovered.kinds.get(at)
        try:
            if served is None:
                raise LookupError(f"{ref['kind']} {ref['name']} is of an unknown kind")
            scale = await self.client.get(served.gvr, str(ref["name"]), meta.namespace(pod), subresource="scale")
        except ApiError as error:
            if is_reason(error, "NotFound", "MethodNotAllowed"):
                raise LookupError(f"{ref['kind']} {ref['name']} does not implement the scale subresource") from error
            raise
        return int((scale.get("spec") or {}).get("replicas") or 0)
