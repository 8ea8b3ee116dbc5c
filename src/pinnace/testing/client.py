"""A client for tests: waits for its answers, takes and gives plain dicts that are the test's own to change.

It enters the cluster's request pipeline in process, as the administrator or as whomever it is told to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

from pinnace.api import meta
from pinnace.api.types import GVR, Object
from pinnace.client import client as core
from pinnace.client.transport import Transport
from pinnace.testing import waiting
from pinnace.testing.kinds import Kind, Kinds

T = TypeVar("T")

PATCHES = {
    "merge": core.MERGE_PATCH,
    "strategic": core.STRATEGIC_MERGE_PATCH,
    "json": core.JSON_PATCH,
}
APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "pinnace-test"
#: Seconds of the machine's time that ``wait`` waits unless told otherwise.
PATIENCE = 20.0


class Bridge(Protocol):
    def __call__(self, work: Coroutine[Any, Any, T], *, limit: float | None = PATIENCE) -> T:
        """Have ``work`` done in the cluster's event loop; what it returns or raises. Where the clock may stand still,
        TimeoutError after ``limit`` seconds of the machine's time."""


class Client:
    """``kind`` is as kubectl takes it: ``pods``, ``po``, ``Pod``, ``deployments.apps``. ``namespace`` is the client's
    own unless given; it is ignored for what is not namespaced. Every call raises ApiError for what the cluster refuses
    (``error.code``, ``error.reason``, ``error.message``) and LookupError for kinds it does not serve."""

    def __init__(self, call: Bridge, transport: Transport, *, namespace: str = "default") -> None:
        self.namespace = namespace
        self._call = call
        self._transport = transport
        self._client = core.Client(transport, field_manager=FIELD_MANAGER)
        self._kinds = Kinds(transport)

    # -- reading

    def get(self, kind: str, name: str, *, namespace: str = "", subresource: str = "") -> Object:
        async def work() -> Object:
            gvr, space = self._within(await self._kinds.named(kind), namespace)
            return await self._client.get(gvr, name, space, subresource=subresource)

        return self._own(work())

    def list(
        self,
        kind: str,
        *,
        namespace: str = "",
        all_namespaces: bool = False,
        label_selector: str = "",
        field_selector: str = "",
    ) -> list[Object]:
        """The objects, each with its apiVersion and kind."""

        async def work() -> Object:
            found = await self._kinds.named(kind)
            gvr, space = self._within(found, namespace)
            answer = await self._client.list(
                gvr,
                "" if all_namespaces else space,
                label_selector=label_selector,
                field_selector=field_selector,
            )
            head = {"apiVersion": gvr.api_version, "kind": found.kind}
            return {"items": [{**head, **item} for item in answer.get("items") or ()]}

        return cast("list[Object]", self._own(work())["items"])

    def logs(self, pod: str, *, namespace: str = "", container: str = "", previous: bool = False) -> str:
        query = {name: value for name, value in (("container", container), ("previous", previous and "true")) if value}

        async def work() -> bytes:
            gvr, space = self._within(await self._kinds.named("pods"), namespace)
            return await self._client.read(core.path_of(gvr, space, pod, "log"), query=query)

        return self._call(work()).decode("utf-8", "replace")

    # -- writing

    def create(self, obj: Mapping[str, Any], *, namespace: str = "") -> Object:
        """The object as the cluster made it."""
        sent = _copied(obj)

        async def work() -> Object:
            gvr, space = self._within(await self._kinds.of(sent), namespace or meta.namespace(sent))
            return await self._client.create(gvr, sent, namespace=space)

        return self._own(work())

    def apply(
        self, obj: Mapping[str, Any], *, namespace: str = "", field_manager: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """Server-side apply: the object is made, or brought in line with what ``obj`` says."""
        sent = _copied(obj)
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}

        async def work() -> Object:
            gvr, space = self._within(await self._kinds.of(sent), namespace or meta.namespace(sent))
            path = core.path_of(gvr, space, meta.name(sent))
            return await self._transport.request("PATCH", path, query=query, body=sent, content_type=APPLY)

        return self._own(work())

    def update(self, obj: Mapping[str, Any], *, subresource: str = "") -> Object:
        """PUT the whole object; Conflict if its resourceVersion is not the newest."""
        sent = _copied(obj)

        async def work() -> Object:
            found = await self._kinds.of(sent)
            if found.namespaced and not meta.namespace(sent):
                sent["metadata"]["namespace"] = self.namespace
            return await self._client.update(found.gvr, sent, subresource=subresource)

        return self._own(work())

    def patch(
        self,
        kind: str,
        name: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        type: str = "merge",
        namespace: str = "",
        subresource: str = "",
    ) -> Object:
        """``type`` is merge, strategic or json."""
        if type not in PATCHES:
            raise ValueError(f"patch type {type!r}: expected one of {', '.join(PATCHES)}")
        sent = meta.copy(list(patch) if type == "json" else dict(cast("Mapping[str, Any]", patch)))

        async def work() -> Object:
            gvr, space = self._within(await self._kinds.named(kind), namespace)
            return await self._client.patch(gvr, name, sent, space, subresource=subresource, content_type=PATCHES[type])

        return self._own(work())

    def delete(
        self, kind: str, name: str, *, namespace: str = "", grace_period: int | None = None, propagation: str = ""
    ) -> None:
        """Have it deleted; what has finalizers, and a Pod with a grace period, is gone later (``wait`` for "deleted").
        ``propagation`` is Orphan, Background or Foreground."""

        async def work() -> Object:
            gvr, space = self._within(await self._kinds.named(kind), namespace)
            return await self._client.delete(
                gvr, name, space, grace_period_seconds=grace_period, propagation=propagation
            )

        self._call(work())

    # -- waiting

    def wait(
        self, kind: str, name: str, condition: waiting.Condition, *, namespace: str = "", timeout: float = PATIENCE
    ) -> Object | None:
        """Return the object once ``condition`` holds, None for one that is gone. It may be one that is not there yet.
        Raises TimeoutError, with the object's last state, after ``timeout`` seconds of the machine's time: on virtual
        time nothing that waits for the cluster's clock happens by waiting here; ``advance`` it."""
        holds = waiting.check(condition)

        async def work() -> Object | None:
            gvr, space = self._within(await self._kinds.named(kind), namespace)
            sight = waiting.Sight(self._client, gvr, name, space)
            try:
                async with asyncio.timeout(timeout):
                    return await sight.until(holds)
            except TimeoutError:
                raise TimeoutError(
                    f"{gvr.group_resource} {name!r} in namespace {space!r}: waited {timeout:g} s for "
                    f"{condition!r}; it is {sight.last!r:.2000}"
                ) from None

        return cast("Object | None", meta.copy(self._call(work(), limit=None)))

    # -- details

    def _within(self, kind: Kind, namespace: str) -> tuple[GVR, str]:
        return kind.gvr, (namespace or self.namespace) if kind.namespaced else ""

    def _own(self, work: Coroutine[Any, Any, Object]) -> Object:
        """What comes out of the cluster is shared: the test gets a copy."""
        return cast("Object", meta.copy(self._call(work)))


def _copied(obj: Mapping[str, Any]) -> Object:
    return cast("Object", meta.copy(dict(obj)))
