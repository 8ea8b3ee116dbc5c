"""Reading objects that authentication and authorization ask about, straight from the store's view."""

from __future__ import annotations

from typing import Protocol

from pinnace.api.types import Object
from pinnace.apiserver.resources import codec
from pinnace.store.protocol import Store


class Lookup(Protocol):
    """Finds an object of the core group by its plural, namespace ("" if it has none) and name."""

    def __call__(self, plural: str, namespace: str, name: str) -> Object | None: ...


def store_lookup(store: Store) -> Lookup:
    """The newest committed state; objects are shared and read-only."""

    def lookup(plural: str, namespace: str, name: str) -> Object | None:
        where = f"{namespace}/{name}" if namespace else name
        kv = store.get(f"/registry/{plural}/{where}")
        return None if kv is None else codec.decoded(kv)

    return lookup
