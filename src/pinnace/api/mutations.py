"""What a MutatingAdmissionPolicy's expressions give, and how that changes an object.

``ApplyConfiguration``: an ``Object{...}`` that is merged into the object as server-side apply merges it, without
owning anything. ``JSONPatch``: a list of ``JSONPatch{...}`` operations. Both may have parts made as
``Object.spec{...}``, which must stand where their names say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pinnace.api import meta
from pinnace.api.admission import Expression, ExpressionError
from pinnace.api.admission import compiled as compiled_as
from pinnace.api.apply import fieldset, merge
from pinnace.api.apply.compare import TypedError
from pinnace.api.apply.typed import ATOMIC
from pinnace.api.apply.typed import Type as Merged
from pinnace.api.cel.checker import OBJECTS
from pinnace.api.cel.types import DYN, STRING, Type, list_of, object_of
from pinnace.api.cel.values import ObjectValue
from pinnace.api.errors import ApiError, go_quote
from pinnace.api.patches import json_patch
from pinnace.api.types import Object

__all__ = ["FIELDS", "ExpressionError", "apply", "compiled", "names", "operations", "patched"]

#: Where the expression of each kind of patch is.
FIELDS = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
_ROOT = "Object"


class _AnyField(Mapping[str, Type]):
    """Fields of any name: the object's schema is not looked at."""

    def __getitem__(self, name: str) -> Type:
        return DYN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


_OBJECT = object_of(_ROOT, _AnyField())
_OPERATION = object_of("JSONPatch", {"op": STRING, "path": STRING, "from": STRING, "value": DYN})
_WANTED = {"ApplyConfiguration": _OBJECT, "JSONPatch": list_of(_OPERATION)}


class _Types(Mapping[str, Type]):
    """The types whose objects may be made, by name."""

    def __getitem__(self, name: str) -> Type:
        if name == _OPERATION.name:
            return _OPERATION
        if name == _ROOT:
            return _OBJECT
        if name.startswith(f"{_ROOT}."):
            return object_of(name, _AnyField())
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((_ROOT, _OPERATION.name))

    def __len__(self) -> int:
        return 2


def names(known: Mapping[str, Type]) -> dict[str, Type]:
    """``known`` and what makes objects."""
    return {**known, OBJECTS: object_of(OBJECTS, _Types())}


def compiled(kind: str, text: str, known: Mapping[str, Type]) -> Expression:
    """Raises ExpressionError."""
    return compiled_as(text, names(known), (_WANTED[kind],))


def _misplaced(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, ObjectValue):
        if value.cel_type != path:
            why = f"expected {go_quote(path)}, which matches field name path from root Object type"
            yield f"unexpected type name {go_quote(value.cel_type)}, {why}"
        for name, held in value.items():
            yield from _misplaced(held, f"{path}.{name}")
    elif isinstance(value, dict):
        for held in value.values():
            yield from _misplaced(held, path)
    elif isinstance(value, list):
        for held in value:
            yield from _misplaced(held, path)


def _check_places(value: Any, path: str) -> None:
    found = list(_misplaced(value, path))
    if found:
        raise ExpressionError("type mismatch: " + "\n".join(found))


def _json(value: Any) -> Any:
    """A value of an expression as JSON. Raises ExpressionError."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ExpressionError("map keys must be strings")
        return {key: _json(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_json(held) for held in value]
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int):
        return int(value)
    raise ExpressionError(f"evaluated to a type that could not marshal to JSON: {type(value).__name__}")


def operations(value: Any) -> list[Object]:
    """The JSON patch that an expression gives. Raises ExpressionError."""
    found = []
    for operation in value:
        made: Object = {"op": operation.get("op", ""), "path": operation.get("path", "")}
        if operation.get("from"):
            made["from"] = operation["from"]
        if "value" in operation:
            held = operation["value"]
            if isinstance(held, ObjectValue):
                _check_places(held, held.cel_type)
            made["value"] = _json(held)
        found.append(made)
    return found


def patched(obj: Object, patch: list[Object]) -> Any:
    """``obj`` itself where a ``test`` of the patch fails. Raises ExpressionError."""
    at: Any = obj
    for operation in patch:
        try:
            at = json_patch.apply(at, [operation])
        except ApiError:
            if operation["op"] == "test":
                return obj
            why = f"{operation['op']} operation does not apply: doc is missing path: {go_quote(operation['path'])}"
            raise ExpressionError(f"JSON Patch: {why}: missing value") from None
    return at


def apply(type_: Merged, obj: Object, value: Any) -> Object:
    """``obj``, which is left alone, with an apply configuration merged into it. Raises ExpressionError."""
    _check_places(value, _ROOT)
    config = {**_json(value), "kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    try:
        merge.check(type_, config)
    except TypedError as error:
        why = f"failed to convert patch object to typed object: {error}"
        raise ExpressionError(f"error applying patch: {why}") from None
    atomic = list(_atomics(type_, config, ()))
    if atomic:
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomic)}"
        raise ExpressionError(f"error applying patch: invalid ApplyConfiguration: {why}")
    made: Object = meta.copy(merge.merge(type_, obj, config))
    return made


def _atomics(type_: Merged, value: Any, path: tuple[str, ...]) -> Iterator[str]:
    type_.ready()
    if isinstance(value, dict) and type_.is_map:
        if type_.map_atomic:
            yield fieldset.shown(path)
        for name, held in value.items():
            of = type_.fields.get(name)
            if of is not None:
                yield from _atomics(of, held, (*path, f"f:{name}"))
    elif isinstance(value, list) and type_.is_list:
        if type_.list_kind == ATOMIC:
            yield fieldset.shown(path)
        for index, held in enumerate(value):
            if type_.element is not None:
                yield from _atomics(type_.element, held, (*path, f"i:{index}"))
