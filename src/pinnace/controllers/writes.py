"""What a controller wrote and its cache may not show yet.

For controllers whose writes are of many kinds (created, updated and deleted in one round), where counting as
``Expectations`` does is not enough: a round waits until the cache holds every version the round before wrote. Relies on
resource versions of one resource being comparable as numbers, as Kubernetes promises since 1.35.
"""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.informer import Informer


class Writes:
    """Versions that ``informer`` has yet to show, per key of a queue."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._pending: dict[str, dict[str, tuple[str, int]]] = {}  # queue key -> object key -> (uid, version)
        informer.add_handler(self._gone)

    def wrote(self, key: str, obj: Object) -> None:
        """``obj`` is the server's answer to a create or update in ``key``'s round."""
        self._pending.setdefault(key, {})[meta.key(obj)] = (meta.uid(obj), int(meta.resource_version(obj)))

    def seen(self, key: str) -> bool:
        """Whether the cache is as new as ``key``'s writes. If not, the event that makes it so is still to come."""
        pending = self._pending.get(key)
        if not pending:
            return True
        for name, (uid, version) in list(pending.items()):
            held = self._informer.by_key(name)
            if held is not None and (meta.uid(held) != uid or int(meta.resource_version(held)) >= version):
                del pending[name]
        if pending:
            return False
        del self._pending[key]
        return True

    def forget(self, key: str) -> None:
        self._pending.pop(key, None)

    def _gone(self, old: Object | None, new: Object | None) -> None:
        if new is not None or old is None:
            return
        name = meta.key(old)
        for pending in self._pending.values():
            pending.pop(name, None)
