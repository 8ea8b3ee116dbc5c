"""Sets of fields that were written under an earlier schema, as they are under the present one.

A list or map that became atomic is one field, of everybody who owned a part of it. One that became granular stays with
its owner until that is written again.
"""

from __future__ import annotations

from pinnace.api.apply.fieldset import EMPTY, SELF, Set
from pinnace.api.apply.typed import ATOMIC, DEDUCED, Type


def reconciled(type_: Type, fields: Set) -> Set:
    """``fields`` itself if nothing changes."""
    type_.ready()
    out = None
    for element, node in fields.items():
        below = _below(type_, element) if node and element != SELF else None
        made = node if below is None else _node(below.ready(), node)
        if made is not node:
            out = dict(fields) if out is None else out
            out[element] = made
    return fields if out is None else out


def _below(type_: Type, element: str) -> Type | None:
    if element.startswith("f:"):
        return type_.of_field(element[2:]) if type_.is_map else None
    return type_.element if type_.is_list else None


def _node(type_: Type, node: Set) -> Set:
    """``node`` has something below it."""
    if type_ is DEDUCED:
        return node
    first = next(element for element in node if element != SELF)
    if first.startswith("f:"):
        atomic = type_.is_map and type_.map_atomic
    else:
        atomic = type_.is_list and type_.list_kind == ATOMIC
    return EMPTY if atomic else reconciled(type_, node)
