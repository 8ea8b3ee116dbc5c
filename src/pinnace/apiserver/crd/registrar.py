"""The registry rows of the CustomResourceDefinitions that are stored.

Follows the store, not the requests of this server: whichever server wrote a definition, each serves it as soon as it
sees the write. ``start`` makes the rows of all that is stored before it returns; after that a row changes in the very
turn of the event loop in which the definition's new state becomes visible, so a client that has seen it established
finds it served.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pinnace.api import meta
from pinnace.api.crd import status
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import GVR, Object
from pinnace.apiserver.resources import codec
from pinnace.apiserver.resources.watchhub import WatchHub
from pinnace.store.protocol import Event, Store, Watch, prefix_end

log = logging.getLogger(__name__)

DEFINITIONS = GVR("apiextensions.k8s.io", "v1", "customresourcedefinitions")
PREFIX = "/registry/apiextensions.k8s.io/customresourcedefinitions/"


class _Served:
    """The rows of one definition, and what they were made from."""

    __slots__ = ("made_of", "rows")

    def __init__(self, made_of: Object, rows: dict[GVR, Resource]) -> None:
        self.made_of = made_of
        self.rows = rows


class Registrar:
    """See the module's docstring. ``changed(name)`` is called after each change of a definition."""

    def __init__(self, store: Store, registry: Registry, hub: WatchHub, changed: Callable[[str], None]) -> None:
        self._store = store
        self._registry = registry
        self._hub = hub
        self._changed = changed
        self._served: dict[str, _Served] = {}
        self._watch: Watch | None = None

    def start(self) -> None:
        """Serve what is stored, and follow it from there."""
        found = self._store.range(PREFIX, prefix_end(PREFIX))
        for kv in found.items:
            self._apply(kv.key.removeprefix(PREFIX), codec.decoded(kv), kv.mod_revision)
        self._watch = self._store.watch(PREFIX, prefix_end(PREFIX), found.revision, self._see)

    def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _see(self, events: Sequence[Event] | None) -> None:
        for event in events or ():
            name = event.key.removeprefix(PREFIX)
            current = event.current
            if current is None:
                self._apply(name, None, event.revision)
            else:
                self._apply(name, codec.decoded(current), current.mod_revision)

    def _apply(self, name: str, definition: Object | None, revision: int) -> None:
        before = self._served.get(name)
        if definition is None or not status.served(definition):
            self._replace(name, {}, None)
        else:
            made_of = _made_of(definition)
            if before is None or before.made_of != made_of:
                self._replace(name, self._compiled(definition, revision), made_of)
        self._changed(name)

    def _compiled(self, definition: Object, revision: int) -> dict[GVR, Resource]:
        from pinnace.api.crd import compile

        try:
            rows = compile.rows(definition, revision)
        except Exception:  # whatever was stored, by whichever version: the others must be served all the same
            log.exception("%s cannot be served", meta.name(definition))
            return {}
        found = {}
        for row in rows:
            held = self._registry.get(*row.gvr)
            if held is None or held.custom is not None:  # a built-in resource stays what it is
                found[row.gvr] = row
        return found

    def _replace(self, name: str, rows: dict[GVR, Resource], made_of: Object | None) -> None:
        before = self._served.pop(name, None)
        old = before.rows if before is not None else {}
        for gvr in old.keys() - rows.keys():
            self._registry.remove(gvr)
        for row in rows.values():
            self._registry.add(row)
        if made_of is not None:
            self._served[name] = _Served(made_of, rows)
        if old and not (before is not None and made_of is not None and _same_but_deletion(before.made_of, made_of)):
            self._hub.end(next(iter(old.values())).prefix)


def _made_of(definition: Object) -> Object:
    """All of a definition that its rows depend on."""
    return {
        "spec": definition["spec"],
        "names": (definition.get("status") or {}).get("acceptedNames"),
        "deleting": meta.is_deleting(definition),
    }


def _same_but_deletion(before: Object, after: Object) -> bool:
    return (before["spec"], before["names"]) == (after["spec"], after["names"])
