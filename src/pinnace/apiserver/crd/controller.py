"""Status and end of CustomResourceDefinitions: upstream's naming, establishing, approval, structural-schema and
finalizing controllers as one reconciler.

Several servers on one store each run it: a status is written only over the state it was made from, and what one has
written leaves the others nothing to do.
"""

from __future__ import annotations

import logging

from pinnace.api import errors, meta
from pinnace.api.crd import status
from pinnace.api.errors import ApiError
from pinnace.api.types import GVR, Object
from pinnace.apiserver.crd.registrar import DEFINITIONS, PREFIX
from pinnace.apiserver.resources import codec
from pinnace.client.client import Client
from pinnace.core.backoff import Backoff
from pinnace.core.clock import Clock, timestamp
from pinnace.core.cooperate import aside
from pinnace.core.supervisor import Tasks
from pinnace.core.workqueue import WorkQueue
from pinnace.store.protocol import Compare, Delete, KeyValue, Store, Txn, prefix_end

log = logging.getLogger(__name__)

WORKERS = 2
#: Seconds until it is looked whether the last object of a definition has gone: at first, and at most.
FIRST_LOOK, LAST_LOOK = 0.05, 5.0


class Controller:
    """See the module's docstring."""

    def __init__(self, store: Store, client: Client, clock: Clock) -> None:
        self._store = store
        self._client = client
        self._clock = clock
        self._queue: WorkQueue[str] = WorkQueue(clock, max_delay=30.0)
        self._groups: dict[str, str] = {}  # name -> group, of the definitions that there are
        self._waits = Backoff(base=FIRST_LOOK, cap=LAST_LOOK)  # for the last object of a definition to go
        self._checked: dict[str, int] = {}  # name -> generation whose schemas were found to be structural, or not

    def run(self, tasks: Tasks) -> None:
        for number in range(WORKERS):
            tasks.forever(lambda: self._queue.run(self._sync, _failed), name=f"definitions-{number}")

    def close(self) -> None:
        self._queue.close()

    def changed(self, name: str) -> None:
        """A definition has been written or removed; the names it may have given up are the others' to take."""
        self._queue.add(name)

    def _definition(self, name: str) -> Object | None:
        kv = self._store.get(PREFIX + name)
        return codec.decoded(kv) if kv is not None else None

    async def _sync(self, name: str) -> None:
        definition = self._definition(name)
        if definition is None:
            self._checked.pop(name, None)
            self._requeue_group(self._groups.pop(name, ""), name)
            return
        group = self._groups[name] = definition["spec"]["group"]
        if meta.is_deleting(definition):
            await self._finalize(definition)
            return
        others = [other for other in self._of_group(group) if meta.name(other) != name]
        check = self._checked.get(name) != meta.generation(definition)
        now = timestamp(self._clock.now())
        wanted = await aside(lambda: status.desired(definition, others, now, check_schema=check))
        self._checked[name] = meta.generation(definition)
        held = definition.get("status") or {}
        if wanted != held:
            await self._write_status(definition, wanted)
            if wanted["acceptedNames"] != held.get("acceptedNames"):
                self._requeue_group(group, name)

    def _of_group(self, group: str) -> list[Object]:
        found = self._store.range(PREFIX, prefix_end(PREFIX)).items
        return [definition for definition in map(codec.decoded, found) if definition["spec"]["group"] == group]

    def _requeue_group(self, group: str, name: str) -> None:
        for other in self._of_group(group) if group else ():
            if meta.name(other) != name and not meta.has_condition(other, "NamesAccepted"):
                self._queue.add(meta.name(other))

    async def _write_status(self, definition: Object, wanted: Object) -> Object | None:
        """None if the definition has moved on: its change has queued it anew."""
        try:
            return await self._client.update(DEFINITIONS, {**definition, "status": wanted}, subresource="status")
        except ApiError as error:
            if errors.is_reason(error, "Conflict", "NotFound"):
                return None
            raise

    async def _finalize(self, definition: Object) -> None:
        """Delete the definition's objects, wait until the last has gone, then let it go."""
        if status.FINALIZER not in meta.finalizers(definition):
            return
        if not status.established(definition):
            gone = status.condition("Terminating", "False", "NeverEstablished", "resource was never established")
            await self._release(definition, gone)
            return
        names = definition["spec"]["names"]
        prefix = f"/registry/{definition['spec']['group']}/{names['plural']}/"
        left = self._store.range(prefix, prefix_end(prefix)).items
        if left:
            progress = "CustomResource deletion is in progress"
            wanted = status.condition("Terminating", "True", "InstanceDeletionInProgress", progress)
            written = await self._write_terminating(definition, wanted)
            if written is None:
                return
            await self._delete_all(written, left)
            self._queue.add_after(meta.name(definition), self._waits.next(meta.name(definition)))
            return
        self._waits.forget(meta.name(definition))
        gone = status.condition("Terminating", "False", "InstanceDeletionCompleted", "removed all instances")
        await self._release(definition, gone)

    async def _write_terminating(self, definition: Object, wanted: Object) -> Object | None:
        held = meta.condition(definition, "Terminating") or {}
        if all(held.get(field) == value for field, value in wanted.items()):
            return definition
        new = dict(definition)
        status.set_terminating(new, wanted, timestamp(self._clock.now()))
        return await self._write_status(definition, new["status"])

    async def _delete_all(self, definition: Object, left: list[KeyValue]) -> None:
        gvr = _served(definition)
        if gvr is None:  # no version is served: nobody can delete what is stored but here
            for kv in left:
                await self._delete_unserved(kv)
            return
        for namespace in {meta.namespace(codec.decoded(kv)) for kv in left if not meta.is_deleting(codec.decoded(kv))}:
            await self._client.delete_collection(gvr, namespace)

    async def _delete_unserved(self, kv: KeyValue) -> None:
        await self._store.commit(Txn((Compare(kv.key, kv.mod_revision),), (Delete(kv.key),)))

    async def _release(self, definition: Object, gone: Object) -> None:
        written = await self._write_terminating(definition, gone)
        if written is None:
            return
        new: Object = meta.copy(written)
        new["metadata"]["finalizers"] = [f for f in meta.finalizers(new) if f != status.FINALIZER]
        try:
            await self._client.update(DEFINITIONS, new)
        except ApiError as error:
            if not errors.is_reason(error, "Conflict", "NotFound"):
                raise


def _served(definition: Object) -> GVR | None:
    """Its resource in a version that is served, the stored one before others."""
    spec = definition["spec"]
    served = [version for version in spec.get("versions") or () if version.get("served")]
    served.sort(key=lambda version: not version.get("storage"))
    return GVR(spec["group"], served[0]["name"], spec["names"]["plural"]) if served else None


def _failed(name: str, error: Exception, delay: float) -> None:
    log.warning("CustomResourceDefinition %s: %s (again in %.1f s)", name, error, delay)
