"""The scale subresource of custom resources: replicas and selector at the paths that the definition names."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.crd.structural import json_type
from pinnace.api.errors import FieldError, bad_request, go_quote, internal, invalid_value
from pinnace.api.registry import ScalePaths
from pinnace.api.types import Object

MAX_REPLICAS = (1 << 31) - 1
_MISSING: Any = object()
_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64", "object": "map[string]interface {}"}
_GO_TYPES |= {"array": "[]interface {}", "null": "<nil>", "integer": "int64"}


class ScaleError(ValueError):
    """What is at a path is not what belongs there."""


def paths(described: Object) -> ScalePaths:
    """From ``subresources.scale`` of a version."""
    return ScalePaths(*(_split(described.get(name) or "") for name in _NAMES))


_NAMES = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")


def _split(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split(".")) if path else ()


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else go_quote(value)


def _at(obj: Object, path: tuple[str, ...], go_type: str) -> Any:
    value: Any = obj
    for index, name in enumerate(path):
        if value is None:
            return _MISSING
        if not isinstance(value, dict):
            where = "." + ".".join(path[: index + 1])
            shown = f"{_plain(value)} is of the type {_GO_TYPES[json_type(value)]}, expected map[string]interface{{}}"
            raise ScaleError(f"{where} accessor error: {shown}")
        if name not in value:
            return _MISSING
        value = value[name]
    wanted = "integer" if go_type == "int64" else "string"
    if json_type(value) != wanted:
        shown = f"{_plain(value)} is of the type {_GO_TYPES[json_type(value)]}, expected {go_type}"
        raise ScaleError(f".{'.'.join(path)} accessor error: {shown}")
    return value


def of(obj: Object, at: ScalePaths) -> tuple[Object, bool]:
    """The Scale of ``obj``, and whether it says how many replicas it wants. Raises ApiError 500 for what cannot be
    read."""
    try:
        wanted = _at(obj, at.replicas, "int64")
        running = _at(obj, at.status_replicas, "int64")
        selector = _at(obj, at.selector, "string") if at.selector else ""
    except ScaleError as error:
        raise internal(str(error)) from None
    metadata = obj["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    made: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in names if name in metadata},
        "spec": {"replicas": wanted} if wanted is not _MISSING and wanted else {},
        "status": {"replicas": 0 if running is _MISSING else running},
    }
    if selector is not _MISSING and selector:
        made["status"]["selector"] = selector
    return made, wanted is not _MISSING


def scaled(obj: Object, at: ScalePaths, replicas: int) -> Object:
    """A copy of ``obj`` that wants so many replicas. Raises ApiError 400 if there is no place for them."""
    new: Object = meta.copy(obj)
    holder: Any = new
    for name in at.replicas[:-1]:
        holder = holder.setdefault(name, {})
        if not isinstance(holder, dict):
            raise bad_request(f"the spec replicas field {go_quote('.' + '.'.join(at.replicas))} cannot be set")
    holder[at.replicas[-1]] = replicas
    return new


def _replicas(obj: Object, path: tuple[str, ...]) -> list[FieldError]:
    field = "." + ".".join(path)
    try:
        value = _at(obj, path, "int64")
    except ScaleError as error:
        return [invalid_value(field, 0, str(error))]
    if value is _MISSING or 0 <= value <= MAX_REPLICAS:
        return []
    if value < 0:
        return [invalid_value(field, value, "should be a non-negative integer")]
    return [invalid_value(field, value, f"should be less than or equal to {MAX_REPLICAS}")]


def validate_spec(obj: Object, at: ScalePaths) -> list[FieldError]:
    return _replicas(obj, at.replicas)


def validate_status(obj: Object, at: ScalePaths) -> list[FieldError]:
    found = _replicas(obj, at.status_replicas)
    if at.selector:
        try:
            _at(obj, at.selector, "string")
        except ScaleError as error:
            found.append(invalid_value("." + ".".join(at.selector), "", str(error)))
    return found
