"""Which fields a change touches, and which fields a value has.

``compare`` walks only what differs: parts that two objects share are skipped by identity, equal ones by one comparison.
Where upstream's Go type always has a value (``Type.present``) a field that an object leaves out counts as its zero
value, which decides whether a struct that appears is a member of its own.
"""

from __future__ import annotations

from typing import Any

from pinnace.api.apply import fieldset
from pinnace.api.apply.fieldset import EMPTY, SELF, Set, field_element
from pinnace.api.apply.typed import ATOMIC, KEYED, OPAQUE, Type
from pinnace.core.memo import memo

#: Nodes of values without lists and maps inside, by their types and fields: objects of one kind share them.
KEPT_FLAT = 4096
_flat: dict[tuple[Type, tuple[str, ...]], Set] = {}


class TypedError(ValueError):
    """A value that is not of its type; ``str`` is upstream's text."""


def compare(type_: Type, old: Any, new: Any) -> tuple[Set, Set]:
    """``(changed, removed)``: the fields that are new or different in ``new``, and those that only ``old`` has."""
    if old is new or old == new:
        return EMPTY, EMPTY
    changed: Set = {}
    removed: Set = {}
    _maps(type_.ready(), old, new, changed, removed)
    return fieldset.ordered(changed), fieldset.ordered(removed)


def field_set(type_: Type, value: Any) -> Set:
    """The fields that a configuration names."""
    return _named(type_.ready(), value) or EMPTY


def _maps(type_: Type, old: dict[str, Any], new: dict[str, Any], changed: Set, removed: Set) -> None:
    fields, values, present = type_.fields, type_.values, type_.present
    for name, value in new.items():
        if name in old:
            held = old[name]
            if held is value or (held == value and type(held) is type(value)):
                continue
        elif name in present:
            held = present[name]
        else:
            changed[field_element(name)] = _whole((fields.get(name) or values or OPAQUE).ready(), value)
            continue
        _differ(fields.get(name) or values or OPAQUE, held, value, field_element(name), changed, removed)
    for name, held in old.items():
        if name in new:
            continue
        of = fields.get(name) or values or OPAQUE
        if name in present:
            _differ(of, held, present[name], field_element(name), changed, removed)
        else:
            removed[field_element(name)] = _whole(of.ready(), held)


def _differ(type_: Type, old: Any, new: Any, element: str, changed: Set, removed: Set) -> None:
    """Enter what differs between two values of one field or list element."""
    if old is new or (old == new and type(old) is type(new)):
        return
    old_kind, new_kind = type(old), type(new)
    both = old_kind if old is not None and (new is None or new_kind is old_kind) else new_kind if old is None else None
    both_maps, both_lists = both is dict, both is list
    type_.ready()
    if both_maps and type_.is_map and (old or new):
        if type_.map_atomic:
            changed[element] = EMPTY
            return
        inner: Set = {}
        gone: Set = {}
        _maps(type_, old or {}, new or {}, inner, gone)
    elif both_lists and type_.is_list and (old or new):
        if type_.list_kind == ATOMIC:
            changed[element] = EMPTY
            return
        inner, gone = {}, {}
        _lists(type_, old or [], new or [], inner, gone)
    elif old_kind is new_kind or (not isinstance(old, dict | list) and not isinstance(new, dict | list)):
        changed[element] = EMPTY
        return
    else:  # one kind of value became another
        inner = {SELF: EMPTY, **(_whole(type_, new) if isinstance(new, dict | list) else EMPTY)}
        gone = {e: n for e, n in _whole(type_, old).items() if e != SELF} if isinstance(old, dict | list) else {}
        changed[element] = inner if len(inner) > 1 else EMPTY
        if gone:
            removed[element] = gone
        return
    if inner:
        changed[element] = fieldset.ordered(inner)
    if gone:
        removed[element] = fieldset.ordered(gone)


def _lists(type_: Type, old: list[Any], new: list[Any], changed: Set, removed: Set) -> None:
    before, after = _by_element(type_, old), _by_element(type_, new)
    element_type = (type_.element or OPAQUE).ready()
    for element, items in after.items():
        held = before.get(element)
        if held is None:
            changed[element] = EMPTY if len(items) > 1 else _whole(element_type, items[0])
        elif len(held) == 1 and len(items) == 1:
            _differ(element_type, held[0], items[0], element, changed, removed)
        elif len(held) > 1 and len(items) > 1:
            if held != items:
                changed[element] = EMPTY
        elif len(held) > 1:  # no duplicates any more
            changed[element] = _whole(element_type, items[0])
            removed[element] = EMPTY
        else:
            removed[element] = _whole(element_type, held[0])
            changed[element] = EMPTY
    for element, held in before.items():
        if element not in after:
            removed[element] = EMPTY if len(held) > 1 else _whole(element_type, held[0])


def _by_element(type_: Type, items: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(path_element(type_, item), []).append(item)
    return found


@memo(4096)
def _named_element(key: tuple[str, str]) -> str:
    return fieldset.key_element({key[0]: key[1]})


def path_element(type_: Type, item: Any) -> str:
    """The path element of an element of a set or keyed list. Raises TypedError."""
    if type_.list_kind == KEYED:
        if item is None:
            raise TypedError("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise TypedError("associative list with keys may not have non-map elements")
        if len(type_.keys) == 1 and type(named := item.get(type_.keys[0])) is str:
            return _named_element((type_.keys[0], named))
        key = {}
        for name in type_.keys:
            if name in item:
                key[name] = item[name]
            elif (default := type_.key_default(name)) is not None:
                key[name] = default
        if not key:
            named = " ".join(f'"{name}"' for name in type_.keys)
            raise TypedError(
                f"associative list with keys has an element that omits all key fields [{named}] (and doesn't have "
                "default values for any key fields)"
            )
        return fieldset.key_element(key)
    if isinstance(item, dict):
        raise TypedError("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise TypedError("not supported: associative list with lists as elements")
    if item is None:
        raise TypedError("associative list without keys has an element that's an explicit null")
    return fieldset.value_element(item)


def _whole(type_: Type, value: Any) -> Set:
    """The node of a value that was not there before, itself included."""
    if type(value) is dict:
        if type_.map_atomic or not type_.is_map:
            return EMPTY
        flat = True
        for held in value.values():
            kind = type(held)
            if kind is dict or kind is list:
                flat = False
                break
        if not flat:
            return _whole_map(type_, value)
        known = _flat.get((type_, tuple(value)))  # what such a value holds is nothing but names
        if known is None:
            if len(_flat) >= KEPT_FLAT:
                _flat.clear()
            known = _flat[type_, tuple(value)] = _whole_map(type_, value)
        return known
    if type(value) is list:
        if type_.list_kind == ATOMIC or not value:
            return EMPTY
        element_type = (type_.element or OPAQUE).ready()
        out = {
            element: EMPTY if len(items) > 1 else _whole(element_type, items[0])
            for element, items in _by_element(type_, value).items()
        }
        return fieldset.ordered({SELF: EMPTY, **out})
    return EMPTY


def _whole_map(type_: Type, value: dict[str, Any]) -> Set:
    out: Set = {}
    fields, values = type_.fields, type_.values
    for name, held in value.items():
        kind = type(held)
        if kind is dict or kind is list:
            out[field_element(name)] = _whole((fields.get(name) or values or OPAQUE).ready(), held)
        else:
            out[field_element(name)] = EMPTY
    for name, zero in type_.present.items():
        if name not in value:
            out[field_element(name)] = _whole(fields[name].ready(), zero) if isinstance(zero, dict) else EMPTY
    return {SELF: EMPTY, **(out if len(out) < 2 else {e: out[e] for e in sorted(out)})} if out else EMPTY


def _named(type_: Type, value: Any) -> Set | None:
    """The node of a configuration's value: a struct or list is named through what it holds; None if by nothing."""
    if isinstance(value, dict) and type_.is_map:
        if type_.map_atomic:
            return EMPTY
        out: Set = {}
        for name, held in value.items():
            declared = type_.fields.get(name)
            of = (declared or type_.values or OPAQUE).ready()
            node = _named(of, held)
            if held is None or held == {} or declared is None:
                node = _joined(node)
            if node is not None:
                out[f"f:{name}"] = node
        return fieldset.ordered(out) if out else None
    if isinstance(value, list) and type_.is_list:
        if type_.list_kind == ATOMIC:
            return EMPTY
        element_type = (type_.element or OPAQUE).ready()
        out = {
            element: EMPTY if len(items) > 1 else _joined(_named(element_type, items[0]))
            for element, items in _by_element(type_, value).items()
        }
        return fieldset.ordered(out) if out else None
    return EMPTY


def _joined(node: Set | None) -> Set:
    """``node`` with itself as a member."""
    return {SELF: EMPTY, **node} if node else EMPTY
