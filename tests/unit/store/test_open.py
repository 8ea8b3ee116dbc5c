from __future__ import annotations

from pathlib import Path

import pytest

from pinnace.core.clock import VirtualClock
from pinnace.store.open import open_store
from pinnace.store.protocol import Put, StoreError, Txn


@pytest.mark.parametrize("url", ["", "memory", "memory://x", "consul://127.0.0.1:8500", "/a/b.db", "sqlite:/a/b.db"])
async def test_unknown_urls_name_the_known_ones(url: str) -> None:
    with pytest.raises(StoreError, match=r"use memory://, sqlite:///path/file\.db or etcd://host:port"):
        await open_store(url, stamp=lambda value, revision: value, clock=VirtualClock())


@pytest.mark.parametrize("url", ["sqlite://", "sqlite://a.db", "sqlite:///", "sqlite:///a/"])
async def test_sqlite_needs_an_absolute_path(url: str) -> None:
    with pytest.raises(StoreError, match="absolute path"):
        await open_store(url, stamp=lambda value, revision: value, clock=VirtualClock())


async def test_a_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a dir" / "100%20?#.db"
    store = await open_store(f"sqlite://{path}", stamp=lambda value, revision: value, clock=VirtualClock())
    await store.commit(Txn((), [Put("/a", b"")]))
    await store.close()
    assert path.stat().st_size
