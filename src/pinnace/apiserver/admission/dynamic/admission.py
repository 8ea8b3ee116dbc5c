"""Webhooks and policies as one step of admission. As long as none is configured it costs nothing, and none of its code
is loaded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from pinnace.api.registry import Registry
from pinnace.apiserver.admission.base import View
from pinnace.apiserver.request import AdmissionAttributes, Authorizer
from pinnace.core.clock import Clock
from pinnace.store.protocol import Event, Store, prefix_end

if TYPE_CHECKING:
    from pinnace.apiserver.admission.dynamic.parts import Parts

PREFIX = "/registry/admissionregistration.k8s.io/"


class DynamicAdmission:
    """One for each API server."""

    def __init__(self, store: Store, clock: Clock, registry: Registry, view: View, authorizer: Authorizer) -> None:
        self._made_of = store, clock, registry, view, authorizer
        self._parts: Parts | None = None
        #: Whether anything has ever been configured.
        self._wanted = bool(store.range(PREFIX, prefix_end(PREFIX), limit=1).items)
        store.watch(PREFIX, prefix_end(PREFIX), store.revision, self._see)

    def _see(self, events: Sequence[Event] | None) -> None:
        self._wanted = self._wanted or events is not None

    @property
    def _all(self) -> Parts:
        if self._parts is None:
            from pinnace.apiserver.admission.dynamic.parts import Parts

            self._parts = Parts(*self._made_of)
        return self._parts

    def mutates(self, attributes: AdmissionAttributes) -> bool:
        """Whether anything may change the object of a request."""
        return self._wanted and self._all.mutates(attributes)

    async def mutate(
        self, attributes: AdmissionAttributes, built_in: Callable[[AdmissionAttributes], Awaitable[None]]
    ) -> None:
        """Let all that are for a request change its object; ``built_in`` plugins see what has changed. Raises
        ApiError."""
        await self._all.mutate(attributes, built_in)

    def validate(self, attributes: AdmissionAttributes) -> Awaitable[None] | None:
        """What is awaited, if anything looks at the request. Raises ApiError."""
        return self._all.validate(attributes) if self._wanted else None

    def close(self) -> None:
        if self._parts is not None:
            self._parts.close()
