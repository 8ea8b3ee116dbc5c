"""From a store's URL to the store."""

from __future__ import annotations

from pathlib import Path

from pinnace.core.clock import Clock
from pinnace.store.backends.etcd_options import EtcdOptions, etcd_addresses
from pinnace.store.compactor import Policy
from pinnace.store.protocol import Stamp, Store, StoreError


async def open_store(
    url: str, *, stamp: Stamp, clock: Clock, policy: Policy | None = None, etcd: EtcdOptions | None = None
) -> Store:
    """Open ``memory://``, ``sqlite:///path/file.db`` (an absolute path, taken as it stands, created if need be) or
    ``etcd://host:port,...`` with the options in ``etcd``.

    Raises StoreError: the URL is not understood; the file is in use, damaged, or from a newer version; etcd cannot be
    reached, refuses, or is too old or full.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "memory" and not rest:
        from pinnace.store.backends.memory import open_memory

        return open_memory(stamp=stamp, clock=clock, policy=policy)
    if separator and scheme == "sqlite":
        if not rest.startswith("/") or rest.endswith("/"):
            raise StoreError(f"store URL {url!r} needs the absolute path of a file: sqlite:///path/file.db")
        from pinnace.store.backends.sqlite import open_sqlite

        return await open_sqlite(Path(rest), stamp=stamp, clock=clock, policy=policy)
    if separator and scheme == "etcd":
        addresses = etcd_addresses(rest)
        if not addresses:
            raise StoreError(f"store URL {url!r} needs addresses: etcd://HOST:PORT[,HOST:PORT...]")
        from pinnace.store.backends.etcd import open_etcd

        return await open_etcd(addresses, options=etcd or EtcdOptions(), stamp=stamp, clock=clock, policy=policy)
    raise StoreError(
        f"store URL {url!r} is not supported: use memory://, sqlite:///path/file.db or etcd://host:port[,host:port...]"
    )
