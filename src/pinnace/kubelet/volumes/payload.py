"""What is in the volumes that are made of API data: configMap, secret, downwardAPI, projected.

Pure but for asking for the objects. Raises PayloadError with upstream's words where something is missing.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.resources import CONFIG_MAPS, SECRETS
from pinnace.api.types import GVR, Object
from pinnace.kubelet.pods import downward
from pinnace.kubelet.volumes.atomic import File

DEFAULT_MODE = 0o644
#: ``fetch(gvr, name)``: an object of the Pod's namespace, None if there is none.
Fetch = Callable[[GVR, str], Awaitable[Object | None]]
#: ``token(audience, seconds)``: a token of the Pod's service account.
FetchToken = Callable[[str, int], Awaitable[str]]


class PayloadError(Exception):
    """A volume that cannot be filled now."""


@dataclass(frozen=True, slots=True)
class Context:
    pod: Object
    node_ips: Sequence[str]
    pod_ips: Sequence[str]
    allocatable: Mapping[str, str]
    fetch: Fetch
    token: FetchToken


KINDS = ("configMap", "secret", "downwardAPI", "projected")


async def files(volume: Object, context: Context) -> dict[str, File]:
    """The files of a volume of one of ``KINDS``, by path."""
    if source := volume.get("projected"):
        mode = _mode(source)
        found: dict[str, File] = {}
        for part in source.get("sources") or ():
            found.update(await _part(part, mode, context))
        return found
    for kind in ("configMap", "secret", "downwardAPI"):
        if kind in volume:
            source = volume[kind] or {}
            return await _part({kind: source}, _mode(source), context)
    raise PayloadError(f"volume {volume.get('name')} is of no kind that is made of API data")


def _mode(source: Object) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)


async def _part(part: Object, mode: int, context: Context) -> dict[str, File]:
    if (source := part.get("configMap")) is not None:
        return await _config_map(source, mode, context)
    if (source := part.get("secret")) is not None:
        return await _secret(source, mode, context)
    if (source := part.get("downwardAPI")) is not None:
        return _downward(source, mode, context)
    if (source := part.get("serviceAccountToken")) is not None:
        token = await context.token(str(source.get("audience") or ""), int(source.get("expirationSeconds") or 3600))
        owner = _single_user(context.pod)
        return {_safe(source["path"]): File(token.encode(), 0o600 if owner is not None else mode, owner)}
    raise PayloadError(f"a projected source is of a kind that is not supported: {', '.join(sorted(part))}")


def _single_user(pod: Object) -> int | None:
    """The user that every container of the Pod runs as, if it is one."""
    outer = pod["spec"].get("securityContext") or {}
    if outer.get("fsGroup") is not None:
        return None
    users = set()
    for spec in [*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ())]:
        own = spec.get("securityContext") or {}
        users.add(own["runAsUser"] if own.get("runAsUser") is not None else outer.get("runAsUser"))
    only = users.pop() if len(users) == 1 else None
    return int(only) if only is not None else None


async def _config_map(source: Object, mode: int, context: Context) -> dict[str, File]:
    name = source.get("name") or ""
    obj = await context.fetch(CONFIG_MAPS, name)
    if obj is None:
        if source.get("optional"):
            return {}
        raise PayloadError(f'configmap "{name}" not found')
    data = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
    data.update(_decoded(obj, "binaryData"))
    return _chosen(source, data, mode, "configmap")


async def _secret(source: Object, mode: int, context: Context) -> dict[str, File]:
    name = source.get("secretName") or source.get("name") or ""
    obj = await context.fetch(SECRETS, name)
    if obj is None:
        if source.get("optional"):
            return {}
        raise PayloadError(f'secret "{name}" not found')
    return _chosen(source, _decoded(obj, "data"), mode, "secret")


def _decoded(obj: Object, field: str) -> dict[str, bytes]:
    found = {}
    for key, value in (obj.get(field) or {}).items():
        try:
            found[key] = base64.b64decode(value)
        except (binascii.Error, ValueError) as error:
            raise PayloadError(f"key {key} of {meta.key(obj)} is not base64: {error}") from error
    return found


def _chosen(source: Object, data: Mapping[str, bytes], mode: int, word: str) -> dict[str, File]:
    items = source.get("items")
    if not items:
        return {_safe(key): File(value, mode) for key, value in data.items()}
    found = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            what = "config" if word == "configmap" else "secret"
            raise PayloadError(f"references non-existent {what} key: {item['key']}")
        own = item.get("mode")
        found[_safe(item["path"])] = File(data[item["key"]], mode if own is None else int(own))
    return found


def _downward(source: Object, mode: int, context: Context) -> dict[str, File]:
    found = {}
    pod = context.pod
    for item in source.get("items") or ():
        try:
            if ref := item.get("fieldRef"):
                value = downward.field(pod, ref["fieldPath"], context.node_ips, context.pod_ips)
            else:
                ref = item["resourceFieldRef"]
                specs = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
                target: Object = next((c for c in specs if c["name"] == ref.get("containerName")), {})
                divisor = str(ref.get("divisor") or "1")
                value = downward.resource(target, ref["resource"], divisor, context.allocatable)
        except downward.UnknownField as error:
            raise PayloadError(str(error)) from error
        own = item.get("mode")
        found[_safe(item["path"])] = File(value.encode(), mode if own is None else int(own))
    return found


def _safe(path: str) -> str:
    """A path that stays inside the volume."""
    clean = posixpath.normpath(path)
    if clean.startswith(("/", "..")) or clean == ".":
        raise PayloadError(f"invalid path, must be relative and inside the volume: {path}")
    return clean
