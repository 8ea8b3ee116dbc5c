"""StatefulSets: Pods with names and claims of their own, one after the other."""

from __future__ import annotations

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import PODS, STATEFUL_SETS
from pinnace.api.types import GVR, Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import kit, ownership, podstate, revisions, stateful

CLAIMS = GVR("", "v1", "persistentvolumeclaims")


class StatefulSetController(kit.Controller):
    """Carries out what ``stateful`` computes. Names are fixed, so nothing is made twice whatever the cache shows."""

    name = "statefulset-controller"
    account = "statefulset-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._sets = tools.informer(STATEFUL_SETS)
        self._pods = tools.informer(PODS)
        self._held_claims = tools.informer(CLAIMS)
        self._claims = ownership.Claims(self.client, STATEFUL_SETS, PODS, self._pods)
        self._revisions = revisions.Revisions(
            tools, self.client, STATEFUL_SETS, hash_label="controller.kubernetes.io/hash"
        )
        self.watch(self._sets)
        self._pods.add_handler(self._pod_changed)

    @staticmethod
    def _match(owner: Object) -> ownership.Matcher:
        return selectors.label_selector(owner["spec"].get("selector")).matches

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            owner = ownership.controller_in(self._sets, version, "StatefulSet")
            if owner is not None:
                self.enqueue(owner)
        if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
            space = meta.namespace(new)
            for found in ownership.owners_matching(self._sets, space, meta.labels(new), self._match):
                self.enqueue(found)

    async def sync(self, key: str) -> None:
        owner = self._sets.by_key(key)
        if owner is None:
            return
        match = self._match(owner)
        updated, history, collisions = await self._revisions.bring_up_to_date(owner, match)
        pods = await self._claims.claim(
            owner, match, adoptable=lambda pod: stateful.ordinal(owner, pod) is not None and podstate.is_active(pod)
        )
        named = str((owner.get("status") or {}).get("currentRevision") or meta.name(updated))
        current = next((revision for revision in history if meta.name(revision) == named), updated)
        now = self.clock.now()
        plan = stateful.plan(owner, pods, meta.name(updated), now)
        await self._carry_out(owner, pods, plan, current, updated)
        status = stateful.status(owner, pods, meta.name(current), meta.name(updated), collisions, now)
        if status != (owner.get("status") or {}):
            await self.client.update(STATEFUL_SETS, {**owner, "status": status}, subresource="status")
        used = {meta.labels(pod).get(revisions.HASH_LABEL, "") for pod in pods}
        used |= {meta.name(current), meta.name(updated)}
        await self._revisions.clean_up(history, used, owner["spec"].get("revisionHistoryLimit"))
        wait = podstate.next_availability(pods, stateful.min_ready_seconds(owner), now)
        if wait is not None:
            self.queue.add_after(key, wait)

    async def _carry_out(
        self, owner: Object, pods: list[Object], plan: stateful.Plan, current: Object, updated: Object
    ) -> None:
        for number in plan.create:
            revision = current if stateful.wants_current(owner, number) else updated
            made = await self._create(owner, revision, number)
            if made is not None:
                pods.append(made)
        for pod in plan.recreate:
            where = f"{meta.namespace(owner)}/{meta.name(owner)}"
            message = f"StatefulSet {where} is recreating failed Pod {meta.name(pod)}"
            self._events.event(owner, WARNING, "RecreatingFailedPod", message)
            await self._delete(owner, pod)
        for pod in plan.condemn:
            await self._keep_retention(owner, pod)
            await self._delete(owner, pod)
        for pod in plan.update:
            await self._delete(owner, pod)

    async def _create(self, owner: Object, revision: Object, number: int) -> Object | None:
        """Its claims first, then the Pod; None if it is there already or the namespace is going away."""
        name = f"{meta.name(owner)}-{number}"
        template = {k: v for k, v in revision["data"]["spec"]["template"].items() if k != "$patch"}
        where = f"in StatefulSet {meta.name(owner)}"
        try:
            for claim in stateful.claims(owner, number):
                await self._create_claim(owner, claim, name)
            made = await self.client.create(PODS, stateful.new_pod(owner, template, meta.name(revision), number))
        except ApiError as error:
            if is_reason(error, "AlreadyExists") or is_namespace_terminating(error):
                return None
            message = f"create Pod {name} {where} failed error: {error}"
            self._events.event(owner, WARNING, "FailedCreate", message)
            raise
        self._events.event(owner, NORMAL, "SuccessfulCreate", f"create Pod {name} {where} successful")
        return made

    async def _create_claim(self, owner: Object, claim: Object, pod_name: str) -> None:
        if self._held_claims.by_key(meta.key(claim)) is not None:
            return
        what = f"Claim {meta.name(claim)} Pod {pod_name} in StatefulSet {meta.name(owner)}"
        try:
            await self.client.create(CLAIMS, claim)
        except ApiError as error:
            if is_reason(error, "AlreadyExists"):
                return
            self._events.event(owner, WARNING, "FailedCreate", f"create {what} failed error: {error}")
            raise
        self._events.event(owner, NORMAL, "SuccessfulCreate", f"create {what} success")

    async def _keep_retention(self, owner: Object, pod: Object) -> None:
        """With ``whenScaled: Delete`` the claims of a Pod that goes for good are its alone, and go along."""
        policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        number = stateful.ordinal(owner, pod)
        if policy.get("whenScaled") != "Delete" or number is None:
            return
        ref = meta.owner_reference(pod, controller=False, block_deletion=False)
        for wanted in stateful.claims(owner, number):
            held = self._held_claims.by_key(meta.key(wanted))
            if held is None or any(r["uid"] == ref["uid"] for r in meta.owner_references(held)):
                continue
            others = [r for r in meta.owner_references(held) if r["uid"] != meta.uid(owner)]
            metadata = {**held["metadata"], "ownerReferences": [*others, ref]}
            await self.client.update(CLAIMS, {**held, "metadata": metadata})

    async def _delete(self, owner: Object, pod: Object) -> None:
        what = f"delete Pod {meta.name(pod)} in StatefulSet {meta.name(owner)}"
        try:
            await self.client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except ApiError as error:
            if is_reason(error, "NotFound", "Conflict"):
                return
            self._events.event(owner, WARNING, "FailedDelete", f"{what} failed error: {error}")
            raise
        self._events.event(owner, NORMAL, "SuccessfulDelete", f"{what} successful")
