"""Decoded objects share the parts in which they are equal: thousands of Pods of one template differ in little.

Decoded, an object takes five times its bytes, most of it the same in all of its kind: a template's containers, who owns
which field, conditions of one moment, what a node is made of. The server and all informers of its process hold each
object once, so this is what a large cluster's memory is. Looked at are the children of ``metadata``, ``spec`` and
``status``, and of what is different in every object of a kind their children; what a change has left as it was is not
looked at again: some 20 us for a Pod. Shared parts are read-only, as all of a stored object is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinnace.api.types import Object
from pinnace.core.memo import snug, written

#: How many bytes the remembered parts may have as JSON, and how many strings are remembered; all forgotten when full.
_REMEMBERED = 1 << 20
_WORDS = 8192
#: Longer strings are hardly ever said twice.
_WORD = 80
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
            if child == before.get(key):  # who else holds an object's name or uid holds that of its first state
                part[key] = before[key]
            elif len(child) <= _WORD:
                part[key] = _words.setdefault(child, child)
        elif (kind is dict or kind is list) and child is not before.get(key):
            if not child:
                part[key] = _EMPTY[kind]
            elif key in _OWN:
                _OWN[key](child, before.get(key))
            else:
                part[key] = _first(child)


def _first(part: Any) -> Any:
    """The first one seen that equals ``part``, unless that is too large to be kept for others. Of what is new the parts
    are looked at."""
    global _held
    raw = written(part)
    found = _seen.get(raw) if raw else part
    if found is None:
        if part.__class__ is dict:
            _look_into(part, _NO_PART)
        else:
            part[:] = [_first(child) if child.__class__ is dict and child else child for child in part]
        _seen[snug(raw)] = found = part
        _held += len(raw)
    return found


def _look_into_each(entries: Any, before: Any) -> None:
    for entry in entries if entries.__class__ is list else ():
        if entry.__class__ is dict:
            _look_into(entry, _NO_PART)


def _look_at_managers(entries: list[Any], before: Any) -> None:
    before = before or ()
    for at, entry in enumerate(entries):
        fields = entry.get("fieldsV1")
        if any(entry is other or fields is other.get("fieldsV1") for other in before):
            continue
        if "subresource" in entry:  # it owns what no other object has: k:{"ip":"10.0.0.7"}
            _look_into(entry, _NO_PART)
        else:
            entries[at] = _first(entry)


def _look_at_fields(sections: Any, before: Any) -> None:
    for name, section in sections.items() if sections.__class__ is dict else ():
        if section.__class__ is dict and section:
            if name == "f:status":
                _look_into(section, _NO_PART)
            else:
                sections[name] = _first(section)


#: What is done with lists and sets of fields of which no two objects have the same.
_OWN: dict[str, Callable[[Any, Any], None]] = {
    "containers": _look_into_each,
    "initContainers": _look_into_each,
    "containerStatuses": _look_into_each,
    "initContainerStatuses": _look_into_each,
    "volumes": _look_into_each,
    "podIPs": _look_into_each,
    "addresses": _look_into_each,
    "managedFields": _look_at_managers,
    "fieldsV1": _look_at_fields,
}


def _forget() -> None:
    global _held
    _seen.clear()
    _held = 0
