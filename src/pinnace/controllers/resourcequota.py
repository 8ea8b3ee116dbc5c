"""ResourceQuotas' status: what is used of each.

Only the resources that some quota names are watched, from when the first one does.
"""

from __future__ import annotations

from pinnace.api import meta, quota
from pinnace.api.types import GVR, Object
from pinnace.client.informer import Informer
from pinnace.controllers import kit
from pinnace.controllers.discovery import discover

QUOTAS = GVR("", "v1", "resourcequotas")


class ResourceQuotaController(kit.Controller):
    """Counts again whenever something that counts comes, goes or changes its size."""

    name = "resourcequota-controller"
    account = "resourcequota-controller"

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self._quotas = tools.informer(QUOTAS)
        self._watched: dict[tuple[str, str], Informer | None] = {}  # None: such a resource is not served
        self.watch(self._quotas)

    async def sync(self, key: str) -> None:
        held = self._quotas.by_key(key)
        if held is None or meta.is_deleting(held):
            return
        hard = held["spec"].get("hard") or {}
        objects: list[tuple[str, str, Object]] = []
        for group, plural in sorted({quota.resource_of(name) for name in hard}):
            informer = await self._informer(group, plural)
            if informer is not None:
                objects += [(group, plural, obj) for obj in informer.in_namespace(meta.namespace(held))]
        used = quota.used(held, objects)
        status = {"hard": hard, "used": {name: quota.text(name, value) for name, value in used.items()}}
        if status != (held.get("status") or {}):
            await self.client.update(QUOTAS, {**held, "status": status}, subresource="status")

    async def _informer(self, group: str, plural: str) -> Informer | None:
        """The informer of a resource that a quota names, started with the first."""
        if (group, plural) not in self._watched:
            found = await discover(self.client)
            served = [s.gvr for s in found.resources if (s.gvr.group, s.gvr.resource) == (group, plural)]
            if not served:
                if not found.failures:
                    self._watched[(group, plural)] = None
                return None
            informer = self.kit.informer(served[0])
            self._watched[(group, plural)] = informer
            await informer.synced.wait()
            informer.add_handler(lambda old, new: self._changed(group, plural, old, new))
        return self._watched[(group, plural)]

    def _changed(self, group: str, plural: str, old: Object | None, new: Object | None) -> None:
        before = quota.usage(group, plural, old) if old is not None else {}
        after = quota.usage(group, plural, new) if new is not None else {}
        if before == after:
            return
        for held in self._quotas.in_namespace(meta.namespace(new if new is not None else old or {})):
            if any(quota.resource_of(name) == (group, plural) for name in held["spec"].get("hard") or {}):
                self.enqueue(held)
