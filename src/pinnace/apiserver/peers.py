"""Which API servers serve the cluster, where several do (a store that is shared).

Each renews a key under ``/registry/masterleases/`` every ``PERIOD`` seconds, and with it its identity, the Lease
``kube-system/apiserver-...``. One whose key has not changed for ``TTL`` seconds of the observer's clock is gone, and
whoever notices removes the key: clocks need not agree. ``default/kubernetes``'s Endpoints and EndpointSlices hold the
addresses of all that are left, as with kube-apiserver's lease reconciler; a server that is stopped leaves at once.
Identities end an hour after their last renewal.

Servers with different ports (several on one machine) get an EndpointSlice for each port.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import uuid
from collections.abc import Iterable, Sequence

import orjson

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.bootstrap import objects, reconcile, tracking
from pinnace.apiserver.bootstrap.objects import Endpoint
from pinnace.apiserver.resources import codec
from pinnace.core.clock import Clock, parse_timestamp, timestamp_micro
from pinnace.core.supervisor import Tasks
from pinnace.store.protocol import Compare, Delete, Event, KeyValue, Put, Store, StoreError, Txn, Watch, prefix_end

log = logging.getLogger(__name__)

LEASES = "/registry/masterleases/"
IDENTITIES = "/registry/coordination.k8s.io/leases/kube-system/apiserver-"
SLICES = "/registry/discovery.k8s.io/endpointslices/default/kubernetes"
PERIOD = 10.0
TTL = 15.0
#: Seconds that an identity is good for.
IDENTITY_SECONDS = 3600


def identity_of(host: str, port: int) -> str:
    """The name of the Lease of the API server at that address."""
    digest = hashlib.sha256(f"{host}:{port}".encode()).digest()[:16]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


class Peers:
    """This server's part. ``host`` is the machine's name."""

    def __init__(self, store: Store, clock: Clock, endpoint: Endpoint, host: str) -> None:
        self._store = store
        self._clock = clock
        self._endpoint = endpoint
        self._host = host
        self._name = identity_of(host, endpoint.port)
        self._holder = f"{self._name}_{uuid.uuid4()}"
        self._key = f"{LEASES}{endpoint.address}:{endpoint.port}"
        self._seen: dict[str, tuple[int, float]] = {}  # key -> (its revision, since when on our clock)
        self._changed = asyncio.Event()
        self._watch: Watch | None = None
        self._tasks = Tasks("peers", clock)

    async def start(self) -> None:
        """Take part from here on. Raises StoreError."""
        await self._renew()
        await self._settle()
        self._watch = self._store.watch(LEASES, prefix_end(LEASES), self._store.revision, self._take)
        self._tasks.forever(self._run, name="lease")
        self._tasks.forever(self._follow, name="endpoints")

    async def stop(self) -> None:
        """Leave: the others take this server's address out."""
        if self._watch is None:
            return
        self._watch.cancel()
        await self._tasks.stop()
        try:
            await self._store.commit(Txn((), [Delete(self._key)]))
        except StoreError as error:
            log.warning("cannot take this API server's address out of default/kubernetes: %s", error)

    def _take(self, events: Sequence[Event] | None) -> None:
        if any(event.current is None or event.previous is None for event in events or ()):
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(PERIOD)
            try:
                await self._renew()
            except StoreError as error:
                log.warning("cannot renew this API server's lease: %s", error)
            self._changed.set()

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._settle()
            except StoreError as error:
                log.warning("default/kubernetes is not up to date: %s", error)

    # -- itself

    async def _renew(self) -> None:
        held = self._store.get(IDENTITIES + self._name.removeprefix("apiserver-"))
        lease = codec.decoded(held) if held is not None else None
        mine = Put(self._key, orjson.dumps(objects.kubernetes_endpoints([self._endpoint])[0]))
        await self._store.commit(Txn((), [mine]))
        identity = Put(IDENTITIES + self._name.removeprefix("apiserver-"), codec.encode(self._identity(lease)))
        revision = held.mod_revision if held is not None else 0
        await self._store.commit(Txn([Compare(identity.key, revision)], [identity]))

    def _identity(self, held: Object | None) -> Object:
        now = timestamp_micro(self._clock.now())
        spec = {"holderIdentity": self._holder, "leaseDurationSeconds": IDENTITY_SECONDS, "renewTime": now}
        if held is not None:
            renewed = {**held, "metadata": dict(held["metadata"]), "spec": spec}
            tracking.track_change(renewed, held, now[:19] + "Z")
            return renewed
        made = {
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {
                "name": self._name,
                "namespace": "kube-system",
                "uid": meta.new_uid(),
                "creationTimestamp": now[:19] + "Z",
                "labels": {
                    "apiserver.kubernetes.io/identity": "kube-apiserver",
                    "kubernetes.io/hostname": self._host,
                },
            },
            "spec": spec,
        }
        tracking.track_new(made, now[:19] + "Z")
        return made

    # -- all of them

    async def _settle(self) -> None:
        """Remove who is gone; make ``default/kubernetes`` say who is left."""
        endpoints, gone = self._look()
        for item in [*gone, *self._old_identities()]:
            await self._store.commit(Txn([Compare(item.key, item.mod_revision)], [Delete(item.key)]))
        wanted = objects.kubernetes_endpoints(endpoints)
        keys = {reconcile.key_of(obj) for obj in wanted}
        await reconcile.ensure(self._store, self._clock, wanted)
        for item in self._store.range(SLICES, prefix_end(SLICES)).items:
            port = item.key.removeprefix(SLICES).removeprefix("-")
            if item.key not in keys and (not port or port.isdecimal()):
                await self._store.commit(Txn([Compare(item.key, item.mod_revision)], [Delete(item.key)]))

    def _look(self) -> tuple[list[Endpoint], list[KeyValue]]:
        """Where those that are there can be reached, and the keys of those that are not any more."""
        now = self._clock.monotonic()
        before, self._seen = self._seen, {}
        there: set[tuple[str, int]] = {(self._endpoint.address, self._endpoint.port)}
        gone: list[KeyValue] = []
        for item in self._store.range(LEASES, prefix_end(LEASES)).items:
            revision, since = before.get(item.key, (0, now))
            self._seen[item.key] = (item.mod_revision, since if revision == item.mod_revision else now)
            if item.key == self._key:
                continue
            if now - self._seen[item.key][1] > TTL:
                gone.append(item)
            else:
                there.update(_addresses(orjson.loads(item.value)))
        return [Endpoint(self._endpoint.service_ip, *address) for address in sorted(there)], gone

    def _old_identities(self) -> Iterable[KeyValue]:
        for item in self._store.range(IDENTITIES, prefix_end(IDENTITIES)).items:
            spec = codec.decoded(item).get("spec") or {}
            if spec.get("renewTime") and spec.get("leaseDurationSeconds"):
                if parse_timestamp(spec["renewTime"]) + spec["leaseDurationSeconds"] < self._clock.now():
                    yield item


def _addresses(endpoints: Object) -> Iterable[tuple[str, int]]:
    for subset in endpoints["subsets"]:
        for address in subset["addresses"]:
            yield address["ip"], subset["ports"][0]["port"]
