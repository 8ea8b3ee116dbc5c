"""``metadata.managedFields`` of what is written: who the request's manager is, and what it owns from then on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pinnace.api import errors, meta
from pinnace.api.apply import managers, reset, typed
from pinnace.api.apply import update as changes
from pinnace.api.apply.fieldset import Set
from pinnace.api.apply.managers import Identity
from pinnace.api.apply.typed import Type
from pinnace.api.errors import FieldError
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import GVK, Object, split_api_version
from pinnace.apiserver.request import Request
from pinnace.core.clock import timestamp
from pinnace.core.memo import memo

_from_user_agent = memo(1024)(managers.user_agent_manager)


def manager(request: Request) -> str:
    """The name under which the request's changes are tracked, "" if it gives none."""
    named = request.query.get("fieldManager", "")
    return named or _from_user_agent(request.headers.get("user-agent", ""))


def problems(request: Request, *, applies: bool = False) -> list[FieldError]:
    """What is wrong with the request's ``fieldManager`` and ``force``."""
    query = request.query
    if not query:
        return [errors.required("fieldManager", "is required for apply patch")] if applies else []
    found = []
    name = query.get("fieldManager", "")
    if applies and not name:
        found.append(errors.required("fieldManager", "is required for apply patch"))
    if not applies and request.method == "PATCH" and "force" in query:
        found.append(errors.forbidden_field("force", "may not be specified for non-apply patch"))
    if len(name.encode()) > managers.LONGEST_NAME:
        found.append(errors.too_long("fieldManager", managers.LONGEST_NAME))
    at = 0
    for character in name:
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {at})"
            found.append(errors.invalid_value("fieldManager", name, why))
        at += len(character.encode())
    return found


def check_options(request: Request, kind: str, *, applies: bool = False) -> None:
    """Raises ApiError 422."""
    found = problems(request, applies=applies)
    if found:
        raise errors.invalid("meta.k8s.io", kind, "", found)


@lru_cache(1024)
def _made(merges: Any) -> Type:
    made: Type = merges()
    return made


def type_of(row: Resource) -> Type:
    return _made(row.merges) if row.merges is not None else typed.of_definition(row.definition)


class RowVersions:
    """A resource in its versions (``api.apply.update.Versions``)."""

    __slots__ = ("_registry", "_row")

    def __init__(self, registry: Registry, row: Resource) -> None:
        self._registry = registry
        self._row = row

    def _row_of(self, api_version: str) -> Resource | None:
        row = self._row
        if api_version == row.api_version:
            return row
        other = self._registry.of_kind(GVK(*split_api_version(api_version), row.kind))
        return other if other is not None and other.storage == row.storage else None

    def type_of(self, api_version: str) -> Type | None:
        row = self._row_of(api_version)
        return None if row is None else type_of(row)

    def convert(self, obj: Object, api_version: str) -> Object:
        if obj["apiVersion"] == api_version:
            return obj
        source, target = self._row_of(obj["apiVersion"]), self._row_of(api_version)
        if source is None or target is None:
            return obj
        made: Object = meta.copy(obj)
        source.to_storage(made)
        made["apiVersion"] = target.api_version
        target.from_storage(made)
        return made


def ignored(row: Resource, subresource: str) -> Set:
    """The fields that this endpoint does not let anybody own."""
    return reset.fields(row.gvk, subresource, custom=row.merges is not None, has_status="status" in row.subresources)


def identity(request: Request, row: Resource, operation: str, subresource: str) -> Identity:
    return managers.identity(manager(request), operation, row.api_version, subresource)


def track_create(request: Request, row: Resource, obj: Object, now: float) -> None:
    """Set ``managedFields`` of a new object."""
    who = identity(request, row, managers.UPDATE, "")
    entries = changes.created(type_of(row), obj, who, row.api_version, timestamp(now), ignored(row, ""))
    if entries:
        obj["metadata"]["managedFields"] = entries


def track_update(
    registry: Registry, request: Request, row: Resource, new: Object, old: Object, subresource: str, now: float
) -> None:
    """Set ``managedFields`` of ``new``, which the request makes of ``old``. Objects that have none are not tracked."""
    metadata, live = new["metadata"], old["metadata"].get("managedFields")
    managed = changes.claimed(live, metadata.pop("managedFields", None), subresource)
    if not managed:
        return
    who = identity(request, row, managers.UPDATE, subresource)
    before = managed
    held = old["metadata"]
    bare = {**old, "metadata": {name: value for name, value in held.items() if name != "managedFields"}}
    managed = changes.updated(
        RowVersions(registry, row), bare, new, managed, who, timestamp(now), ignored(row, subresource)
    )
    entries = managers.write(managed)
    if managed is before and live is not None and entries == live:
        entries = live
    if entries:
        metadata["managedFields"] = entries


def keep_times(new: Object, old: Object) -> None:
    """Put the old entries back where nothing but their times has changed: that alone is no change."""
    entries, held = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not entries or not held or entries is held or len(entries) != len(held):
        return
    for mine, theirs in zip(entries, held, strict=True):
        if mine is not theirs and {**mine, "time": None} != {**theirs, "time": None}:
            return
    metadata = {**new["metadata"], "managedFields": held}
    if {**new, "metadata": metadata} == old:
        new["metadata"]["managedFields"] = held
