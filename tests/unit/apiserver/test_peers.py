"""Several API servers in ``default/kubernetes``: who is there, who is gone, and whose clock says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from pinnace.apiserver.bootstrap import objects
from pinnace.apiserver.bootstrap.objects import Endpoint
from pinnace.apiserver.peers import IDENTITIES, LEASES, SLICES, Peers, identity_of
from pinnace.apiserver.resources.codec import stamp
from pinnace.core.clock import VirtualClock
from pinnace.store.open import open_store
from pinnace.store.protocol import Put, Store, Txn, prefix_end

ENDPOINTS = "/registry/endpoints/default/kubernetes"
FIRST = Endpoint("10.96.0.1", "192.0.2.1", 6443)
SECOND = Endpoint("10.96.0.1", "192.0.2.2", 6443)
ELSEWHERE = Endpoint("10.96.0.1", "192.0.2.1", 7443)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(clock: VirtualClock) -> AsyncIterator[Store]:
    made = await open_store("memory://", stamp=stamp, clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def peers(store: Store, clock: VirtualClock) -> AsyncIterator[Peers]:
    made = Peers(store, clock, FIRST, "first")
    await made.start()
    yield made
    await made.stop()


async def renew(store: Store, endpoint: Endpoint) -> None:
    """What another API server does."""
    value = orjson.dumps(objects.kubernetes_endpoints([endpoint])[0])
    await store.commit(Txn((), [Put(f"{LEASES}{endpoint.address}:{endpoint.port}", value)]))


def said(store: Store) -> Any:
    kv = store.get(ENDPOINTS)
    assert kv is not None
    return [
        (subset["ports"][0]["port"], [address["ip"] for address in subset["addresses"]])
        for subset in orjson.loads(kv.value)["subsets"]
    ]


def slices(store: Store) -> list[str]:
    return [item.key.removeprefix(SLICES) for item in store.range(SLICES, prefix_end(SLICES)).items]


async def test_one_is_there_from_the_start(store: Store, peers: Peers) -> None:
    assert said(store) == [(6443, ["192.0.2.1"])]
    assert slices(store) == [""]
    lease = store.get(IDENTITIES + identity_of("first", 6443).removeprefix("apiserver-"))
    assert lease is not None
    spec = orjson.loads(lease.value)["spec"]
    assert spec["holderIdentity"].startswith("apiserver-")
    assert spec["leaseDurationSeconds"] == 3600


async def test_another_that_comes_is_there_at_once_and_stays_while_it_renews(
    store: Store, peers: Peers, clock: VirtualClock
) -> None:
    for _ in range(6):
        await renew(store, SECOND)
        await clock.advance(10.0)
        assert said(store) == [(6443, ["192.0.2.1", "192.0.2.2"])]


async def test_one_that_renews_no_more_goes(store: Store, peers: Peers, clock: VirtualClock) -> None:
    await renew(store, SECOND)
    await clock.advance(12.0)
    assert said(store) == [(6443, ["192.0.2.1", "192.0.2.2"])]
    await clock.advance(20.0)
    assert said(store) == [(6443, ["192.0.2.1"])]
    assert store.get(f"{LEASES}192.0.2.2:6443") is None
    assert store.get(f"{LEASES}192.0.2.1:6443") is not None


async def test_another_port_has_a_slice_of_its_own(store: Store, peers: Peers, clock: VirtualClock) -> None:
    await renew(store, ELSEWHERE)
    await clock.settle()
    assert said(store) == [(6443, ["192.0.2.1"]), (7443, ["192.0.2.1"])]
    assert slices(store) == ["", "-7443"]
    await clock.advance(40.0)
    assert slices(store) == [""]


async def test_who_stops_leaves_at_once(store: Store, peers: Peers, clock: VirtualClock) -> None:
    other = Peers(store, clock, SECOND, "second")
    await other.start()
    assert said(store) == [(6443, ["192.0.2.1", "192.0.2.2"])]
    await other.stop()
    await clock.settle()
    assert said(store) == [(6443, ["192.0.2.1"])]


async def test_identities_of_long_gone_servers_go(store: Store, peers: Peers, clock: VirtualClock) -> None:
    other = Peers(store, clock, SECOND, "second")
    await other.start()
    await other.stop()
    await clock.advance(3500.0)
    assert len(store.range(IDENTITIES, prefix_end(IDENTITIES)).items) == 2
    await clock.advance(200.0)
    assert len(store.range(IDENTITIES, prefix_end(IDENTITIES)).items) == 1
