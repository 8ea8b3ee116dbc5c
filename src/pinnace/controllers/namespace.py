"""The end of a Namespace: delete everything in it, Pods first, wait until it is gone, then let the Namespace go.

What is left to do is read from the API each time, so a restart in the middle carries on. Progress is told in the
Namespace's conditions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.resources import NAMESPACES, PODS
from pinnace.api.types import GVR, Object
from pinnace.controllers import kit, podstate
from pinnace.controllers.discovery import Discovered, Served, discover
from pinnace.core.clock import timestamp

FINALIZER = "kubernetes"
#: How long content that waits for its own finalizers is estimated to take, in seconds.
_FINALIZER_ESTIMATE = 15


@dataclass
class Outcome:
    """What one round of deleting found."""

    discovery_failures: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    remaining: dict[GVR, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    estimate: int = 0  # seconds until what remains may be gone

    @property
    def is_empty(self) -> bool:
        return not (self.discovery_failures or self.errors or self.remaining)


def outcome_conditions(outcome: Outcome, held: list[Object], now: float) -> list[Object]:
    """The Namespace's conditions after a round. Those of failures appear once they fail, or as False beside others."""
    failed_groups = ", ".join(f"{gv}: {why}" for gv, why in outcome.discovery_failures.items())
    errors = ", ".join(sorted(outcome.errors))
    remaining = ", ".join(
        f"{gvr.resource}.{gvr.group} has {count} resource instances"
        for gvr, count in sorted(outcome.remaining.items(), key=lambda item: (item[0].resource, item[0].group))
    )
    finalizers = ", ".join(
        f"{name} in {count} resource instances" for name, count in sorted(outcome.finalizers.items())
    )
    rows = (
        (
            "NamespaceDeletionDiscoveryFailure",
            bool(outcome.discovery_failures),
            (
                "DiscoveryFailed",
                f"Discovery failed for some groups, {len(outcome.discovery_failures)} failing: {failed_groups}",
            ),
            ("ResourcesDiscovered", "All resources successfully discovered"),
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            ("GroupVersionParsingFailed", ""),
            ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ),
        (
            "NamespaceDeletionContentFailure",
            bool(outcome.errors),
            (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(outcome.errors)} remaining: {errors}",
            ),
            ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ),
        (
            "NamespaceContentRemaining",
            bool(outcome.remaining),
            ("SomeResourcesRemain", f"Some resources are remaining: {remaining}"),
            ("ContentRemoved", "All content successfully removed"),
        ),
        (
            "NamespaceFinalizersRemaining",
            bool(outcome.finalizers),
            ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {finalizers}"),
            ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        ),
    )
    conditions = {condition["type"]: condition for condition in held}
    for type, fails, failing, fine in rows:
        reason, message = failing if fails else fine
        status = "True" if fails else "False"
        old = conditions.get(type)
        if old is not None and (old["status"], old.get("reason"), old.get("message")) == (status, reason, message):
            continue
        same = old is not None and old["status"] == status
        since = old["lastTransitionTime"] if old is not None and same else timestamp(now)
        conditions[type] = {
            "type": type,
            "status": status,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }
    return list(conditions.values())


class NamespaceController(kit.Controller):
    """Empties and finalizes Namespaces that are being deleted."""

    name = "namespace-controller"
    account = "namespace-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._namespaces = tools.informer(NAMESPACES)
        self._pods = tools.informer(PODS)
        self._namespaces.add_handler(self._changed)
        self._pods.add_handler(self._pod_changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and meta.is_deleting(new):
            self.enqueue(new)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            namespace = self._namespaces.get(meta.namespace(old))
            if namespace is not None and meta.is_deleting(namespace):
                self.enqueue(namespace)

    async def sync(self, key: str) -> None:
        try:
            namespace = await self.client.get(NAMESPACES, key)
            if meta.is_deleting(namespace):
                await self._delete(namespace)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise

    async def _delete(self, namespace: Object) -> None:
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            status = {**(namespace.get("status") or {}), "phase": "Terminating"}
            namespace = await self.client.update(NAMESPACES, {**namespace, "status": status}, subresource="status")
        if FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return
        outcome = await self._empty(meta.name(namespace))
        held = list((namespace.get("status") or {}).get("conditions") or ())
        conditions = outcome_conditions(outcome, held, self.clock.now())
        if conditions != held and (held or not outcome.is_empty):
            status = {**namespace["status"], "conditions": conditions}
            namespace = await self.client.update(NAMESPACES, {**namespace, "status": status}, subresource="status")
        if outcome.is_empty:
            await self._finalize(namespace)
        elif outcome.estimate > 0:
            self.queue.add_after(meta.name(namespace), outcome.estimate // 2 + 1)
        else:
            raise RuntimeError(
                f"content of namespace {meta.name(namespace)} remains: {outcome.errors or outcome.remaining}"
            )

    async def _finalize(self, namespace: Object) -> None:
        finalizers = [name for name in namespace["spec"].get("finalizers") or () if name != FINALIZER]
        spec = {**namespace["spec"], "finalizers": finalizers}
        await self.client.update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")

    async def _empty(self, space: str) -> Outcome:
        """Delete all that is in ``space``; other resources only once no Pod is left, for Pods may use them."""
        outcome = Outcome()
        found: Discovered = await discover(self.client)
        outcome.discovery_failures = found.failures
        deletable = [served for served in found.resources if served.namespaced and {"delete", "list"} <= served.verbs]
        await self._empty_of([served for served in deletable if served.gvr == PODS], space, outcome)
        if not outcome.remaining:
            await self._empty_of([served for served in deletable if served.gvr != PODS], space, outcome)
        return outcome

    async def _empty_of(self, resources: Iterable[Served], space: str, outcome: Outcome) -> None:
        for served in resources:
            try:
                await self._delete_all(served, space, outcome)
            except (ApiError, OSError, TimeoutError) as error:
                if not is_reason(error, "NotFound", "MethodNotAllowed"):
                    outcome.errors.append(str(error))

    async def _delete_all(self, served: Served, space: str, outcome: Outcome) -> None:
        items = await self._items(served.gvr, space)
        if not items:
            return
        estimate = _pod_grace(items) if served.gvr == PODS else 0
        if "deletecollection" in served.verbs:
            await self.client.delete_collection(served.gvr, space, propagation="Background")
        else:
            for item in items:
                await self.client.delete(served.gvr, meta.name(item), space, propagation="Background")
        left = await self._items(served.gvr, space)
        if not left:
            return
        outcome.remaining[served.gvr] = len(left)
        for name in (name for item in left for name in meta.finalizers(item)):
            outcome.finalizers[name] = outcome.finalizers.get(name, 0) + 1
            estimate = estimate or _FINALIZER_ESTIMATE
        if estimate == 0:
            outcome.errors.append(
                f"unexpected items still remain in namespace: {space} for gvr: "
                f"{served.gvr.group}/{served.gvr.version}, Resource={served.gvr.resource}"
            )
        outcome.estimate = max(outcome.estimate, estimate)

    async def _items(self, gvr: GVR, space: str) -> list[Object]:
        return list((await self.client.list(gvr, space)).get("items") or ())


def _pod_grace(pods: Iterable[Object]) -> int:
    """The longest grace that a running Pod has, in seconds."""
    graces = (
        int(pod["spec"].get("terminationGracePeriodSeconds") or 0) for pod in pods if not podstate.is_terminal(pod)
    )
    return max(graces, default=0)
