"""Decoded objects share the parts in which they are equal: thousands of Pods of one template differ in little.

Decoded, an object takes five times its bytes, most of it the same in all of its kind: who owns which field, conditions
of one moment, what a node is made of. The server and all informers of its process hold each object once, so this is
what a large cluster's memory is. Looked at are the children of ``status`` and of the managed fields' sections: some
10 us for a Pod. Shared parts are read-only, as all of a stored object is.
"""

from __future__ import annotations

from typing import Any

from pinnace.api.types import Object
from pinnace.core.memo import snug, written

#: How many parts are remembered.
_REMEMBERED = 8192
#: Parts of a status that no two objects have in common.
_UNIQUE = frozenset(("containerStatuses", "initContainerStatuses", "podIPs", "hostIPs", "addresses"))

_seen: dict[bytes, Any] = {}  # emptied when full
#: Sets of fields that have been looked at, by identity; emptied when full.
_shared: dict[int, Any] = {}
_LOOKED_AT = 2048
_NOTHING: dict[str, Any] = {}


def share(obj: Object) -> None:
    """Replace parts of ``obj``, which nobody changes any more, by equal ones of other objects, in place."""
    status = obj.get("status")
    if isinstance(status, dict):
        for name, child in status.items():
            if child and isinstance(child, dict | list) and name not in _UNIQUE:
                status[name] = _first(child)
    for entry in obj["metadata"].get("managedFields") or ():
        fields = entry.get("fieldsV1")
        if not isinstance(fields, dict) or _shared.get(id(fields)) is fields:
            continue  # a change leaves most entries, and the sets of those it touches, as they were
        for section in fields.values():
            if isinstance(section, dict):
                for name, owned in section.items():
                    if owned.__class__ is dict:
                        section[name] = _first(owned) if owned else _NOTHING
        if len(_shared) >= _LOOKED_AT:
            _shared.clear()
        _shared[id(fields)] = fields
    if len(_seen) > _REMEMBERED:
        _seen.clear()


def _first(part: Any) -> Any:
    """The first one seen that equals ``part``, unless that is too large to be kept for others."""
    raw = written(part)
    found = _seen.get(raw) if raw else part
    if found is None:
        _seen[snug(raw)] = found = part
    return found
