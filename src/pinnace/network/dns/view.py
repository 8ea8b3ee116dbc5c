"""The cluster as the records see it: informers and their indexes."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from pinnace.api import meta
from pinnace.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from pinnace.api.types import Object
from pinnace.client.informer import Informers
from pinnace.core.clock import Clock
from pinnace.network.slices import index_by_service, slices_of

_BY_ADDRESS = "address"


class InformedView:
    """Implements ``records.View``, slices in any order. ``serial`` is the time of the last change, in whole seconds."""

    def __init__(self, informers: Informers, clock: Clock) -> None:
        self._clock = clock
        self._random = Random()
        self.serial = int(clock.now())
        self._namespaces = informers.of(NAMESPACES)
        self._services = informers.of(SERVICES)
        self._slices = informers.of(ENDPOINT_SLICES)
        index_by_service(self._slices)
        self._services.add_index(_BY_ADDRESS, _cluster_ips)
        self._slices.add_index(_BY_ADDRESS, _endpoint_addresses)
        self._services.add_handler(self._changed)
        self._slices.add_handler(self._changed)

    async def wait_synced(self) -> None:
        for informer in (self._namespaces, self._services, self._slices):
            await informer.synced.wait()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self.serial = int(self._clock.now())

    def namespace_exists(self, name: str) -> bool:
        return self._namespaces.get(name) is not None

    def service(self, namespace: str, name: str) -> Object | None:
        return self._services.get(name, namespace)

    def slices(self, namespace: str, name: str) -> Iterable[Object]:
        found = slices_of(self._slices, f"{namespace}/{name}")
        self._random.shuffle(found)
        return found

    def services_at(self, address: str) -> Iterable[Object]:
        return self._services.indexed(_BY_ADDRESS, address)

    def slices_with(self, address: str) -> Iterable[Object]:
        return sorted(self._slices.indexed(_BY_ADDRESS, address), key=meta.key)


def _cluster_ips(service: Object) -> Iterable[str]:
    spec = service["spec"]
    return [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"]


def _endpoint_addresses(slice: Object) -> Iterable[str]:
    return {address for entry in slice.get("endpoints") or () for address in entry.get("addresses") or ()}
