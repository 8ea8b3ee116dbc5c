"""A configuration merged into an object, fields taken out of an object, and what is wrong with a configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinnace.api import errors
from pinnace.api.apply import compare, fieldset
from pinnace.api.apply.compare import TypedError
from pinnace.api.apply.fieldset import EMPTY, SELF, Set
from pinnace.api.apply.typed import ATOMIC, BOOLEAN, NUMERIC, OPAQUE, STRING, Type

_ABSENT: Any = object()


def merge(type_: Type, live: Any, config: Any) -> Any:
    """``live`` with ``config`` in it: leaves are the configuration's, elements it does not name stay. Nothing is
    removed and neither is changed; what is unchanged is shared."""
    type_.ready()
    if isinstance(config, dict) and type_.is_map and (live is None or isinstance(live, dict)):
        if type_.map_atomic or not config:
            return config if type_.map_atomic or not live else live
        merged = dict(live or {})
        for name, value in config.items():
            held = merged.get(name, _ABSENT)
            of = type_.of_field(name)
            merged[name] = value if held is _ABSENT or of is None else merge(of, held, value)
        return merged
    if isinstance(config, list) and type_.is_list and (live is None or isinstance(live, list)):
        if type_.list_kind == ATOMIC or not config:
            return config if type_.list_kind == ATOMIC or not live else live
        return _merge_lists(type_, live or [], config)
    if config is None and isinstance(live, dict | list) and live and not _is_leaf(type_, live):
        return live
    return config


def _is_leaf(type_: Type, value: Any) -> bool:
    if isinstance(value, dict):
        return type_.map_atomic
    return not isinstance(value, list) or type_.list_kind == ATOMIC


def _merge_lists(type_: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """Elements keep the live list's order where the configuration does not ask for another: those that both have come
    in the configuration's order, and those that only one has next to their neighbours there."""
    element_type = type_.element or OPAQUE
    held = [(compare.path_element(type_, item), item) for item in live]
    counts: dict[str, int] = {}
    for element, _ in held:
        counts[element] = counts.get(element, 0) + 1
    by_element = dict(held)
    wanted = [(compare.path_element(type_, item), item) for item in config]
    named = {element for element, _ in wanted}
    shared = [element for element, _ in wanted if element in counts]
    merged: list[Any] = []
    done: set[str] = set()

    def take(element: str, item: Any) -> None:
        done.add(element)
        if counts.get(element) == 1:  # duplicates are replaced
            merged.append(merge(element_type, by_element[element], item))
        else:
            merged.append(item)

    left, right, next_shared = 0, 0, 0
    while left < len(held) or right < len(wanted):
        if left < len(held) and right < len(wanted):
            element = held[left][0]
            if element == wanted[right][0]:
                take(*wanted[right])
                left, right, next_shared = left + 1, right + 1, next_shared + 1
                continue
            if element in named and next_shared < len(shared) and shared[next_shared] != element:
                left += 1  # shared, but its turn comes later
                continue
        if left < len(held):
            element, item = held[left]
            if element not in named:
                merged.append(item)
                left += 1
                continue
            if element in done:
                left += 1
        if right < len(wanted):
            element = wanted[right][0]
            take(*wanted[right])
            right += 1
            if next_shared < len(shared) and shared[next_shared] == element:
                next_shared += 1
    return merged


def remove(type_: Type, value: Any, fields: Set) -> Any:
    """``value`` without the fields and elements that are members of ``fields``; a leaf or what becomes empty on the
    way down turns into None."""
    type_.ready()
    if isinstance(value, dict) and type_.is_map:
        if not value or type_.map_atomic:
            return None
        kept: dict[str, Any] = {}
        for name, held in value.items():
            node = fields.get(f"f:{name}")
            if node is None:
                kept[name] = held
            elif not fieldset.is_member(node):
                of = type_.of_field(name)
                kept[name] = held if of is None else remove(of, held, node)
        return kept or None
    if isinstance(value, list) and type_.is_list:
        if not value or type_.list_kind == ATOMIC:
            return None
        items = []
        for item in value:
            node = fields.get(compare.path_element(type_, item))
            if node is None:
                items.append(item)
            elif not fieldset.is_member(node):
                items.append(remove(type_.element or OPAQUE, item, node))
        return items or None
    return value


def with_named_fields(type_: Type | None, fields: Set) -> Set:
    """``fields`` and with them the declared fields that they are below of."""
    if type_ is None or not fields:
        return fields
    type_.ready()
    out: Set = {}
    for element, node in fields.items():
        if element == SELF:
            out[SELF] = EMPTY
            continue
        kind, name = element[0], element[2:]
        below: Type | None = None
        declared = False
        if kind == "f" and type_.is_map:
            declared = name in type_.fields
            below = type_.of_field(name)
        elif kind == "k" and type_.is_list:
            below = type_.element
        made = with_named_fields(below, node)
        if declared and made and SELF not in made:
            made = {SELF: EMPTY, **made}
        out[element] = made
    return out


def check(type_: Type, value: Any) -> None:
    """Raises TypedError, in upstream's words, for a configuration that is not of its type, has fields that the type
    does not declare, or names an element of a list twice."""
    found: list[str] = []
    _check(type_, value, (), found)
    if found:
        raise TypedError(found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {line}" for line in found)]))


def _check(type_: Type, value: Any, path: tuple[str, ...], found: list[str]) -> None:
    type_.ready()
    if value is None:
        return
    if type_.is_map and (isinstance(value, dict) or not (type_.scalar or type_.is_list)):
        if not isinstance(value, dict):
            _say(found, path, f"expected map, got &{{{go_value(value)}}}")
            return
        for name, held in sorted(value.items()):
            of = type_.of_field(name)
            if of is None:
                _say(found, (*path, f"f:{name}"), "field not declared in schema")
                return
            _check(of, held, (*path, f"f:{name}"), found)
    elif type_.is_list and (isinstance(value, list) or not type_.scalar):
        if not isinstance(value, list):
            _say(found, path, f"expected list, got &{{{go_value(value)}}}")
            return
        _check_items(type_, value, path, found)
    else:
        problem = _SCALARS[type_.scalar](value)
        if problem:
            _say(found, path, problem)


def _check_items(type_: Type, value: list[Any], path: tuple[str, ...], found: list[str]) -> None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        element = f"i:{index}"
        if type_.list_kind != ATOMIC:
            try:
                element = compare.path_element(type_, item)
            except TypedError as error:
                _say(found, path, f"element {index}: {error}")
                return
            if element in seen:
                _say(found, path, f"duplicate entries for key {fieldset.shown((element,))}")
            seen.add(element)
        _check(type_.element or OPAQUE, item, (*path, element), found)


def _say(found: list[str], path: tuple[str, ...], message: str) -> None:
    where = fieldset.shown(path)
    found.append(f"{where}: {message}" if where else message)


def _numeric(value: Any) -> str:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return "" if right else f"expected numeric (int or float), got {_go_type(value)}"


def _string(value: Any) -> str:
    return (
        "" if isinstance(value, str) else f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}"
    )


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else f"expected boolean, got &{{{go_value(value)}}}"


def _untyped(value: Any) -> str:
    return f"expected any scalar, got &{{{go_value(value)}}}" if isinstance(value, dict | list) else ""


_SCALARS: dict[str, Callable[[Any], str]] = {NUMERIC: _numeric, STRING: _string, BOOLEAN: _boolean, "untyped": _untyped}


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map[string]interface {}"
    return "[]interface {}" if isinstance(value, list) else "float64"


def go_value(value: Any) -> str:
    """A value as Go's ``%v`` shows it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{go_value(held)}" for name, held in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def _go_syntax(value: Any) -> str:
    """As ``%#v``."""
    if isinstance(value, dict):
        held = ", ".join(f"{errors.go_quote(name)}:{_go_syntax(item)}" for name, item in sorted(value.items()))
        return "map[string]interface {}{" + held + "}"
    if isinstance(value, list):
        return "[]interface {}{" + ", ".join(_go_syntax(item) for item in value) + "}"
    return errors.go_quote(value) if isinstance(value, str) else go_value(value)
