"""``metadata.managedFields`` of what is written: who the request's manager is, and what it owns from then on."""

from __future__ import annotations

import orjson

from pinnace.api import errors, meta, schema_table
from pinnace.api.apply import managers, reset, typed
from pinnace.api.apply import update as changes
from pinnace.api.apply.managers import Identity
from pinnace.api.apply.reset import Ignored
from pinnace.api.apply.typed import Type
from pinnace.api.errors import FieldError
from pinnace.api.registry import Custom, Registry, Resource
from pinnace.api.types import GVK, Object, split_api_version
from pinnace.apiserver.request import Request
from pinnace.apiserver.resources import codec
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


def type_of(row: Resource) -> Type:
    return row.merges() if row.merges is not None else typed.of_definition(row.definition)


class RowVersions:
    """A resource in its versions (``api.apply.update.Versions``)."""

    __slots__ = ("_registry", "_row")

    def __init__(self, registry: Registry, row: Resource) -> None:
        self._registry = registry
        self._row = row

    @property
    def changeable(self) -> bool:
        return self._row.custom is not None

    def _row_of(self, api_version: str) -> Resource | None:
        row = self._row
        if api_version == _kind(row).api_version:
            return row
        other = self._registry.of_kind(GVK(*split_api_version(api_version), row.kind))
        return other if other is not None and other.storage == row.storage else None

    def type_of(self, api_version: str) -> Type | None:
        row = self._row_of(api_version)
        return None if row is None else _kind(row).type

    def convert(self, obj: Object, api_version: str) -> Object:
        if obj["apiVersion"] == api_version:
            return obj
        source, target = self._row_of(obj["apiVersion"]), self._row_of(api_version)
        if source is None or target is None:
            return obj
        custom = self._row.custom
        if custom is not None:  # neither pruned nor defaulted: it is only looked at
            if custom.webhook is None:
                return {**obj, "apiVersion": api_version}
            return _translated(custom, obj, api_version)
        made: Object = meta.copy(obj)
        source.to_storage(made)
        made["apiVersion"] = target.api_version
        target.from_storage(made)
        return made


def _translated(custom: Custom, obj: Object, api_version: str) -> Object:
    """``obj`` as the webhook has converted it. Raises NotTranslatedError."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    bare = {**obj, "metadata": metadata}
    key = (orjson.dumps(bare, option=orjson.OPT_SORT_KEYS), api_version)
    found = custom.translated.get(key)
    if found is None:
        raise codec.NotTranslatedError(key, bare)
    return found


class _Kind:
    """What tracking needs of a row, worked out once."""

    __slots__ = ("_identities", "_ignored", "api_version", "row", "type")

    def __init__(self, row: Resource) -> None:
        self.row = row
        self.type = type_of(row)
        self.api_version = row.api_version
        self._ignored: dict[str, Ignored] = {}
        self._identities: dict[tuple[str, str], Identity] = {}

    def ignored(self, subresource: str) -> Ignored:
        """The fields that this endpoint does not let anybody own."""
        found = self._ignored.get(subresource)
        if found is None:
            custom, has_status = self.row.merges is not None, "status" in self.row.subresources
            found = reset.fields(self.row.gvk, subresource, custom=custom, has_status=has_status)
            self._ignored[subresource] = found
        return found

    def updater(self, name: str, subresource: str) -> Identity:
        found = self._identities.get((name, subresource))
        if found is None:
            if len(self._identities) >= _KINDS:
                self._identities.clear()
            found = managers.identity(name, managers.UPDATE, self.api_version, subresource)
            self._identities[name, subresource] = found
        return found


_KINDS = 1024
_kinds: dict[int, _Kind] = {}


def _kind(row: Resource) -> _Kind:
    found = _kinds.get(id(row))
    if found is None or found.row is not row:
        if len(_kinds) >= _KINDS:
            _kinds.clear()
        found = _kinds[id(row)] = _Kind(row)
    return found


def ignored(row: Resource, subresource: str) -> Ignored:
    """The fields that this endpoint does not let anybody own."""
    return _kind(row).ignored(subresource)


def track_create(request: Request, row: Resource, obj: Object, now: float) -> None:
    """Set ``managedFields`` of a new object."""
    kind = _kind(row)
    who = kind.updater(manager(request), "")
    entries = changes.created(kind.type, obj, who, kind.api_version, timestamp(now), kind.ignored(""))
    if entries:
        obj["metadata"]["managedFields"] = entries


def entries_of_new(request: Request, gvk: GVK, subresource: str, obj: Object, now: float) -> list[Object]:
    """``managedFields`` of an object of a built-in kind that is sent to an endpoint of another one."""
    who = managers.identity(manager(request), managers.UPDATE, gvk.api_version, subresource)
    type_ = typed.of_definition(schema_table.of_kind(gvk))
    return changes.created(type_, obj, who, gvk.api_version, timestamp(now), reset.NOTHING)


def track_update(
    registry: Registry, request: Request, row: Resource, new: Object, old: Object, subresource: str, now: float
) -> None:
    """Set ``managedFields`` of ``new``, which the request makes of ``old``. Objects that have none are not tracked."""
    metadata, live = new["metadata"], old["metadata"].get("managedFields")
    sent = metadata.pop("managedFields", None)
    if row.custom is not None and sent == []:
        sent = None  # only an object with a type of its own can tell an empty list from none, as upstream
    managed = changes.claimed(live, sent, subresource)
    if not managed:
        return
    if live is not None:
        metadata["managedFields"] = live  # no difference between the two, as far as these are concerned
    kind = _kind(row)
    who = kind.updater(manager(request), subresource)
    managed = changes.updated(
        RowVersions(registry, row), old, new, managed, who, timestamp(now), kind.ignored(subresource)
    )
    entries = managers.write(managed)
    if not entries:
        metadata.pop("managedFields", None)
    elif entries != live:
        metadata["managedFields"] = entries


def keep_times(new: Object, old: Object) -> None:
    """Put the old entries back where nothing but their times has changed: that alone is no change."""
    entries, held = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not entries or not held or entries is held or len(entries) != len(held):
        return
    for mine, theirs in zip(entries, held, strict=True):
        if mine is theirs or mine == theirs:
            continue
        if mine["fieldsV1"] is not theirs["fieldsV1"] and mine["fieldsV1"] != theirs["fieldsV1"]:
            return
        if {**mine, "time": None} != {**theirs, "time": None}:
            return
    metadata = {**new["metadata"], "managedFields": held}
    if metadata == old["metadata"] and {**new, "metadata": metadata} == old:
        new["metadata"]["managedFields"] = held
