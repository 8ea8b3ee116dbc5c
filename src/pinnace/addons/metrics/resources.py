"""The resources of ``metrics.k8s.io``: their rows, for discovery, OpenAPI and tables."""

from __future__ import annotations

from typing import Any

from pinnace.api import meta, quantity
from pinnace.api.registry import Column, Resource
from pinnace.api.types import GVR, Object

GROUP, VERSION = "metrics.k8s.io", "v1beta1"

_COLUMNS = (
    Column("Name", "string", "name", 0, "Name of the resource"),
    Column("cpu", "string", "quantity", 0),
    Column("memory", "string", "quantity", 0),
    Column("Window", "string", "duration", 0),
)
_QUANTITY: Object = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
_USAGE: Object = {
    "description": "The memory usage is the memory working set.",
    "type": "object",
    "additionalProperties": _QUANTITY,
}
_CONTAINER: Object = {
    "description": "ContainerMetrics sets resource usage metrics of a container.",
    "type": "object",
    "required": ["name", "usage"],
    "properties": {
        "name": {"description": "Container name corresponding to the one from pod.spec.containers.", "type": "string"},
        "usage": _USAGE,
    },
}
_TIMES: Object = {
    "timestamp": {
        "description": "The following fields define time interval from which metrics were collected from the interval "
        "[Timestamp-Window, Timestamp].",
        "type": "string",
        "format": "date-time",
    },
    "window": {"type": "string"},
}


def rows() -> tuple[Resource, Resource]:
    """NodeMetrics and PodMetrics."""
    containers = {
        "description": "Metrics for all containers are collected within the same time window.",
        "type": "array",
        "items": _CONTAINER,
    }
    return (
        _row("nodes", "NodeMetrics", "NodeMetrics sets resource usage metrics of a node.", {"usage": _USAGE}),
        _row("pods", "PodMetrics", "PodMetrics sets resource usage metrics of a pod.", {"containers": containers}),
    )


def _row(plural: str, kind: str, text: str, own: Object) -> Resource:
    schema: Object = {
        "description": text,
        "type": "object",
        "required": ["timestamp", "window", *own],
        "properties": {**_TIMES, **own},
    }
    return Resource(
        group=GROUP,
        version=VERSION,
        plural=plural,
        singular="",
        kind=kind,
        namespaced=plural == "pods",
        verbs=frozenset(("get", "list")),
        short_names=(),
        categories=(),
        columns=_COLUMNS,
        subresources={},
        definition="",
        storage=GVR(GROUP, VERSION, plural),
        default=_nothing,
        prepare_create=_nothing,
        prepare_update=_nothing,
        validate=lambda new, old, subresource: [],
        selectable=lambda obj: {},
        cells=lambda obj, now: cells(obj),
        described=schema,
    )


def _nothing(*_: Any) -> None:
    """These objects are never written."""


def cells(obj: Object) -> list[Any]:
    """What one row of a table shows; of a Pod, the sum of its containers."""
    used = [obj["usage"]] if "usage" in obj else [container["usage"] for container in obj["containers"]]
    sums = [str(sum((quantity.parse(entry[what]) for entry in used), _NONE)) for what in ("cpu", "memory")]
    return [meta.name(obj), *sums, obj["window"]]


_NONE = quantity.Quantity(0)
