"""The volumes of one node's Pods, below ``pods/<uid>/volumes/<plugin>/<name>``.

Promises: every volume is there before the sandbox is; one made of API data follows its objects as the watch tells of
them, and its tokens are renewed in time; nothing is left of a Pod after ``teardown``, also when the process that
mounted it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnace.api import meta, quantity
from pinnace.api.errors import ApiError
from pinnace.api.types import GVR, Object
from pinnace.core.clock import Clock, Timer, timestamp
from pinnace.core.workqueue import WorkQueue
from pinnace.kubelet.objects import ObjectCache
from pinnace.kubelet.pods.failure import StartFailure
from pinnace.kubelet.volumes import atomic, host_path, mounts, payload
from pinnace.kubelet.volumes.claims import Claims
from pinnace.kubelet.volumes.payload import PayloadError
from pinnace.kubelet.volumes.tokens import Tokens

log = logging.getLogger(__name__)

_PLUGINS = {
    "emptyDir": "kubernetes.io~empty-dir",
    "configMap": "kubernetes.io~configmap",
    "secret": "kubernetes.io~secret",
    "projected": "kubernetes.io~projected",
    "downwardAPI": "kubernetes.io~downward-api",
}


@dataclass(slots=True)
class _Mounted:
    pod: Object
    pod_ips: Sequence[str] = ()
    timer: Timer | None = None


class Volumes:
    """``pods_dir`` holds a directory per Pod UID."""

    def __init__(
        self,
        pods_dir: Path,
        objects: ObjectCache,
        tokens: Tokens,
        claims: Claims,
        clock: Clock,
        *,
        node_ips: Sequence[str],
        allocatable: Mapping[str, str],
    ) -> None:
        self._pods_dir = pods_dir
        self._objects = objects
        self._tokens = tokens
        self._claims = claims
        self._clock = clock
        self._node_ips = node_ips
        self._allocatable = allocatable
        #: Called with a Pod's UID when an object that its volumes are made of has changed.
        self.changed_object: Callable[[str], None] = lambda uid: None
        self._mounted: dict[str, _Mounted] = {}
        self._stale: WorkQueue[str] = WorkQueue(clock, base_delay=1.0, max_delay=60.0)

    def path(self, uid: str, volume: Object) -> Path:
        """Where a volume is on the node. Raises StartFailure for a kind that is not supported."""
        if (claimed := self._claims.path(uid, volume["name"])) is not None:
            return claimed
        if source := volume.get("hostPath"):
            return Path(source["path"])
        for kind, plugin in _PLUGINS.items():
            if kind in volume:
                return self._pods_dir / uid / "volumes" / plugin / str(volume["name"])
        kinds = ", ".join(key for key in volume if key != "name")
        raise StartFailure(
            "ContainerCreating",
            f"volume {volume['name']}: volumes of kind {kinds} are not supported",
            event="FailedMount",
            event_message=f'MountVolume.SetUp failed for volume "{volume["name"]}" : volumes of kind {kinds} are not '
            "supported",
            hold=60.0,
        )

    async def mount(self, pod: Object) -> None:
        """Idempotent. Raises StartFailure."""
        uid = meta.uid(pod)
        self._mounted.setdefault(uid, _Mounted(pod)).pod = pod
        for volume in pod["spec"].get("volumes") or ():
            try:
                await self._set_up(pod, volume)
            except (PayloadError, OSError, ApiError, TimeoutError) as error:
                text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error or "timed out"}'
                raise StartFailure("ContainerCreating", text, event="FailedMount", hold=1.0) from error
        self._schedule(uid)

    async def _set_up(self, pod: Object, volume: Object) -> None:
        uid = meta.uid(pod)
        if "persistentVolumeClaim" in volume or "ephemeral" in volume:
            await self._claims.resolve(pod, volume)
            return
        path = self.path(uid, volume)
        if source := volume.get("hostPath"):
            host_path.prepare(path, str(source.get("type") or ""))
            return
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if "emptyDir" in volume:
            self._empty_dir(path, volume["emptyDir"] or {}, group)
            return
        path.mkdir(parents=True, exist_ok=True)
        in_memory = "secret" in volume or "projected" in volume
        if in_memory and not mounts.is_mount(path):
            mounts.mount_tmpfs(path)
        await self._fill(pod, volume, path, group)

    def _empty_dir(self, path: Path, source: Object, group: int | None) -> None:
        path.mkdir(parents=True, exist_ok=True)
        if source.get("medium") == "Memory" and not mounts.is_mount(path):
            limit = source.get("sizeLimit")
            mounts.mount_tmpfs(path, size=quantity.value(limit) if limit else 0)
        path.chmod(0o777 if group is None else 0o2777)
        if group is not None:
            os.chown(path, -1, int(group))

    async def _fill(self, pod: Object, volume: Object, path: Path, group: int | None) -> bool:
        uid = meta.uid(pod)

        async def fetch(gvr: GVR, name: str) -> Object | None:
            return await self._objects.get(gvr, meta.namespace(pod), name, uid, lambda: self._follow(uid))

        async def token(audience: str, seconds: int) -> str:
            return await self._tokens.get(pod, audience, seconds)

        ips = self._mounted[uid].pod_ips if uid in self._mounted else ()
        context = payload.Context(pod, self._node_ips, ips, self._allocatable, fetch, token)
        found = await payload.files(volume, context)
        stamp = timestamp(self._clock.now()).translate(str.maketrans("-T:", "___", "Z"))
        return atomic.write(path, found, stamp, int(group) if group is not None else None)

    def _follow(self, uid: str) -> None:
        self._stale.add(uid)
        self.changed_object(uid)

    def know_addresses(self, uid: str, ips: Sequence[str]) -> None:
        """The Pod has its addresses: downward API files may name them."""
        mounted = self._mounted.get(uid)
        if mounted is not None and tuple(mounted.pod_ips) != tuple(ips):
            mounted.pod_ips = tuple(ips)
            if any("downwardAPI" in volume for volume in mounted.pod["spec"].get("volumes") or ()):
                self._stale.add(uid)

    def changed(self, pod: Object) -> None:
        """The Pod has other labels or annotations."""
        mounted = self._mounted.get(meta.uid(pod))
        if mounted is not None:
            mounted.pod = pod
            self._stale.add(meta.uid(pod))

    # -- keeping them current

    async def keep_current(self) -> None:
        """Follow the objects that volumes are made of; never returns."""
        await self._stale.run(self._refresh, self._failed)

    async def _refresh(self, uid: str) -> None:
        mounted = self._mounted.get(uid)
        if mounted is None:
            return
        group = (mounted.pod["spec"].get("securityContext") or {}).get("fsGroup")
        problems: list[str] = []
        for volume in mounted.pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in payload.KINDS):
                path = self.path(uid, volume)
                try:
                    if path.is_dir():
                        await self._fill(mounted.pod, volume, path, group)
                except (PayloadError, ApiError, OSError, TimeoutError) as error:
                    problems.append(f"{volume['name']}: {error}")
        self._schedule(uid)
        if problems:
            raise PayloadError("; ".join(problems))

    def _failed(self, uid: str, error: Exception, delay: float) -> None:
        mounted = self._mounted.get(uid)
        name = meta.key(mounted.pod) if mounted is not None else uid
        log.warning("cannot update the volumes of Pod %s: %s", name, error)

    def _schedule(self, uid: str) -> None:
        mounted, due = self._mounted.get(uid), self._tokens.renewal(uid)
        if mounted is None or due is None:
            return
        if mounted.timer is not None:
            mounted.timer.cancel()
        mounted.timer = self._clock.call_later(max(due - self._clock.now(), 1.0), self._stale.add, uid)

    # -- the end

    async def teardown(self, uid: str) -> None:
        """Unmount and remove the Pod's volumes. Idempotent. Raises OSError."""
        mounted = self._mounted.pop(uid, None)
        if mounted is not None and mounted.timer is not None:
            mounted.timer.cancel()
        self._objects.release(uid)
        self._tokens.forget(uid)
        self._claims.forget(uid)
        directory = self._pods_dir / uid
        if directory.exists():
            await asyncio.to_thread(_remove, directory)  # an emptyDir may hold anything

    def unmount_all(self) -> None:
        """Take away what is mounted, as a reboot would; files on disk stay. Raises OSError."""
        for point in mounts.mounted_below(self._pods_dir):
            mounts.unmount(point)

    def close(self) -> None:
        self._stale.close()
        for mounted in self._mounted.values():
            if mounted.timer is not None:
                mounted.timer.cancel()


def _remove(directory: Path) -> None:
    for point in mounts.mounted_below(directory):
        mounts.unmount(point)
    shutil.rmtree(directory, onerror=_complain)


def _complain(function: Any, path: str, error: Any) -> None:
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
