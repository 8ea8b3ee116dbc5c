"""Persistent volumes that are a directory of this node: hostPath and local, found through a Pod's claims."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pinnace.api import meta
from pinnace.api.errors import ApiError, is_reason
from pinnace.api.types import GVR, Object
from pinnace.client.client import Client
from pinnace.kubelet.volumes import host_path, ownership
from pinnace.kubelet.volumes.payload import PayloadError

CLAIMS = GVR("", "v1", "persistentvolumeclaims")
VOLUMES = GVR("", "v1", "persistentvolumes")


class Claims:
    """Which directory each claim of a Pod stands for, as long as the Pod is here: a claim's volume does not change."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._paths: dict[tuple[str, str], Path] = {}

    def path(self, uid: str, volume_name: str) -> Path | None:
        return self._paths.get((uid, volume_name))

    async def resolve(self, pod: Object, volume: Object) -> None:
        """Find and check the directory of a volume. Raises PayloadError, ApiError, OSError."""
        key = meta.uid(pod), str(volume["name"])
        if key in self._paths:
            return
        claim = await self._claim(pod, volume)
        name = (claim.get("spec") or {}).get("volumeName")
        if not name or (claim.get("status") or {}).get("phase") != "Bound":
            raise PayloadError(f'persistentvolumeclaim "{meta.name(claim)}" not bound')
        spec = (await self._client.get(VOLUMES, str(name)))["spec"]
        if source := spec.get("hostPath"):
            path = Path(source["path"])
            host_path.prepare(path, str(source.get("type") or "DirectoryOrCreate"))
        elif source := spec.get("local"):
            path = Path(source["path"])
            if not path.exists():
                raise PayloadError(f'path "{path}" does not exist')
            context = pod["spec"].get("securityContext") or {}
            if context.get("fsGroup") is not None and not _is_read_only(volume):
                policy = str(context.get("fsGroupChangePolicy") or "Always")
                await asyncio.to_thread(ownership.give, path, int(context["fsGroup"]), policy)
        else:
            known = {"capacity", "accessModes", "claimRef", "nodeAffinity", "volumeMode", "storageClassName"}
            kinds = ", ".join(
                sorted(key for key, value in spec.items() if key not in known and isinstance(value, dict))
            )
            raise PayloadError(f'persistent volume "{name}" is of a kind that is not supported: {kinds}')
        self._paths[key] = path

    async def _claim(self, pod: Object, volume: Object) -> Object:
        if "ephemeral" in volume:
            name = f"{meta.name(pod)}-{volume['name']}"
        else:
            name = str(volume["persistentVolumeClaim"]["claimName"])
        try:
            return await self._client.get(CLAIMS, name, meta.namespace(pod))
        except ApiError as error:
            if is_reason(error, "NotFound"):
                raise PayloadError(f'persistentvolumeclaim "{name}" not found') from error
            raise

    def forget(self, uid: str) -> None:
        for key in [key for key in self._paths if key[0] == uid]:
            del self._paths[key]


def _is_read_only(volume: Object) -> bool:
    return bool((volume.get("persistentVolumeClaim") or {}).get("readOnly"))
