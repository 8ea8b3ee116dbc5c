"""Creating and deleting Pods for the object that controls them, which is told of it by events."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_namespace_terminating, is_reason
from pinnace.api.resources import PODS
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.client.recorder import NORMAL, WARNING, Recorder
from pinnace.controllers.expectations import Expectations


class PodControl:
    """``expectations`` expect the deletions already; those that will not be seen are taken back."""

    def __init__(self, client: Client, events: Recorder, expectations: Expectations) -> None:
        self._client = client
        self._events = events
        self._expectations = expectations

    async def create(self, owner: Object, pod: Object) -> Object:
        """The Pod as made. Raises ApiError, OSError, TimeoutError."""
        try:
            made = await self._client.create(PODS, pod)
        except (ApiError, OSError, TimeoutError) as error:
            if not is_namespace_terminating(error):
                self._events.event(owner, WARNING, "FailedCreate", f"Error creating: {error}")
            raise
        self._events.event(owner, NORMAL, "SuccessfulCreate", f"Created pod: {meta.name(made)}")
        return made

    async def delete(self, key: str, owner: Object, pod: Object) -> bool:
        """False if it was gone already. Raises ApiError, OSError, TimeoutError."""
        try:
            await self._client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except (ApiError, OSError, TimeoutError) as error:
            self._expectations.deleted(key, meta.uid(pod))
            if is_reason(error, "NotFound"):
                return False
            self._events.event(owner, WARNING, "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.event(owner, NORMAL, "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
        return True
