"""A container's environment, command and arguments."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pinnace.api import meta
from pinnace.api.resources import CONFIG_MAPS, SECRETS
from pinnace.api.types import GVR, Object
from pinnace.kubelet.pods import downward, service_env
from pinnace.kubelet.pods.expansion import expand
from pinnace.kubelet.pods.failure import CONFIG_ERROR, StartFailure

#: ``fetch(gvr, name)``: an object of the Pod's namespace, None if there is none.
Fetch = Callable[[GVR, str], Awaitable[Object | None]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an environment may refer to besides the Pod."""

    services: Iterable[Object]
    node_ips: Sequence[str]
    pod_ips: Sequence[str]
    allocatable: Mapping[str, str]


def config_error(message: str) -> StartFailure:
    return StartFailure(CONFIG_ERROR, message, event="Failed", event_message=f"Error: {message}", hold=10.0)


def values_of(gvr: GVR, obj: Object) -> dict[str, str]:
    """The data of a ConfigMap or Secret as text."""
    data = obj.get("data") or {}
    if gvr != SECRETS:
        return dict(data)
    found = {}
    for key, value in data.items():
        try:
            found[key] = base64.b64decode(value).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError) as error:
            raise config_error(f"key {key} of Secret {meta.key(obj)} is not base64: {error}") from error
    return found


async def environment(pod: Object, spec: Object, around: Surroundings, fetch: Fetch) -> dict[str, str]:
    """In order: envFrom, env, then Services' variables that are not set yet. Raises StartFailure."""
    links = pod["spec"].get("enableServiceLinks", True)
    services = service_env.variables(around.services, meta.namespace(pod), links=links)
    found: dict[str, str] = {}
    for source in spec.get("envFrom") or ():
        found.update(await _all_of(source, fetch))
    for entry in spec.get("env") or ():
        if "valueFrom" in entry:
            value = await _value_from(pod, spec, entry["valueFrom"], around, fetch)
            if value is None:
                continue
        else:
            value = expand(str(entry.get("value") or ""), {**services, **found})
        found[entry["name"]] = value
    for name, value in services.items():
        found.setdefault(name, value)
    return found


async def _all_of(source: Object, fetch: Fetch) -> dict[str, str]:
    for field, gvr, word in (("configMapRef", CONFIG_MAPS, "configmap"), ("secretRef", SECRETS, "secret")):
        if ref := source.get(field):
            obj = await fetch(gvr, ref["name"])
            if obj is None:
                if ref.get("optional"):
                    return {}
                raise config_error(f'{word} "{ref["name"]}" not found')
            prefix = source.get("prefix") or ""
            return {prefix + key: value for key, value in values_of(gvr, obj).items()}
    return {}


async def _value_from(pod: Object, spec: Object, source: Object, around: Surroundings, fetch: Fetch) -> str | None:
    try:
        if ref := source.get("fieldRef"):
            return downward.field(pod, ref["fieldPath"], around.node_ips, around.pod_ips)
        if ref := source.get("resourceFieldRef"):
            name = ref.get("containerName") or spec["name"]
            all_specs = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
            target = next((c for c in all_specs if c["name"] == name), spec)
            return downward.resource(target, ref["resource"], str(ref.get("divisor") or "1"), around.allocatable)
    except downward.UnknownField as error:
        raise config_error(str(error)) from error
    for field, gvr, word, kind in (
        ("configMapKeyRef", CONFIG_MAPS, "configmap", "ConfigMap"),
        ("secretKeyRef", SECRETS, "secret", "Secret"),
    ):
        if ref := source.get(field):
            obj = await fetch(gvr, ref["name"])
            if obj is None:
                if ref.get("optional"):
                    return None
                raise config_error(f'{word} "{ref["name"]}" not found')
            values = values_of(gvr, obj)
            if ref["key"] not in values:
                if ref.get("optional"):
                    return None
                raise config_error(f"couldn't find key {ref['key']} in {kind} {meta.namespace(pod)}/{ref['name']}")
            return values[ref["key"]]
    raise config_error(f"container {spec['name']}: a valueFrom names no source that is supported: {sorted(source)}")


def command_line(spec: Object, env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Command and arguments with ``$(NAME)`` expanded."""
    command = [expand(str(part), env) for part in spec.get("command") or ()]
    arguments = [expand(str(part), env) for part in spec.get("args") or ()]
    return command, arguments
