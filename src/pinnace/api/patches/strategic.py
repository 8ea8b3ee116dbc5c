"""Strategic merge patch: a merge patch that knows from the schema which lists merge, and by which key.

Semantics, order of list elements and error texts follow apimachinery ``pkg/util/strategicpatch``. Directives:
``$patch: replace|delete`` in an object or list element, ``$retainKeys``, ``$setElementOrder/<list>`` and
``$deleteFromPrimitiveList/<list>``. Elements that only the server has keep their place relative to their neighbours;
new ones come before server elements they have no order with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from pinnace.api import meta, schema
from pinnace.api.errors import ApiError, bad_request
from pinnace.api.patches.merge_patch import TOO_DEEP
from pinnace.api.types import Object

_DIRECTIVE = "$patch"
_RETAIN_KEYS = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE_FROM = "$deleteFromPrimitiveList/"

BAD_PRIMITIVE_LIST = "invalid patch format of primitive list"
BAD_RETAIN_KEYS = "invalid patch format of retainKeys"
BAD_ORDER_LIST = "invalid patch format of setElementOrder list"


class Field(Protocol):
    """What a merge needs to know of one field (``api.schema.FieldInfo``)."""

    @property
    def kind(self) -> str: ...

    @property
    def ref(self) -> str: ...

    @property
    def patch_strategy(self) -> Collection[str]: ...

    @property
    def merge_key(self) -> str: ...


#: The fields of a definition by name; empty for one that is unknown or free-form.
Fields = Callable[[str], Mapping[str, Field]]


def _schema_fields(definition: str) -> Mapping[str, Field]:
    return schema.fields(definition)


def apply(doc: Object, patch: Any, definition: str, fields: Fields = _schema_fields) -> Object:
    """``doc``, an object of ``definition``, with ``patch`` merged in.

    Raises ApiError: 400 for a malformed patch or directive, 422 for lists of lists, 500 (as upstream) for a list
    element without its merge key.
    """
    if not isinstance(patch, dict):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(patch), "number")
        raise bad_request(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    try:
        return _Merge(fields).objects(doc, patch, definition)
    except RecursionError:
        raise bad_request(TOO_DEEP) from None


def _server_error(message: str) -> ApiError:
    return ApiError(500, "", message)


def _unknown_directive(item: Object) -> ApiError:
    return _server_error(f"unknown patch type: {item[_DIRECTIVE]} in map: {_go_map(item)}")


def _go_map(item: Object) -> str:
    return "map[" + " ".join(f"{k}:{v}" for k, v in sorted(item.items())) + "]"


class _Merge:
    """One merge; every method returns a new value and leaves its arguments alone."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def objects(self, original: Object, patch: Object, definition: str) -> Object:
        directive = patch.get(_DIRECTIVE)
        if directive is not None:
            if directive == "replace":
                return {k: strip(v) for k, v in patch.items() if k != _DIRECTIVE and v is not None}
            if directive == "delete":
                return {}
            raise _unknown_directive(patch)
        known = self._fields(definition) if definition else {}
        result = dict(original)
        if _RETAIN_KEYS in patch:
            _retain_keys(result, patch)
        ordered = self._ordered_lists(result, patch, known)
        for key, value in patch.items():
            if key in (_DIRECTIVE, _RETAIN_KEYS) or key in ordered or key.startswith(_ORDER):
                continue
            if key.startswith(_DELETE_FROM):
                _delete_from(result, key.removeprefix(_DELETE_FROM), value)
            elif value is None:
                result.pop(key, None)
            else:
                result[key] = self._member(result.get(key), value, known.get(key))
        return result

    def _member(self, held: Any, value: Any, field: Field | None) -> Any:
        if isinstance(held, dict) and isinstance(value, dict):
            if field is not None and "replace" in field.patch_strategy:
                return strip(value)
            return self.objects(held, value, field.ref if field is not None and field.kind == "object" else "")
        if isinstance(held, list) and isinstance(value, list) and field is not None and "merge" in field.patch_strategy:
            return self.lists(held, value, field)
        return strip(value)

    def _ordered_lists(self, result: Object, patch: Object, known: Mapping[str, Field]) -> set[str]:
        """Merge the lists whose order the patch sets; returns their names."""
        done: set[str] = set()
        for key, order in patch.items():
            if not key.startswith(_ORDER):
                continue
            name = key.removeprefix(_ORDER)
            if not isinstance(order, list):
                raise bad_request(BAD_ORDER_LIST)
            field = known.get(name)
            held, given = result.get(name), patch.get(name)
            if name in patch and not isinstance(given, list):
                if given is None:
                    continue
                raise bad_request(BAD_ORDER_LIST)
            done.add(name)
            if not isinstance(held, list) and given is None:
                continue
            merge_key = field.merge_key if field is not None else ""
            if given and order:
                _check_order(given, order, merge_key)
            if not isinstance(held, list):
                merged = strip(given)
            elif given is None:
                merged = held
            elif field is not None and "merge" in field.patch_strategy:
                merged = self.lists(held, given, field)
            else:
                merged = strip(given)
            result[name] = _place(merged, order, held if isinstance(held, list) else [], merge_key)
        return done

    def lists(self, original: list[Any], patch: list[Any], field: Field) -> list[Any]:
        if not original and not patch:
            return []
        if any(isinstance(item, list) for item in (*original, *patch)):
            raise ApiError(422, "Invalid", "the server rejected our request due to an error in our request", details={})
        maps = sum(isinstance(item, dict) for item in (*original, *patch))
        if maps == 0:
            merged = list(original) + [item for item in dict.fromkeys(patch) if item not in original]
            return _place(merged, patch, original, "")
        if maps != len(original) + len(patch):
            raise bad_request(BAD_PRIMITIVE_LIST)
        key = field.merge_key
        if not key:
            raise _server_error("cannot merge lists without merge key for " + (field.ref or "object"))
        return self._keyed(original, patch, key, field.ref)

    def _keyed(self, original: list[Object], patch: list[Object], key: str, definition: str) -> list[Any]:
        changes: list[Object] = []
        result = list(original)
        replace = False
        for item in patch:
            directive = item.get(_DIRECTIVE)
            if directive == "replace":
                replace = True
            elif directive == "delete":
                result = [held for held in result if held.get(key) != _key_of(item, key)]
            elif directive is None:
                changes.append(item)
            elif directive == "merge":
                raise _server_error("merging lists cannot yet be specified in the patch")
            else:
                raise _unknown_directive(item)
        if replace:
            return [strip(item) for item in changes]
        at = {held.get(key): i for i, held in reversed(list(enumerate(result)))}
        for item in changes:
            name = _key_of(item, key)
            if name in at:
                result[at[name]] = self.objects(result[at[name]], item, definition)
            else:
                at[name] = len(result)
                result.append(strip(item))
        return _place(result, changes, original, key)


def _key_of(item: Object, key: str) -> Any:
    if item.get(key) is None:
        raise _server_error(f"map: {_go_map(item)} does not contain declared merge key: {key}")
    if isinstance(item[key], list | dict):
        raise bad_request(f"the merge key {key} must be a scalar")
    return item[key]


def _retain_keys(result: Object, patch: Object) -> None:
    retained = patch[_RETAIN_KEYS]
    if not isinstance(retained, list):
        raise bad_request(BAD_RETAIN_KEYS)
    for key, value in patch.items():
        directive = key == _RETAIN_KEYS or key.startswith((_ORDER, _DELETE_FROM))
        if not directive and value is not None and key not in retained:
            raise bad_request(BAD_RETAIN_KEYS)
    for key in [key for key in result if key not in retained]:
        del result[key]


def _delete_from(result: Object, name: str, values: Any) -> None:
    if not isinstance(values, list) or not name:
        raise bad_request(BAD_PRIMITIVE_LIST)
    held = result.get(name)
    if isinstance(held, list):
        result[name] = [item for item in held if item not in values]


def _identity(item: Any, merge_key: str) -> Any:
    return item.get(merge_key) if merge_key and isinstance(item, dict) else item


def _check_order(given: list[Any], order: list[Any], merge_key: str) -> None:
    """The elements a patch brings must come in the order it sets."""
    ranks = [_identity(item, merge_key) for item in order]
    position = 0
    for item in given:
        if isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace"):
            continue
        name = _identity(item, merge_key)
        while position < len(ranks) and ranks[position] != name:
            position += 1
        if position == len(ranks):
            raise _server_error(f"The order in patch list:\n{given}\n doesn't match {_ORDER} list:\n{order}\n")


def _place(merged: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """``merged`` with the elements named in ``order`` in that order, the others in the order of ``server``.

    Where an element of each could come next, the server's comes first only if ``server`` had it before the other.

    >>> _place([1, 2, 9], order=[9, 2], server=[1, 2], merge_key="")
    [9, 1, 2]
    """
    wanted = _ranks(order, merge_key)
    known = _ranks(server, merge_key)
    names = [_identity(item, merge_key) for item in merged]
    mine = sorted((i for i in range(len(merged)) if names[i] in wanted), key=lambda i: wanted[names[i]])
    theirs = sorted((i for i in range(len(merged)) if names[i] not in wanted), key=lambda i: known.get(names[i], -1))
    placed: list[Any] = []
    left, right = 0, 0
    while left < len(theirs) and right < len(mine):
        before, after = known.get(names[theirs[left]]), known.get(names[mine[right]])
        if before is not None and after is not None and before < after:
            placed.append(merged[theirs[left]])
            left += 1
        else:
            placed.append(merged[mine[right]])
            right += 1
    placed += [merged[i] for i in theirs[left:]]
    placed += [merged[i] for i in mine[right:]]
    return placed


def _ranks(items: list[Any], merge_key: str) -> dict[Any, int]:
    ranks: dict[Any, int] = {}
    for i, item in enumerate(items):
        name = _identity(item, merge_key)
        if isinstance(name, dict | list):
            raise bad_request(BAD_ORDER_LIST)
        ranks.setdefault(name, i)
    return ranks


def strip(value: Any) -> Any:
    """A copy of what a patch adds, without nulls in objects and without directives."""
    if isinstance(value, dict):
        return {
            k: strip(v)
            for k, v in value.items()
            if v is not None and k not in (_DIRECTIVE, _RETAIN_KEYS) and not k.startswith((_ORDER, _DELETE_FROM))
        }
    if isinstance(value, list):
        return [
            strip(item)
            for item in value
            if not (isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace"))
        ]
    return meta.copy(value)
