"""Ownership after a create, an update or a patch: who writes a field owns it, and nobody else does any more."""

from __future__ import annotations

from typing import Any, Protocol

from pinnace.api.apply import fieldset, managers
from pinnace.api.apply.compare import compare
from pinnace.api.apply.fieldset import EMPTY, FieldsError, Set
from pinnace.api.apply.managers import Entry, Identity, Managed
from pinnace.api.apply.reconcile import reconciled
from pinnace.api.apply.reset import NEVER, Ignored
from pinnace.api.apply.typed import Type
from pinnace.api.types import Object
from pinnace.core.memo import Remembered, written

_TEMPLATED = frozenset(("metadata", "spec"))
_NEVER_METADATA = frozenset(element.removeprefix("f:") for element in NEVER["f:metadata"])
#: Sets of what was created lately, by names of labels and spec: objects of one template share one.
_created: Remembered[tuple[Type, Set]] = Remembered(512)


class Versions(Protocol):
    """A kind in its versions. ``changeable``: their types may have been others when an object was written."""

    @property
    def changeable(self) -> bool: ...

    def type_of(self, api_version: str) -> Type | None:
        """None for a version that is not served any more."""

    def convert(self, obj: Object, api_version: str) -> Object:
        """``obj`` in another version that has a type; itself if it is in that one already."""


def claimed(live: Any, sent: Any, subresource: str) -> Managed:
    """The entries to go on from: those of the live object, or what a client puts in their place."""
    if subresource or sent is None or sent is live or sent == live:
        return managers.read(live or ())
    if managers.is_reset(sent):
        return {}
    try:
        return managers.decode(sent) or managers.read(live or ())
    except FieldsError:
        return managers.read(live or ())


def of_new(type_: Type, obj: Object, ignored: Ignored) -> Set:
    """The fields that somebody owns of an object that was not there before."""
    mine: Object = {}
    for name, value in obj.items():
        if name == "metadata":
            metadata = {field: held for field, held in value.items() if field not in _NEVER_METADATA}
            if metadata:
                mine["metadata"] = metadata
        elif ignored.paths.get(f"f:{name}", obj) and name != "apiVersion" and name != "kind":
            mine[name] = value
    if "spec" not in mine or not mine.keys() <= _TEMPLATED:
        return _owned(type_, mine, ignored)
    text = written([_names(mine.get("metadata")), mine["spec"]])
    known = _created.get(text)
    if known is None or known[0] is not type_:
        known = (type_, _owned(type_, mine, ignored))
        _created.keep(text, known)
    return known[1]


def _owned(type_: Type, mine: Object, ignored: Ignored) -> Set:
    return fieldset.difference(ignored.rest(compare(type_, {}, mine)[0]), NEVER)


def _names(metadata: Object | None) -> Object | None:
    """``metadata`` without the values that have no part in its set of fields."""
    if metadata is None:
        return None
    return {
        name: list(held) if type(held) is dict else held if type(held) is list else 0 for name, held in metadata.items()
    }


def created(type_: Type, obj: Object, who: Identity, api_version: str, now: str, ignored: Ignored) -> list[Object]:
    """``metadata.managedFields`` of a new object."""
    fields = of_new(type_, obj, ignored)
    return managers.write({who: Entry(fields, api_version, now)}) if fields else []


def updated(
    versions: Versions, old: Object, new: Object, managed: Managed, who: Identity, now: str, ignored: Ignored
) -> Managed:
    """``managed`` after ``who`` has made ``new``, in the same version, of ``old``."""
    version = new["apiVersion"]
    managed = up_to_date(versions, managed)
    changed, removed = changes(versions, old, new, version, ignored)
    if not changed and not removed:
        return managed
    mine = fieldset.difference(changed, NEVER)
    left = without_changed(versions, old, new, managed, who, (version, changed, removed), ignored)
    previous = left.get(who)
    if previous is not None:
        kept = fieldset.difference(previous.fields, removed)
        fields = fieldset.union(kept, mine)
        if not fields:
            del left[who]
        elif fields is not previous.fields or (mine and previous.time != now):
            left[who] = Entry(fields, version, now if mine else previous.time)
    elif mine:
        left[who] = Entry(mine, version, now)
    return managers.capped(left)


def up_to_date(versions: Versions, managed: Managed) -> Managed:
    """``managed`` under the types of today: versions that are not served any more have no owners."""
    if not versions.changeable:
        return managed
    made: Managed = {}
    for who, entry in managed.items():
        type_ = versions.type_of(entry.api_version)
        if type_ is not None:
            fields = reconciled(type_, entry.fields)
            made[who] = entry if fields is entry.fields else Entry(fields, entry.api_version, entry.time)
    return made


def changes(versions: Versions, old: Object, new: Object, version: str, ignored: Ignored) -> tuple[Set, Set]:
    type_ = versions.type_of(version)
    if type_ is None:
        return EMPTY, EMPTY
    changed, removed = compare(type_, old, new)
    return ignored.rest(changed), ignored.rest(removed)


def without_changed(
    versions: Versions,
    old: Object,
    new: Object,
    managed: Managed,
    who: Identity,
    change: tuple[str, Set, Set],
    ignored: Ignored,
) -> Managed:
    """``managed`` where everybody but ``who`` has lost what changed or is gone. ``change`` is that, by version; what
    is ignored is ignored in all of them."""
    known = {change[0]: change[1:]}
    left: Managed = {}
    for other, entry in managed.items():
        if other == who:
            left[other] = entry
            continue
        of = known.get(entry.api_version)
        if of is None:
            if versions.type_of(entry.api_version) is None:
                continue  # nobody can write this version any more
            before = versions.convert(old, entry.api_version)
            after = versions.convert(new, entry.api_version)
            of = known[entry.api_version] = changes(versions, before, after, entry.api_version, ignored)
        fields = fieldset.difference(fieldset.difference(entry.fields, of[0]), of[1])
        if fields is entry.fields:
            left[other] = entry
        elif fields:
            left[other] = Entry(fields, entry.api_version, entry.time)
    return left
