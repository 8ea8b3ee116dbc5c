"""What a plugin is, and what it may look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Protocol

from pinnace.api.errors import ApiError, forbidden
from pinnace.api.types import Object
from pinnace.apiserver.request import AdmissionAttributes
from pinnace.apiserver.resources import codec
from pinnace.core.clock import Clock
from pinnace.store.protocol import Event, KeyValue, Store, prefix_end

#: Namespaces whose lists are kept.
_NAMESPACES = 4096
CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


class Plugin(Protocol):
    """One admission plugin. ``wants`` depends on its arguments alone: the answer is kept."""

    name: str

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        """Whether ``admit`` is to be called for these."""

    def admit(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        """Change ``attributes.object`` in place, or raise ApiError to refuse. What it returns, if anything, is awaited:
        only a plugin that must wait for what is about to come does so."""


class View:
    """The newest committed objects, shared and read-only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        #: Lists that were asked for, by resource and namespace, until one of their objects changes.
        self._lists: dict[tuple[str, str], dict[str, Sequence[KeyValue]]] = {}

    def get(self, group: str, plural: str, namespace: str, name: str) -> Object | None:
        """``namespace`` is "" for cluster-scoped objects."""
        kv = self._store.get(_prefix(group, plural, namespace) + name)
        return None if kv is None else codec.decoded(kv)

    async def wait(self, plural: str, namespace: str, name: str, clock: Clock, seconds: float) -> None:
        """Return when the core object exists, or after ``seconds``."""
        key = _prefix("", plural, namespace) + name
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not came.done():
                came.set_result(None)

        def take(events: Sequence[Event] | None) -> None:
            if events is None or any(event.current is not None for event in events):
                settle()

        timer = clock.call_later(seconds, settle)
        watch = self._store.watch(key, key + "\0", self._store.revision, take)
        try:
            await came
        finally:
            watch.cancel()
            timer.cancel()

    def entries(self, group: str, plural: str, namespace: str = "") -> Sequence[KeyValue]:
        """All objects as they are stored, in a namespace if given, in order of their keys. For resources of which there
        are few and that change seldom: their lists are kept."""
        resource = (group, plural)
        kept = self._lists.get(resource)
        if kept is None:
            kept = self._follow(group, plural)
        found = kept.get(namespace)
        if found is None:
            if len(kept) >= _NAMESPACES:
                kept.clear()
            prefix = _prefix(group, plural, namespace)
            found = kept[namespace] = self._store.range(prefix, prefix_end(prefix)).items
        return found

    def _follow(self, group: str, plural: str) -> dict[str, Sequence[KeyValue]]:
        kept = self._lists[group, plural] = {}
        prefix = _prefix(group, plural, "")
        self._store.watch(prefix, prefix_end(prefix), self._store.revision, lambda _: kept.clear())
        return kept

    def items(self, group: str, plural: str, namespace: str = "") -> Iterator[Object]:
        """All objects, in a namespace if given, in order of their keys."""
        for kv in self.entries(group, plural, namespace):
            yield codec.decoded(kv)


def _prefix(group: str, plural: str, namespace: str) -> str:
    prefix = f"/registry/{group}/{plural}/" if group else f"/registry/{plural}/"
    return f"{prefix}{namespace}/" if namespace else prefix


def refuse(attributes: AdmissionAttributes, why: str) -> ApiError:
    """The 403 for the object of ``attributes``."""
    row = attributes.resource
    metadata = (attributes.object or {}).get("metadata") or {}
    name = attributes.name or str(metadata.get("generateName") or metadata.get("name") or "")
    return forbidden(row.group, row.plural, name, why)
