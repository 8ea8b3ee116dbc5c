"""Server-side apply: a configuration becomes part of an object, whoever else owns parts of it.

Fields that the manager applied last time and does not apply any more go, unless somebody else owns them. Fields that
others own with another value are conflicts, or with ``force`` change hands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from pinnace.api import errors
from pinnace.api.apply import fieldset, managers, merge
from pinnace.api.apply.compare import TypedError, compare, field_set
from pinnace.api.apply.fieldset import Set
from pinnace.api.apply.managers import Entry, Identity, Managed
from pinnace.api.apply.reset import NEVER, Ignored
from pinnace.api.apply.update import Versions, changes, up_to_date, updated, without_changed
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.types import GVK, Object

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
#: Whose applies take over, and keep up to date, what ``kubectl apply`` on the client's side has left.
KUBECTL = "kubectl"
#: All annotations of an object together.
ANNOTATIONS_LIMIT = 256 * 1024

Conflict = tuple[Identity, "tuple[str, ...]"]


class ConflictsError(Exception):
    """Fields that others own with other values."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


def apply(
    versions: Versions,
    gvk: GVK,
    live: Object,
    config: Object,
    who: Identity,
    now: str,
    ignored: Ignored,
    *,
    force: bool,
) -> Object:
    """The object that comes of ``config`` applied to ``live`` (kind and apiVersion only for one that is not there yet),
    in ``gvk``'s version, with its ``managedFields``; neither is changed, parts of both are shared.

    Raises ApiError: 409 for conflicts, 400 and 500, as upstream, for a configuration that is none of the kind.
    """
    _check_envelope(gvk, config)
    held = live.get("metadata", {}).get("managedFields")
    bare = _without_managed(live)
    managed = managers.read(held or ())
    if not managed:
        first = managers.identity(managers.BEFORE_FIRST_APPLY, managers.UPDATE, gvk.api_version, who.subresource)
        empty: Object = {"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": {}}
        managed = updated(versions, empty, bare, {}, first, now, ignored)
    managed = up_to_date(versions, managed)
    try:
        made, managed = _apply(versions, gvk, bare, config, managed, who, now, ignored, force=force)
    except ConflictsError as error:
        left = _not_left_by_kubectl(versions, gvk, bare, error.conflicts) if who.manager == KUBECTL else error.conflicts
        if left:
            raise conflict_error(left) from None
        made, managed = _apply(versions, gvk, bare, config, managed, who, now, ignored, force=True)
    if who.manager == KUBECTL:
        made = _with_last_applied(made, config)
    entries = managers.write(managed)
    metadata = dict(made.get("metadata") or {})
    if entries:
        metadata["managedFields"] = entries
    return {**made, "metadata": metadata}


def _check_envelope(gvk: GVK, config: Object) -> None:
    version, kind = config.get("apiVersion") or "", config.get("kind") or ""
    if version != gvk.api_version or kind != gvk.kind:
        group, slash, number = str(version).rpartition("/")
        shown = f"{group}/{number}" if slash else f"/{number}"
        raise bad_request(f"invalid object type: {shown}, Kind={kind}")
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")


def _without_managed(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _apply(
    versions: Versions,
    gvk: GVK,
    live: Object,
    config: Object,
    managed: Managed,
    who: Identity,
    now: str,
    ignored: Ignored,
    *,
    force: bool,
) -> tuple[Object, Managed]:
    version = gvk.api_version
    type_ = versions.type_of(version)
    if type_ is None:
        raise bad_request(f"no corresponding type for {version}, Kind={gvk.kind}")
    try:
        merge.check(type_, config)
    except TypedError as error:
        raise ApiError(500, "", f"failed to create typed patch object ({_named(gvk, config)}): {error}") from None
    try:
        made: Object = merge.merge(type_, live, config)
        fields = ignored.rest(field_set(type_, config))
        last = managed.get(who)
        applied = {**managed, who: Entry(fields, version, last.time if last else None)}
        made = _prune(versions, made, applied, who, last)
    except TypedError as error:
        raise ApiError(500, "", f"failed to merge config: {error}") from None
    changed, removed = changes(versions, live, made, version, ignored)
    if not force:
        found = list(_conflicts(versions, live, made, applied, who, (version, changed), ignored))
        if found:
            raise ConflictsError(found)
    left = without_changed(versions, live, made, applied, who, (version, changed, removed), ignored)
    mine = fieldset.difference(fields, NEVER)
    del left[who]
    if mine:
        same = last is not None and last.fields == mine and last.api_version == version
        if made == live:
            left[who] = last if same and last is not None else Entry(mine, version, last.time if last else None)
        else:
            left[who] = Entry(mine, version, now)
    return made, left


def _conflicts(
    versions: Versions,
    live: Object,
    made: Object,
    managed: Managed,
    who: Identity,
    change: tuple[str, Set],
    ignored: Ignored,
) -> Iterable[Conflict]:
    known = dict([change])
    for other in sorted(managed):
        if other == who:
            continue
        entry = managed[other]
        of = known.get(entry.api_version)
        if of is None:
            if versions.type_of(entry.api_version) is None:
                continue
            before, after = versions.convert(live, entry.api_version), versions.convert(made, entry.api_version)
            of = known[entry.api_version] = changes(versions, before, after, entry.api_version, ignored)[0]
        for path in fieldset.paths(fieldset.intersection(entry.fields, of)):
            yield other, path


def _prune(versions: Versions, merged: Object, managed: Managed, who: Identity, last: Entry | None) -> Object:
    """``merged`` without what ``who`` applied last time, does not apply now, and nobody else owns."""
    if last is None or not last.fields:
        return merged
    mine = managed[who]
    if last.api_version == mine.api_version and not fieldset.difference(last.fields, mine.fields):
        return merged
    type_ = versions.type_of(last.api_version)
    if type_ is None:
        return merged
    whole = versions.convert(merged, last.api_version)
    gone = merge.with_named_fields(type_, last.fields)
    pruned = merge.remove(type_, whole, gone) or {}
    pruned = _add_back_owned(versions, whole, _enveloped(pruned, whole), last.api_version, managed)
    pruned = versions.convert(pruned, last.api_version)
    named = merge.with_named_fields(type_, field_set(type_, whole))
    missing = fieldset.difference(named, merge.with_named_fields(type_, field_set(type_, pruned)))
    rest = merge.remove(type_, whole, fieldset.intersection(missing, gone)) or {}
    return versions.convert(_enveloped(rest, whole), mine.api_version)


def _enveloped(pruned: Any, whole: Object) -> Object:
    """An object whatever was taken out of it."""
    return {"apiVersion": whole["apiVersion"], "kind": whole["kind"], **pruned}


def _add_back_owned(versions: Versions, merged: Object, pruned: Object, first: str, managed: Managed) -> Object:
    """``pruned`` with what of ``merged`` somebody owns, version by version."""
    owned: dict[str, Set] = {first: {}}
    for entry in managed.values():
        owned[entry.api_version] = fieldset.union(owned.get(entry.api_version, {}), entry.fields)
    for version, fields in owned.items():
        type_ = versions.type_of(version)
        if type_ is None or not fields:
            continue
        merged, pruned = versions.convert(merged, version), versions.convert(pruned, version)
        everything = merge.with_named_fields(type_, field_set(type_, merged))
        kept = fieldset.union(
            merge.with_named_fields(type_, field_set(type_, pruned)), merge.with_named_fields(type_, fields)
        )
        pruned = _enveloped(merge.remove(type_, merged, fieldset.difference(everything, kept)) or {}, merged)
    return pruned


def _not_left_by_kubectl(versions: Versions, gvk: GVK, live: Object, conflicts: list[Conflict]) -> list[Conflict]:
    """The conflicts that are not about what the last ``kubectl apply`` on the client's side has set."""
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    type_ = versions.type_of(gvk.api_version)
    if not text or type_ is None:
        return conflicts
    try:
        last = orjson.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != gvk.api_version:
            return conflicts
        merge.check(type_, last)
        fields = field_set(type_, last)
        changed, removed = compare(type_, last, live)
    except (orjson.JSONDecodeError, TypedError):
        return conflicts
    fields = fieldset.difference(fieldset.difference(fields, changed), removed)
    return [(who, path) for who, path in conflicts if not fieldset.has(fields, path)]


def _with_last_applied(obj: Object, config: Object) -> Object:
    """``obj`` with its annotation of the last applied configuration brought up to date, if it has one."""
    metadata = obj.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return obj
    said = config.get("metadata") or {}
    if LAST_APPLIED in (said.get("annotations") or {}):
        rest = {name: value for name, value in said["annotations"].items() if name != LAST_APPLIED}
        said = {name: value for name, value in said.items() if name != "annotations"}
        if rest:
            said["annotations"] = rest
        config = {**config, "metadata": said}
    text = orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode()
    for plain, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(plain, escaped)
    changed = {**annotations, LAST_APPLIED: text + "\n"}
    if sum(len(name.encode()) + len(str(value).encode()) for name, value in changed.items()) > ANNOTATIONS_LIMIT:
        del changed[LAST_APPLIED]
    return {**obj, "metadata": {**metadata, "annotations": changed}}


def _named(gvk: GVK, config: Object) -> str:
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    kind = f"{gvk.group}/{gvk.version}, Kind={gvk.kind}"
    return f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {kind}"


def conflict_error(conflicts: list[Conflict]) -> ApiError:
    """409, naming each field and whose it is."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_shown(who)}",
            "field": fieldset.shown(path),
        }
        for who, path in conflicts
    ]
    if len(conflicts) == 1:
        who, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {_shown(who)}: {fieldset.shown(path)}"
    else:
        lines = []
        for who in sorted({who for who, _ in conflicts}):
            lines.append(f"conflicts with {_shown(who)}:")
            lines += [f"- {fieldset.shown(path)}" for other, path in conflicts if other == who]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, details={"causes": causes})


def _shown(who: Identity) -> str:
    text = errors.go_quote(who.manager)
    if who.subresource:
        text += f" with subresource {errors.go_quote(who.subresource)}"
    return f"{text} using {who.api_version}" if who.operation == managers.UPDATE else text
