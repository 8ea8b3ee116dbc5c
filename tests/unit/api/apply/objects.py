"""A Deployment, and a server that only tracks and applies: what the tests of ownership work with."""

from __future__ import annotations

from typing import Any

from pinnace.api import builtin, meta, schema
from pinnace.api.apply import apply, managers, reset, typed, update
from pinnace.api.registry import Registry, Resource
from pinnace.apiserver.resources.ownership import RowVersions

REGISTRY = builtin.registry()


def deployment(**changes: Any) -> dict[str, Any]:
    """A configuration, as somebody applies it."""
    container = {"name": "web", "image": "nginx:1.25", "ports": [{"containerPort": 80}]}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}},
        "spec": {**spec, **changes},
    }


class Server:
    """One object, and a clock that goes on by a second with every write."""

    def __init__(self, group: str = "apps", version: str = "v1", plural: str = "deployments") -> None:
        self.registry: Registry = REGISTRY
        row = REGISTRY.get(group, version, plural)
        assert row is not None
        self.row: Resource = row
        self.object: dict[str, Any] = {"apiVersion": row.api_version, "kind": row.kind, "metadata": {}}
        self.seconds = 0

    def _now(self) -> str:
        self.seconds += 1
        return f"2026-01-01T00:{self.seconds // 60:02}:{self.seconds % 60:02}Z"

    def at(self, version: str) -> Server:
        """The same object through another version of the API."""
        other = Server.__new__(Server)
        other.__dict__ = self.__dict__
        row = REGISTRY.get(self.row.group, version, self.row.plural)
        assert row is not None
        made = RowVersions(REGISTRY, self.row).convert(self.object, row.api_version)
        other.row, other.object = row, made
        return other

    def apply(self, config: dict[str, Any], manager: str, *, force: bool = False, subresource: str = "") -> None:
        row = self.row
        who = managers.identity(manager, managers.APPLY, row.api_version, subresource)
        ignored = reset.fields(row.gvk, subresource)
        made = apply.apply(
            RowVersions(REGISTRY, row), row.gvk, self.object, config, who, self._now(), ignored, force=force
        )
        self.object = schema.decode(row.definition, made)
        row.default(self.object)

    def write(self, new: dict[str, Any], manager: str, *, subresource: str = "") -> None:
        """A create or an update, with managedFields as the client sends them or none."""
        row, old = self.row, self.object
        new = schema.decode(row.definition, meta.copy(new))
        row.default(new)
        now, ignored = self._now(), reset.fields(row.gvk, subresource)
        who = managers.identity(manager, managers.UPDATE, row.api_version, subresource)
        if not old["metadata"]:
            type_ = typed.of_definition(row.definition)
            entries = update.created(type_, new, who, row.api_version, now, ignored)
        else:
            live = old["metadata"].get("managedFields")
            managed = update.claimed(live, new["metadata"].pop("managedFields", None), subresource)
            if live is not None:
                new["metadata"]["managedFields"] = live
            versions = RowVersions(REGISTRY, row)
            entries = managers.write(update.updated(versions, old, new, managed, who, now, ignored)) if managed else []
        new["metadata"]["managedFields"] = entries
        if not entries:
            del new["metadata"]["managedFields"]
        self.object = new

    def change(self, manager: str, *, subresource: str = "", **changes: Any) -> None:
        """Set fields of ``spec`` (of ``status`` through that subresource)."""
        new = meta.copy(self.object)
        new.setdefault(subresource or "spec", {}).update(changes)
        self.write(new, manager, subresource=subresource)

    @property
    def entries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.object["metadata"].get("managedFields", [])
        return found

    def owned(self, manager: str, operation: str = managers.APPLY, subresource: str = "") -> dict[str, Any]:
        """The fieldsV1 of a manager, {} if it owns nothing."""
        for entry in self.entries:
            if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
                manager,
                operation,
                subresource,
            ):
                fields: dict[str, Any] = entry["fieldsV1"]
                return fields
        return {}
