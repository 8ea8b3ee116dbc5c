"""EndpointSlices by the Service they belong to."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.client.informer import Informer

SERVICE_NAME = "kubernetes.io/service-name"
_INDEX = "service"


def service_of(slice: Object) -> str:
    """``namespace/name`` of the Service a slice belongs to; "" for one that belongs to none."""
    name = meta.labels(slice).get(SERVICE_NAME)
    return f"{meta.namespace(slice)}/{name}" if name else ""


def index_by_service(slices: Informer) -> None:
    """Let ``slices_of`` find them."""
    slices.add_index(_INDEX, lambda slice: (service_of(slice),))


def slices_of(slices: Informer, service: str) -> list[Object]:
    """The slices of ``namespace/name``."""
    return slices.indexed(_INDEX, service)
