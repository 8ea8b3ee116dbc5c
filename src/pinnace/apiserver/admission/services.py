"""Service allocation as a step of admission."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.apiserver.admission.base import CREATE, UPDATE
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.request import AdmissionAttributes


class ServiceAllocation:
    """Comes last: what it reserves is given back through ``attributes.undo`` if the Service is not committed."""

    name = "ServiceAllocation"

    def __init__(self, allocator: ServiceAllocator) -> None:
        self._allocator = allocator

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource) == ("", "services", "") and operation in (CREATE, UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        service = attributes.object
        if service is None or (attributes.operation == CREATE and not meta.name(service)):
            return  # validation says that it has no name
        old = attributes.old_object
        self._allocator.allocate(service, old, attributes.undo, dry_run=attributes.dry_run)
        if self._allocator.shared and not attributes.dry_run:
            attributes.charges.append(lambda: self._allocator.charges(service, old))
