"""Deployments: carries out what ``rollout`` computes, one step per round, and reports ``rollout_status``.

Each round starts from the cache. A write that the cache did not know of yet makes the next one fail with a Conflict,
and the round is done again; ReplicaSets are named after their template, so none is made twice.
"""

from __future__ import annotations

from pinnace.api import meta, selectors
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from pinnace.api.types import Object
from pinnace.client.recorder import NORMAL, WARNING
from pinnace.controllers import conditions, kit, ownership, podstate, rollout, rollout_status


class DeploymentController(kit.Controller):
    """Rolls Deployments out by sizing their ReplicaSets."""

    name = "deployment-controller"
    account = "deployment-controller"
    workers = 5

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._events = self.recorder(self.name)
        self._deployments = tools.informer(DEPLOYMENTS)
        self._sets = tools.informer(REPLICA_SETS)
        self._pods = tools.informer(PODS)
        ownership.index_by_controller(self._pods)
        self._claims = ownership.Claims(self.client, DEPLOYMENTS, REPLICA_SETS, self._sets)
        self.watch(self._deployments)
        self._sets.add_handler(self._set_changed)
        self._pods.add_handler(self._pod_changed)

    @staticmethod
    def _match(deployment: Object) -> ownership.Matcher:
        return selectors.label_selector(deployment["spec"].get("selector")).matches

    def _set_changed(self, old: Object | None, new: Object | None) -> None:
        for version in (old, new):
            owner = ownership.controller_in(self._deployments, version, "Deployment")
            if owner is not None:
                self.enqueue(owner)
        if new is not None and meta.controller_of(new) is None and not meta.is_deleting(new):
            space = meta.namespace(new)
            for owner in ownership.owners_matching(self._deployments, space, meta.labels(new), self._match):
                self.enqueue(owner)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Recreate waits until the last old Pod is gone."""
        if new is not None:
            return
        replica_set = ownership.controller_in(self._sets, old, "ReplicaSet")
        deployment = ownership.controller_in(self._deployments, replica_set, "Deployment")
        if deployment is not None and not rollout.is_rolling(deployment):
            self.enqueue(deployment)

    async def sync(self, key: str) -> None:
        deployment = self._deployments.by_key(key)
        if deployment is None:
            return
        selector = deployment["spec"].get("selector") or {}
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._events.event(deployment, WARNING, "SelectingAll", message)
            return
        sets = await self._claims.claim(deployment, self._match(deployment))
        if meta.is_deleting(deployment):
            new = rollout.find_new(deployment, sets)
            await self._write_counts(deployment, sets, new)
            return
        now = self.clock.now()
        found = rollout_status.pause_conditions(deployment, now)
        if found != rollout_status.conditions_of(deployment):
            deployment = await self._write_status(deployment, {**(deployment.get("status") or {}), "conditions": found})
        if deployment["spec"].get("paused") or rollout.is_scaling(deployment, sets):
            await self._scale(deployment, sets)
        elif rollout.is_rolling(deployment):
            await self._roll(deployment, sets)
        else:
            await self._recreate(deployment, sets)

    # -- the ways to bring ReplicaSets to their sizes

    async def _scale(self, deployment: Object, sets: list[Object]) -> None:
        """Sizes only: the template is not looked at while paused, nor in the round after a change of size."""
        deployment, new, old = await self._current(deployment, sets, create=False)
        every = old + ([new] if new is not None else [])
        for step in rollout.scaling_steps(deployment, every, new):
            await self._resize(deployment, step)
        if deployment["spec"].get("paused"):
            await self._clean_up(deployment, old)
        await self._write_counts(deployment, self._refresh(every), self._fresh(new))

    async def _roll(self, deployment: Object, sets: list[Object]) -> None:
        deployment, new, old = await self._current(deployment, sets, create=True)
        if new is None:  # the namespace is going away
            return
        step = rollout.new_step(deployment, [*old, new], new)
        steps = [step] if step is not None else rollout.old_steps(deployment, old, new)
        for step in steps:
            await self._resize(deployment, step)
        if not steps:
            await self._finish(deployment, old)
        await self._write_rollout(deployment, [*old, new], new)

    async def _recreate(self, deployment: Object, sets: list[Object]) -> None:
        deployment, new, old = await self._current(deployment, sets, create=False)
        every = old + ([new] if new is not None else [])
        running = [rs for rs in old if rollout.replicas_of(rs) > 0]
        for replica_set in running:
            await self._resize(deployment, rollout.Scale(replica_set, 0))
        if not running and not self._pods_left(old):
            if new is None:
                deployment, new, old = await self._current(deployment, sets, create=True)
                if new is None:
                    return
                every = [*old, new]
            step = rollout.new_step(deployment, every, new)
            if step is not None:
                await self._resize(deployment, step)
            await self._finish(deployment, old)
        await self._write_rollout(deployment, every, new)

    def _pods_left(self, old: list[Object]) -> bool:
        """Whether Pods of old ReplicaSets exist that have not ended."""
        return any(not podstate.is_terminal(pod) for rs in old for pod in ownership.dependents(self._pods, rs))

    async def _finish(self, deployment: Object, old: list[Object]) -> None:
        if rollout_status.is_complete(deployment, deployment.get("status") or {}):
            await self._clean_up(deployment, old)

    async def _clean_up(self, deployment: Object, old: list[Object]) -> None:
        for replica_set in rollout.to_clean_up(deployment, old):
            try:
                await self.client.delete(REPLICA_SETS, meta.name(replica_set), meta.namespace(replica_set))
            except ApiError as error:
                if not is_reason(error, "NotFound"):
                    raise

    async def _resize(self, deployment: Object, step: rollout.Scale) -> None:
        replica_set, size = step
        before = rollout.replicas_of(replica_set)
        wanted = rollout.size_annotations(deployment)
        held = meta.annotations(replica_set)
        if before == size and wanted.items() <= held.items():
            return
        changed = {
            **replica_set,
            "metadata": {**replica_set["metadata"], "annotations": {**held, **wanted}},
            "spec": {**replica_set["spec"], "replicas": size},
        }
        await self.client.update(REPLICA_SETS, changed)
        if before != size:
            way = "up" if size > before else "down"
            message = f"Scaled {way} replica set {meta.name(replica_set)} from {before} to {size}"
            self._events.event(deployment, NORMAL, "ScalingReplicaSet", message)

    # -- the current ReplicaSet

    async def _current(
        self, deployment: Object, sets: list[Object], *, create: bool
    ) -> tuple[Object, Object | None, list[Object]]:
        """(deployment, current ReplicaSet, old ones), revisions and annotations brought up to date. With ``create``
        the current one is made if there is none; it is then None only if the namespace is going away."""
        new = rollout.find_new(deployment, sets)
        old = [rs for rs in sets if new is None or meta.uid(rs) != meta.uid(new)]
        wanted_revision = rollout.max_revision(old) + 1
        if new is not None:
            new = await self._update_new(deployment, new, wanted_revision)
            deployment = await self._note(
                deployment, new, rollout_status.NEW_FOUND, f'Found new replica set "{meta.name(new)}"', only_first=True
            )
        elif create:
            deployment, new = await self._create_new(deployment, old, wanted_revision)
        return deployment, new, old

    async def _update_new(self, deployment: Object, new: Object, wanted_revision: int) -> Object:
        annotations = rollout.new_annotations(deployment, new, wanted_revision)
        min_ready = int(deployment["spec"].get("minReadySeconds") or 0)
        if annotations == meta.annotations(new) and int(new["spec"].get("minReadySeconds") or 0) == min_ready:
            return new
        changed = {
            **new,
            "metadata": {**new["metadata"], "annotations": annotations},
            "spec": {**new["spec"], "minReadySeconds": min_ready},
        }
        return await self.client.update(REPLICA_SETS, changed)

    async def _create_new(
        self, deployment: Object, old: list[Object], wanted_revision: int
    ) -> tuple[Object, Object | None]:
        collisions = (deployment.get("status") or {}).get("collisionCount")
        wanted = self._new_set(deployment, old, wanted_revision, collisions)
        name = meta.name(wanted)
        try:
            made = await self.client.create(REPLICA_SETS, wanted)
        except ApiError as error:
            if is_namespace_terminating(error):
                return deployment, None
            if is_reason(error, "AlreadyExists"):
                return deployment, await self._existing(deployment, name, collisions, error)
            message = f'Failed to create new replica set "{name}": {error}'
            if rollout_status.has_deadline(deployment):
                await self._progressing(deployment, "False", rollout_status.CREATE_FAILED, message)
            self._events.event(deployment, WARNING, rollout_status.CREATE_FAILED, message)
            raise
        size = rollout.replicas_of(made)
        if size > 0:
            message = f"Scaled up replica set {name} from 0 to {size}"
            self._events.event(deployment, NORMAL, "ScalingReplicaSet", message)
        message = f'Created new replica set "{name}"'
        return await self._note(deployment, made, rollout_status.NEW_CREATED, message, only_first=False), made

    def _new_set(self, deployment: Object, old: list[Object], revision: int, collisions: int | None) -> Object:
        template = meta.copy(deployment["spec"]["template"])
        hashed = rollout.template_hash(template, collisions)
        labels = {**(template.setdefault("metadata", {}).get("labels") or {}), rollout.HASH_LABEL: hashed}
        template["metadata"]["labels"] = labels
        selector = meta.copy(deployment["spec"]["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), rollout.HASH_LABEL: hashed}
        replica_set: Object = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{meta.name(deployment)}-{hashed}",
                "namespace": meta.namespace(deployment),
                "labels": dict(labels),
                "annotations": {
                    **rollout.inherited_annotations(deployment),
                    rollout.REVISION: str(revision),
                    **rollout.size_annotations(deployment),
                },
                "ownerReferences": [meta.owner_reference(deployment)],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": int(deployment["spec"].get("minReadySeconds") or 0),
                "selector": selector,
                "template": template,
            },
        }
        replica_set["spec"]["replicas"] = rollout.new_size(deployment, [*old, replica_set], replica_set)
        return replica_set

    async def _existing(self, deployment: Object, name: str, collisions: int | None, error: ApiError) -> Object:
        """Ours, made in a round that the cache has not shown yet; or another template's with the same hash."""
        existing = await self.client.get(REPLICA_SETS, name, meta.namespace(deployment))
        owner = meta.controller_of(existing)
        same = rollout.same_template(existing["spec"]["template"], deployment["spec"]["template"])
        if owner is not None and owner["uid"] == meta.uid(deployment) and same:
            return existing
        await self._write_status(
            deployment, {**(deployment.get("status") or {}), "collisionCount": (collisions or 0) + 1}
        )
        raise error

    # -- status

    async def _note(self, deployment: Object, new: Object, reason: str, message: str, *, only_first: bool) -> Object:
        """Carry the current ReplicaSet's revision over to the Deployment, and say where it came from."""
        wanted = meta.annotations(new).get(rollout.REVISION, "")
        annotations = meta.annotations(deployment)
        found = rollout_status.conditions_of(deployment)
        if rollout_status.has_deadline(deployment) and not (
            only_first and conditions.find(found, rollout_status.PROGRESSING)
        ):
            found = rollout_status.with_progressing(found, "True", reason, message, self.clock.now())
        if annotations.get(rollout.REVISION) == wanted and found == rollout_status.conditions_of(deployment):
            return deployment
        marked = {
            **deployment,
            "metadata": {**deployment["metadata"], "annotations": {**annotations, rollout.REVISION: wanted}},
        }
        status = {**(deployment.get("status") or {})}
        if found:
            status["conditions"] = found
        return await self._write_status(marked, status)

    async def _progressing(self, deployment: Object, status: str, reason: str, message: str) -> None:
        found = rollout_status.conditions_of(deployment)
        found = rollout_status.with_progressing(found, status, reason, message, self.clock.now())
        await self._write_status(deployment, {**(deployment.get("status") or {}), "conditions": found})

    async def _write_status(self, deployment: Object, status: Object) -> Object:
        return await self.client.update(DEPLOYMENTS, {**deployment, "status": status}, subresource="status")

    def _fresh(self, replica_set: Object | None) -> Object | None:
        if replica_set is None:
            return None
        cached = self._sets.by_key(meta.key(replica_set))
        return cached if cached is not None and meta.uid(cached) == meta.uid(replica_set) else replica_set

    def _refresh(self, sets: list[Object]) -> list[Object]:
        return [fresh for rs in sets if (fresh := self._fresh(rs)) is not None]

    async def _write_counts(self, deployment: Object, sets: list[Object], new: Object | None) -> None:
        status = rollout_status.counts(deployment, sets, new, self.clock.now())
        if status != (deployment.get("status") or {}):
            await self._write_status(deployment, status)

    async def _write_rollout(self, deployment: Object, sets: list[Object], new: Object | None) -> None:
        now = self.clock.now()
        sets, new = self._refresh(sets), self._fresh(new)
        counted = rollout_status.counts(deployment, sets, new, now)
        status = rollout_status.with_rollout(deployment, counted, sets, new, now)
        if status != (deployment.get("status") or {}):
            await self._write_status(deployment, status)
        left = rollout_status.deadline_left(deployment, status["conditions"], now)
        if left is not None and left >= 0 and not rollout_status.is_complete(deployment, status):
            self.queue.add_after(meta.key(deployment), left + 1)
