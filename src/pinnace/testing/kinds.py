"""Which resource a test means: as kubectl takes it (``pods``, ``pod``, ``po``, ``Pod``, ``deployments.apps``,
``deployments.v1.apps``) or by an object's own ``apiVersion`` and ``kind``. Read from the cluster's discovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pinnace.api import meta
from pinnace.api.types import GVK, GVR, Object, split_api_version
from pinnace.client.transport import Transport


class Kind(NamedTuple):
    gvr: GVR
    kind: str
    namespaced: bool


class Kinds:
    """What the cluster serves; read again when something is asked for that was not there."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._by_name: dict[str, Kind] = {}
        self._by_kind: dict[GVK, Kind] = {}

    async def named(self, name: str) -> Kind:
        """Raises LookupError."""
        wanted = name.lower()
        if wanted not in self._by_name:
            await self._read()
        if wanted not in self._by_name:
            raise LookupError(
                f"the cluster serves no {name!r}; name a resource as kubectl does: pods, po, deployments.apps"
            )
        return self._by_name[wanted]

    async def of(self, obj: Object) -> Kind:
        """Raises LookupError."""
        wanted = meta.gvk(obj)
        if not wanted.kind or not wanted.version:
            raise LookupError(f"an object needs apiVersion and kind: {obj!r:.200}")
        if wanted not in self._by_kind:
            await self._read()
        if wanted not in self._by_kind:
            raise LookupError(f"the cluster serves no {wanted.kind} of {wanted.api_version}")
        return self._by_kind[wanted]

    async def _read(self) -> None:
        self._by_name.clear()
        self._by_kind.clear()
        for version in (await self._transport.request("GET", "/api"))["versions"]:
            await self._read_version(version, f"/api/{version}")
        for group in (await self._transport.request("GET", "/apis"))["groups"]:
            preferred = group["preferredVersion"]["groupVersion"]
            others = [found["groupVersion"] for found in group["versions"] if found["groupVersion"] != preferred]
            for version in (preferred, *others):
                await self._read_version(version, f"/apis/{version}")

    async def _read_version(self, api_version: str, path: str) -> None:
        found: Sequence[dict[str, Any]] = (await self._transport.request("GET", path)).get("resources") or ()
        group, version = split_api_version(api_version)
        for row in found:
            if "/" in row["name"]:
                continue
            kind = Kind(GVR(group, version, row["name"]), row["kind"], bool(row["namespaced"]))
            self._by_kind.setdefault(GVK(group, version, row["kind"]), kind)
            names = {row["name"], row.get("singularName") or "", row["kind"].lower()} - {""}
            suffix = f".{group}" if group else ""
            for name in sorted(names):
                self._by_name.setdefault(name, kind)
                self._by_name.setdefault(f"{name}{suffix}", kind)
                self._by_name.setdefault(f"{name}.{version}{suffix}", kind)
            for name in row.get("shortNames") or ():
                self._by_name.setdefault(name, kind)
