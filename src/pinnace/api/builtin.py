"""The registry rows of the built-in resources, from ``generated/resources.json``.

The rows' hooks live in other modules of ``api``, which are imported when a hook is first called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import orjson

from pinnace.api import conversion, table
from pinnace.api.registry import Registry, Resource, Subresource
from pinnace.api.schema_table import GENERATED
from pinnace.api.types import GVK, GVR, Object

#: Resources kept under another group's name.
_STORED_ELSEWHERE = {("events.k8s.io", "events"): GVR("", "v1", "events")}
_STAGES = {"": 2, "beta": 1, "alpha": 0}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")


def version_priority(version: str) -> tuple[int, int, int, int]:
    """A sort key by which the preferred version is the greatest: v2, v1, v2beta1, v1beta2, v1alpha1, others."""
    shape = _VERSION.fullmatch(version)
    if shape is None:
        return (0, 0, 0, 0)
    return (1, _STAGES[shape[2] or ""], int(shape[1]), int(shape[3] or 0))


def registry() -> Registry:
    """A new registry with every built-in resource in every version."""
    rows = orjson.loads((GENERATED / "resources.json").read_bytes())
    newest: dict[tuple[str, str], str] = {}
    for row in rows:
        at = row["group"], row["plural"]
        newest[at] = max(newest.get(at, ""), row["version"], key=version_priority)
    built = Registry()
    for row in rows:
        at = row["group"], row["plural"]
        built.add(_resource(row, _STORED_ELSEWHERE.get(at) or GVR(at[0], newest[at], at[1])))
    return built


def _resource(row: Object, storage: GVR) -> Resource:
    gvk = GVK(row["group"], row["version"], row["kind"])
    return Resource(
        group=gvk.group,
        version=gvk.version,
        plural=row["plural"],
        singular=gvk.kind.lower(),
        kind=gvk.kind,
        namespaced=row["namespaced"],
        verbs=frozenset(row["verbs"]),
        short_names=tuple(row.get("shortNames", ())),
        categories=tuple(row.get("categories", ())),
        columns=table.columns(gvk),
        subresources={
            name: Subresource(name, GVK(*described["kind"]), frozenset(described["verbs"]))
            for name, described in row.get("subresources", {}).items()
        },
        definition=row["definition"],
        storage=storage,
        default=_hook("pinnace.api.defaults", "apply", gvk),
        prepare_create=_hook("pinnace.api.strategy", "prepare_create", gvk),
        prepare_update=_hook("pinnace.api.strategy", "prepare_update", gvk),
        validate=_hook("pinnace.api.validation", "validate", gvk),
        selectable=_hook("pinnace.api.fields", "selectable", gvk),
        cells=_hook("pinnace.api.table", "cells", gvk),
        from_storage=conversion.from_storage(gvk, storage.api_version),
        to_storage=conversion.to_storage(gvk, storage.api_version),
        warn=_hook("pinnace.api.crd.warnings", "definition", gvk) if gvk.kind == "CustomResourceDefinition" else None,
    )


def _hook(module: str, name: str, gvk: GVK) -> Callable[..., Any]:
    """``module.name`` with ``gvk`` as its first argument."""
    function: Callable[..., Any] | None = None

    def call(*arguments: Any) -> Any:
        nonlocal function
        if function is None:
            function = getattr(import_module(module), name)
        return function(gvk, *arguments)

    return call
