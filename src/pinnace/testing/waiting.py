"""Following one object until something holds of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client

#: What is waited for: ``Ready`` or ``Ready=False`` (a condition), ``deleted``, or whether a function is content with
#: the object (None: there is none).
Condition = str | Callable[[Object | None], object]


def check(condition: Condition) -> Callable[[Object | None], object]:
    """The function that a condition stands for."""
    if callable(condition):
        return condition
    if condition == "deleted":
        return lambda obj: obj is None
    type, _, status = condition.partition("=")
    wanted = status or "True"
    return lambda obj: obj is not None and str((meta.condition(obj, type) or {}).get("status")) == wanted


class Sight:
    """One object as it is seen to change; ``last`` is None while there is none."""

    def __init__(self, client: Client, gvr: GVR, name: str, namespace: str) -> None:
        self.last: Object | None = None
        self._client = client
        self._gvr = gvr
        self._namespace = namespace
        self._selector = f"metadata.name={name}"

    async def until(self, holds: Callable[[Object | None], object]) -> Object | None:
        """The object once ``holds`` is content with it. Raises ApiError."""
        while True:
            found = await self._client.list(self._gvr, self._namespace, field_selector=self._selector)
            self.last = next(iter(found.get("items") or ()), None)
            if holds(self.last):
                return self.last
            try:
                if await self._follow(meta.resource_version(found), holds):
                    return self.last
            except ApiError as error:
                if not is_reason(error, "Expired", "Gone"):
                    raise

    async def _follow(self, version: str, holds: Callable[[Object | None], object]) -> bool:
        """Whether it came to hold before the watch ended."""
        watch = self._client.watch(self._gvr, self._namespace, resource_version=version, field_selector=self._selector)
        async with aclosing(watch) as batches:
            async for batch in batches:
                for event in batch:
                    if event.type == "BOOKMARK":
                        continue
                    self.last = None if event.type == "DELETED" else event.object
                    if holds(self.last):
                        return True
        return False
