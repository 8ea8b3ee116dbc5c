"""Static Pods: Pods that a node runs because a file in its manifest directory says so, with or without an API server.

Each file holds one Pod in YAML or JSON. A file that cannot be used is told of once per change, and what it said before
goes on. Names that begin with a dot are left alone: write there and rename. A Pod's UID is made of its contents, so an
unchanged file is the same Pod to every kubelet that reads it.
"""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from pinnace.api import meta
from pinnace.api.types import GVK, Object
from pinnace.core.clock import Clock, timestamp
from pinnace.kubelet.lifecycle.situation import EPHEMERAL, INIT, REGULAR, containers_of

log = logging.getLogger(__name__)

#: Seconds between two looks at the directory.
LOOK = 1.0
SIZE_LIMIT = 10 << 20
HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"
_POD = GVK("", "v1", "Pod")
_DEFINITION = "io.k8s.api.core.v1.Pod"


class ManifestError(ValueError):
    """A file that holds no Pod that can run; the text says why."""


class Manifests:
    """The Pods of one directory, by namespace and name."""

    def __init__(self, directory: Path, node_name: str, clock: Clock) -> None:
        self.directory = directory
        self._node_name = node_name
        self._clock = clock
        self._seen: dict[str, tuple[int, int, int]] = {}  # file -> what tells that it has changed
        self._problem = ""
        self._pods: dict[str, Object] = {}  # file -> its Pod, as it was last good

    def read(self) -> dict[str, Object] | None:
        """All Pods after a change, None if nothing changed. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        found: dict[str, tuple[int, int, int]] = {}
        for entry in sorted(self.directory.iterdir()):
            try:
                status = entry.stat()
            except FileNotFoundError:  # gone since it was listed
                continue
            if not entry.name.startswith(".") and stat.S_ISREG(status.st_mode):
                found[entry.name] = status.st_mtime_ns, status.st_size, status.st_ino
        if found == self._seen:
            return None
        changed = [name for name in found if found[name] != self._seen.get(name)]
        self._pods = {name: pod for name, pod in self._pods.items() if name in found}
        self._seen = found
        for name in changed:
            self._take(self.directory / name)
        return self._by_key()

    def _take(self, path: Path) -> None:
        try:
            if path.stat().st_size > SIZE_LIMIT:
                raise ManifestError(f"is larger than {SIZE_LIMIT >> 20} MiB")
            pod = parse(path.read_bytes(), str(path), self._node_name)
        except (OSError, ManifestError) as error:
            keeps = "; the Pod that it held goes on" if path.name in self._pods else ""
            log.warning("manifest %s: %s%s", path, error, keeps)
            return
        meta.metadata(pod)["annotations"][SEEN] = timestamp(self._clock.now())
        self._pods[path.name] = pod

    def _by_key(self) -> dict[str, Object]:
        pods: dict[str, Object] = {}
        for name, pod in self._pods.items():
            if meta.key(pod) in pods:
                log.warning("manifest %s: another file has a Pod %s too", self.directory / name, meta.key(pod))
            else:
                pods[meta.key(pod)] = pod
        return pods

    def current(self) -> dict[str, Object]:
        """All Pods as they are now."""
        self._look()
        return self._by_key()

    async def watch(self, changed: Callable[[dict[str, Object]], None]) -> None:
        """Call ``changed`` with all Pods after every change; never returns."""
        while True:
            await self._clock.sleep(LOOK, routine=True)
            pods = self._look()
            if pods is not None:
                changed(pods)

    def _look(self) -> dict[str, Object] | None:
        """``read``; a directory that cannot be read is told of once, and changes nothing."""
        try:
            pods = self.read()
        except OSError as error:
            if str(error) != self._problem:
                log.warning("cannot read the manifest directory %s: %s", self.directory, error)
            self._problem = str(error)
            return None
        self._problem = ""
        return pods


def parse(data: bytes, source: str, node_name: str) -> Object:
    """The Pod of a file called ``source``, as this node runs it. Raises ManifestError."""
    from pinnace.api import defaults, schema, validation  # large, and needed only where there are manifests

    body = _decoded(data)
    problems: list[str] = []
    try:
        pod = schema.decode(_DEFINITION, body, problems)
    except schema.DecodeError as error:
        raise ManifestError(f"is no Pod: {error}") from error
    if problems:
        raise ManifestError(f"is no Pod: {', '.join(problems)}")
    metadata = meta.metadata(pod)
    name = metadata.get("name")
    if not name:
        raise ManifestError("the Pod has no metadata.name")
    for field in ("ownerReferences", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"):
        metadata.pop(field, None)
    digest = hashlib.md5(f"host:{node_name}\nfile:{source}\n".encode(), usedforsecurity=False)
    digest.update(orjson.dumps(pod, option=orjson.OPT_SORT_KEYS))
    metadata["uid"] = metadata.get("uid") or digest.hexdigest()
    metadata["name"] = f"{name}-{node_name.lower()}"
    metadata.setdefault("namespace", "default")
    metadata["annotations"] = {**meta.annotations(pod), HASH: metadata["uid"], SOURCE: "file"}
    pod["spec"]["nodeName"] = node_name
    pod["spec"].setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    pod["status"] = {}
    _refuse_references(pod)
    defaults.apply(_POD, pod)
    if wrong := validation.validate(_POD, pod, None, ""):
        raise ManifestError(f"invalid pod: {wrong[0].field}: {wrong[0].message}")
    return pod


def _decoded(data: bytes) -> dict[str, Any]:
    import yaml

    try:
        read = [document for document in yaml.safe_load_all(data) if document is not None]
        documents = orjson.loads(orjson.dumps(read, option=orjson.OPT_NON_STR_KEYS))  # dates and numbers as JSON's
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ManifestError(f"is neither YAML nor JSON: {' '.join(str(error).split())}") from error
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ManifestError("expected one Pod")
    body: dict[str, Any] = documents[0]
    if body.get("kind") != "Pod" or body.get("apiVersion") != "v1":
        raise ManifestError(f"expected a Pod of v1, found {body.get('kind')} of {body.get('apiVersion')}")
    if not isinstance(body.get("spec"), dict):
        raise ManifestError("the Pod has no spec")
    return body


def _refuse_references(pod: Object) -> None:
    """A static Pod runs without an API server, and so cannot need anything of it."""
    spec = pod["spec"]
    if spec.get("serviceAccountName") or spec.get("serviceAccount"):
        raise ManifestError("static pods may not reference serviceaccounts")
    if spec.get("ephemeralContainers"):
        raise ManifestError("static pods may not have ephemeral containers")
    kinds = {"secret": "secrets", "configMap": "configmaps", "projected": "projected volumes"}
    claims = {"persistentVolumeClaim": "persistentvolumeclaims", "ephemeral": "ephemeral volumes"}
    for volume in spec.get("volumes") or ():
        for kind, what in {**kinds, **claims}.items():
            if kind in volume:
                raise ManifestError(f"static pods may not reference {what}")
    for container in [c for kind in (INIT, REGULAR, EPHEMERAL) for c in containers_of(pod, kind)]:
        sources = [entry.get("valueFrom") or {} for entry in container.get("env") or ()]
        if container.get("envFrom") or any("configMapKeyRef" in s or "secretKeyRef" in s for s in sources):
            raise ManifestError("static pods may not reference configmaps or secrets")
