"""Decoded objects share the parts in which they are equal: thousands of Pods of one template differ in little.

Decoded, an object takes five times its bytes, most of it the same in all of its kind: a template's containers, who owns
which field, conditions of one moment, what a node is made of. The server and all informers of its process hold each
object once, so this is what a large cluster's memory is. Looked at are the children of ``metadata``, ``spec`` and
``status``, and of what is different in every object of a kind their children; what a change has left as it was is not
looked at again: some 20 us for a Pod. Shared parts are read-only, as all of a stored object is.
"""

from __future__ import annotations

from typing import Any

from pinnace.api.types import Object
from pinnace.core.memo import snug, written

#: How many bytes the remembered parts may have as JSON, and how many strings are remembered; all forgotten when full.
_REMEMBERED = 1 << 20
_WORDS = 8192
#: Longer strings are hardly ever said twice.
_WORD = 80
#: Lists of which no two objects have the same: each entry is looked into.
_UNIQUE = frozenset(
    (
        "containers",
        "initContainers",
        "containerStatuses",
        "initContainerStatuses",
        "volumes",
        "podIPs",
        "addresses",
    )
)
_NO_OBJECT: Object = {"metadata": {}}
_NO_PART: dict[str, Any] = {}
_EMPTY: dict[type, Any] = {dict: {}, list: []}

_seen: dict[bytes, Any] = {}  # by what they say as JSON
_held = 0  # bytes of that
_words: dict[str, str] = {}


def share(obj: Object, before: Object | None = None) -> None:
    """Replace parts of ``obj``, which nobody changes any more, by equal ones of other objects, in place. ``before`` is
    what it was made of: parts that are still the same have been looked at."""
    if before is None:
        before = _NO_OBJECT
    metadata, was = obj["metadata"], before["metadata"]
    _look_into(metadata, was)
    for name in ("spec", "status"):
        part = obj.get(name)
        if part.__class__ is dict and part is not before.get(name):
            _look_into(part, before.get(name) or _NO_PART)
    if _held > _REMEMBERED:
        _forget()
    if len(_words) > _WORDS:
        _words.clear()


def _look_into(part: dict[str, Any], before: dict[str, Any]) -> None:
    for key, child in part.items():
        kind = child.__class__
        if kind is str:
            if len(child) <= _WORD:
                part[key] = _words.setdefault(child, child)
        elif (kind is dict or kind is list) and child is not before.get(key):
            if not child:
                part[key] = _EMPTY[kind]
            elif key == "managedFields":
                _share_fields(child, before.get(key) or ())
            elif key not in _UNIQUE:
                part[key] = _first(child)
            else:
                for entry in child:
                    if entry.__class__ is dict:
                        _look_into(entry, _NO_PART)


def _share_fields(entries: list[Any], before: Any) -> None:
    """Who owns which field. A writer of a status owns what no other object has (``k:{"ip":"10.0.0.7"}``)."""
    for at, entry in enumerate(entries):
        if any(entry is other for other in before):
            continue
        fields = entry.get("fieldsV1")
        if fields.__class__ is not dict or any(fields is other.get("fieldsV1") for other in before):
            continue
        if "subresource" not in entry:
            entries[at] = shared = _first(entry)
            if shared is not entry:
                continue
        for section in fields.values():
            if section.__class__ is dict:
                _look_into(section, _NO_PART)


def _first(part: Any) -> Any:
    """The first one seen that equals ``part``, unless that is too large to be kept for others."""
    global _held
    raw = written(part)
    found = _seen.get(raw) if raw else part
    if found is None:
        if part.__class__ is list:
            part[:] = [_first(child) if child.__class__ is dict and child else child for child in part]
        _seen[snug(raw)] = found = part
        _held += len(raw)
    return found


def _forget() -> None:
    global _held
    _seen.clear()
    _held = 0
