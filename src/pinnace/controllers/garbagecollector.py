"""Deletes what its owners left behind, and sees foreground deletion and orphaning through.

A feed per resource keeps the ``OwnerGraph`` current. Nothing is deleted for the graph's word alone: the object is read
again, and an owner that the graph does not know is asked for at the API, before it counts as absent; the delete then
carries the uid and version that were judged. New kinds are looked for whenever CustomResourceDefinitions change.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object, split_api_version
from pinnace.client.client import Client
from pinnace.client.recorder import WARNING
from pinnace.controllers import kit
from pinnace.controllers.discovery import Discovered, discover
from pinnace.controllers.ownergraph import FOREGROUND, ORPHAN, Node, OwnerGraph, Work
from pinnace.core import clock as clocks
from pinnace.core.backoff import Backoff
from pinnace.core.supervisor import Tasks

log = logging.getLogger(__name__)

_IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
_NEEDED = frozenset({"list", "watch", "delete"})
_DEFINITIONS = (
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
)
#: Seconds after which work begins although some resource's feed has no first list yet.
_SYNC_LIMIT = 30.0
_PAGE = 500


class _Feed:
    """List and watch of one resource, into the graph."""

    def __init__(self, collector: GarbageCollector, gvr: GVR, kind: str) -> None:
        self.gvr = gvr
        self.synced = asyncio.Event()
        self._collector = collector
        self._version = ""  # what the graph has reached
        self._type = {"kind": kind, "apiVersion": gvr.api_version}

    async def run(self) -> None:
        """Until cancelled, or until the resource is not served any more."""
        backoff = Backoff(base=0.1, cap=30.0)
        while True:
            try:
                if not self._version:
                    self._version = await self._list()
                    self.synced.set()
                await self._watch(backoff)
            except (ApiError, OSError, TimeoutError) as error:
                if is_reason(error, "NotFound", "MethodNotAllowed"):
                    self.synced.set()
                    return
                if is_reason(error, "Expired", "Gone"):
                    self._version = ""
                else:
                    level = logging.DEBUG if backoff.failures(self.gvr) else logging.WARNING  # once for each outage
                    log.log(level, "garbage collector cannot watch %s: %s", self.gvr.group_resource, error)
                await self._collector.clock.sleep(backoff.next(self.gvr))

    async def _list(self) -> str:
        seen: set[str] = set()
        token = ""
        client: Client = self._collector.client
        while True:
            page = await client.list(self.gvr, limit=_PAGE, continue_token=token)
            for item in page.get("items") or ():
                seen.add(meta.uid(item))
                self._collector.observe(self.gvr, item if "kind" in item else {**self._type, **item})
            token = page["metadata"].get("continue") or ""
            if not token:
                break
        for node in self._collector.graph.of(self.gvr) if self.synced.is_set() else ():
            if node.uid not in seen:
                self._collector.gone(node.uid)
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, backoff: Backoff) -> None:
        # Without bookmarks: some seventy quiet watches would otherwise wake the process up every minute.
        watch = self._collector.client.watch(self.gvr, resource_version=self._version, bookmarks=False)
        async with aclosing(watch) as batches:
            async for batch in batches:
                backoff.forget(self.gvr)
                for event in batch:
                    if event.type == "DELETED":
                        self._collector.gone(meta.uid(event.object))
                    else:
                        self._collector.observe(self.gvr, event.object)
                    self._version = meta.resource_version(event.object)
                if (self.gvr.group, self.gvr.resource) in _DEFINITIONS:
                    self._collector.rediscover()


class GarbageCollector(kit.Controller):
    """Keys are ``examine <uid>`` and ``orphan <uid>``."""

    name = "garbage-collector-controller"
    account = "generic-garbage-collector"
    workers = 10

    def __init__(self, tools: kit.Kit) -> None:
        super().__init__(tools)
        self.graph = OwnerGraph()
        self._events = self.recorder(self.name)
        self._discovered = Discovered((), {}, {})
        self._feeds: dict[GVR, tuple[_Feed, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()

    # -- feeding the graph

    def start(self, tasks: Tasks) -> None:
        """Begin; returns at once. Work is done only after the resources' first lists are in."""
        tasks.forever(lambda: self._follow_discovery(tasks), name=f"{self.name}-discovery")

    def rediscover(self) -> None:
        """Look for new or removed resources soon."""
        self._changed.set()

    async def _follow_discovery(self, tasks: Tasks) -> None:
        self._changed.set()
        working = False
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._discovered = await discover(self.client)
            self._follow(tasks)
            if not working:
                working = True
                await self._wait_synced()
                super().start(tasks)
            if self._discovered.failures:
                self.clock.call_later(30.0, self._changed.set)
            await self.clock.sleep(0.5)  # definitions tend to come in numbers

    def _follow(self, tasks: Tasks) -> None:
        wanted = {
            served.gvr: served.kind
            for served in self._discovered.resources
            if served.verbs >= _NEEDED and (served.gvr.group, served.gvr.resource) not in _IGNORED
        }
        for gvr in [gvr for gvr in self._feeds if gvr not in wanted]:
            if gvr.api_version not in self._discovered.failures:
                self._feeds.pop(gvr)[1].cancel()
                for node in self.graph.of(gvr):
                    self.gone(node.uid)
        for gvr, kind in wanted.items():
            running = self._feeds.get(gvr)
            if running is None or running[1].done():
                feed = _Feed(self, gvr, kind)
                self._feeds[gvr] = (feed, tasks.spawn(feed.run(), name=f"{self.name}-{gvr.group_resource}"))

    async def _wait_synced(self) -> None:
        try:
            async with clocks.timeout(self.clock, _SYNC_LIMIT):
                for feed, _ in list(self._feeds.values()):
                    await feed.synced.wait()
        except TimeoutError:
            late = [feed.gvr.group_resource for feed, _ in self._feeds.values() if not feed.synced.is_set()]
            log.warning("garbage collector begins without %s", ", ".join(late))

    def observe(self, gvr: GVR, obj: Object) -> None:
        self._enqueue(self.graph.observe(gvr, obj))

    def gone(self, uid: str) -> None:
        self._enqueue(self.graph.gone(uid))

    def _enqueue(self, work: Work) -> None:
        for uid in work.examine:
            self.queue.add(f"examine {uid}")
        for uid in work.orphan:
            self.queue.add(f"orphan {uid}")

    # -- the work

    async def sync(self, key: str) -> None:
        action, _, uid = key.partition(" ")
        node = self.graph.get(uid)
        if node is None:
            return
        if action == "orphan":
            await self._orphan(node)
        elif node.foreground:
            await self._finish_foreground(node)
        elif not node.deleting and node.owners:
            await self._examine(node)

    async def _read(self, node: Node) -> Object | None:
        """The object as it is now; None, and out of the graph, if it is gone or another one."""
        try:
            latest = await self.client.get(node.gvr, node.name, node.namespace)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            latest = None
        if latest is None or meta.uid(latest) != node.uid:
            self.gone(node.uid)
            return None
        return latest

    async def _finish_foreground(self, node: Node) -> None:
        """Let an owner go whose blocking dependents are gone; else see to those."""
        blocking = self.graph.blocking(node)
        if blocking:
            for dependent in blocking:
                if not dependent.foreground:
                    self.queue.add(f"examine {dependent.uid}")
            return
        latest = await self._read(node)
        if latest is not None:
            await self._remove_finalizer(node, latest, FOREGROUND)

    async def _orphan(self, node: Node) -> None:
        for dependent in self.graph.dependents(node):
            latest = await self._read(dependent)
            if latest is not None:
                kept = [ref for ref in meta.owner_references(latest) if ref["uid"] != node.uid]
                await self._set_owners(dependent, latest, kept)
        latest = await self._read(node)
        if latest is not None:
            await self._remove_finalizer(node, latest, ORPHAN)

    async def _examine(self, node: Node) -> None:
        latest = await self._read(node)
        if latest is None or meta.is_deleting(latest):
            return
        refs = meta.owner_references(latest)
        solid: list[Object] = []
        waiting: list[Object] = []
        for ref in refs:
            state = await self._owner_state(node, ref)
            if state == "solid":
                solid.append(ref)
            elif state == "waiting":
                waiting.append(ref)
        if not refs:
            return
        if solid:
            if len(solid) < len(refs):
                await self._set_owners(node, latest, solid)
            return
        finalizers = meta.finalizers(latest)
        dependents = self.graph.dependents(node)
        if waiting and dependents:
            if any(dependent.foreground for dependent in dependents):
                # A circle: nobody in it may wait for the others.
                unblocked = [{**ref, "blockOwnerDeletion": False} for ref in refs]
                latest = await self._set_owners(node, latest, unblocked)
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        elif FOREGROUND in finalizers:
            policy = "Foreground"
        else:
            policy = "Background"
        log.debug("deleting %r, whose owners are gone, in the %s", node, policy)
        await self.client.delete(
            node.gvr,
            node.name,
            node.namespace,
            propagation=policy,
            uid=node.uid,
            resource_version=meta.resource_version(latest),
        )

    async def _owner_state(self, node: Node, ref: Object) -> str:
        """``solid``, ``waiting`` (for its dependents to be deleted) or ``absent``."""
        owner = self.graph.get(ref["uid"])
        if owner is not None and owner.is_named_by(ref, node.namespace):
            return "waiting" if owner.foreground else "solid"
        group, version = split_api_version(str(ref["apiVersion"]))
        served = self._discovered.kinds.get((group, version, str(ref["kind"])))
        if served is None:
            self.rediscover()
            raise LookupError(f"{node!r} has an owner of unknown kind {ref['apiVersion']} {ref['kind']}")
        if served.namespaced and not node.namespace:
            self._report_invalid(node, ref, "ownerRef is namespaced, but its dependent is cluster-scoped")
            return "solid"  # cannot be looked up, so cannot be known to be absent
        try:
            found = await self.client.get(served.gvr, str(ref["name"]), node.namespace if served.namespaced else "")
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
            found = None
        if found is None or meta.uid(found) != ref["uid"]:
            if owner is not None:
                self._report_invalid(
                    node,
                    ref,
                    f"ownerRef [{ref['apiVersion']}/{ref['kind']}, namespace: {node.namespace}, "
                    f'name: {ref["name"]}, uid: {ref["uid"]}] does not exist in namespace "{node.namespace}"',
                )
            return "absent"
        deleting = meta.is_deleting(found) and FOREGROUND in meta.finalizers(found)
        return "waiting" if deleting else "solid"

    def _report_invalid(self, node: Node, ref: Object, message: str) -> None:
        subject: Object = {
            "apiVersion": node.gvr.api_version,
            "kind": node.kind,
            "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid},
        }
        self._events.event(subject, WARNING, "OwnerRefInvalidNamespace", message)

    async def _set_owners(self, node: Node, latest: Object, owners: list[Object]) -> Object:
        if owners == meta.owner_references(latest):
            return latest
        change = {"metadata": {"resourceVersion": meta.resource_version(latest), "ownerReferences": owners or None}}
        return await self.client.patch(node.gvr, node.name, change, node.namespace)

    async def _remove_finalizer(self, node: Node, latest: Object, finalizer: str) -> None:
        kept = [name for name in meta.finalizers(latest) if name != finalizer]
        if len(kept) == len(meta.finalizers(latest)):
            return
        change = {"metadata": {"resourceVersion": meta.resource_version(latest), "finalizers": kept or None}}
        try:
            await self.client.patch(node.gvr, node.name, change, node.namespace)
        except ApiError as error:
            if not is_reason(error, "NotFound"):
                raise
