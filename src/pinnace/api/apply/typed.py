"""Types as apply sees them: how each list and map of an object merges.

A ``Type`` is what a value may be: a scalar, a list, a map, or several of these. ``of_definition`` gives the types of
the built-in kinds from the generated tables, ``of_structural`` those of a CustomResourceDefinition's version, and
``DEDUCED`` is the type of objects without a schema. Types are compiled when they are first walked and then shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from pinnace.api import schema_table

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
NUMERIC, STRING, BOOLEAN, UNTYPED = "numeric", "string", "boolean", "untyped"
ATOMIC, SET, KEYED = "atomic", "set", "map"

#: Keys of keyed lists that an element may leave out, beyond those whose zero value is always there.
_KEY_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.LocalObjectReference", "name"): "",
}
_ZEROS = {NUMERIC: 0, STRING: "", BOOLEAN: False}
_SCALARS = {"integer": NUMERIC, "number": NUMERIC, "boolean": BOOLEAN}
#: A map's or list's parts: what is not known before the type is first walked.
_Compile = Callable[["Type"], None]


class Type:
    """What a value may be. Attributes of a list or map are set once it is first walked (``ready``)."""

    __slots__ = (
        "_compile",
        "defaults",
        "element",
        "fields",
        "is_list",
        "is_map",
        "keys",
        "list_kind",
        "map_atomic",
        "name",
        "present",
        "scalar",
        "values",
    )

    def __init__(self, *, scalar: str = "", is_list: bool = False, is_map: bool = False, name: str = "") -> None:
        #: ``numeric``, ``string``, ``boolean``, ``untyped``, or "" if it may be no scalar.
        self.scalar = scalar
        self.is_list = is_list
        self.is_map = is_map
        self.name = name
        #: Of a list: ``atomic``, ``set`` or ``map``, the key fields (sorted) and the elements' type.
        self.list_kind = ATOMIC
        self.keys: tuple[str, ...] = ()
        self.element: Type | None = None
        #: Of a map: whether it is one leaf, the types of the fields it declares, and of all others (None: refused).
        self.map_atomic = False
        self.fields: Mapping[str, Type] = {}
        self.values: Type | None = None
        #: Fields of which upstream's Go type always has a value, and the zero value that is meant where they are left
        #: out: None for a null list, map or time, {} for a struct.
        self.present: Mapping[str, Any] = {}
        #: Fields of a custom resource's map that have a value where they are left out.
        self.defaults: Mapping[str, Any] = {}
        self._compile: _Compile | None = None

    def ready(self) -> Type:
        """Itself, with its parts."""
        if self._compile is not None:
            compiling, self._compile = self._compile, None
            compiling(self)
        return self

    def of_field(self, name: str) -> Type | None:
        """The type of a map's field; None if the map has no such field."""
        return self.fields.get(name) or self.values

    def key_default(self, key: str) -> Any:
        """What a list's element that leaves ``key`` out has there; None for nothing."""
        element = self.element
        if element is None:
            return None
        default = _KEY_DEFAULTS.get((element.name, key))
        if default is None:
            default = element.ready().present.get(key, element.defaults.get(key))
        return default


def _untyped_atomic() -> Type:
    made = Type(scalar=UNTYPED, is_list=True, is_map=True)
    made.element, made.values, made.map_atomic = made, made, True
    return made


def _deduced() -> Type:
    made = Type(scalar=UNTYPED, is_list=True, is_map=True)
    made.element, made.values = OPAQUE, made
    return made


#: Anything, as one leaf.
OPAQUE: Final = _untyped_atomic()
#: Anything: lists are leaves, maps are not.
DEDUCED: Final = _deduced()

_RAW_EXTENSION = "io.k8s.apimachinery.pkg.runtime.RawExtension"
#: Definitions whose values are scalars of any kind.
_ANY_SCALAR = frozenset((schema_table.QUANTITY, schema_table.TIME, schema_table.MICRO_TIME, schema_table.INT_OR_STRING))


@cache
def _present() -> Mapping[str, frozenset[str]]:
    """Of each definition the fields whose Go type always has a value."""
    found = {}
    for line in (schema_table.GENERATED / "present.txt").read_text().splitlines():
        name, *fields = line.split(" ")
        found[name] = frozenset(fields)
    return found


@cache
def of_definition(definition: str) -> Type:
    """The type of a built-in definition; ``DEDUCED`` if there is none."""
    if definition == _RAW_EXTENSION:
        return OPAQUE
    if definition in _ANY_SCALAR:
        return Type(scalar=UNTYPED, name=definition)
    if not schema_table.known(definition):
        return DEDUCED
    return _of_schema(schema_table.schema(definition), preserve=False, name=definition)


@cache
def _overridden(definition: str, map_atomic: bool) -> Type:
    """A definition's type where a field says itself how the map merges."""
    base = of_definition(definition)
    made = Type(scalar=base.scalar, is_list=base.is_list, is_map=base.is_map, name=definition)

    def compile_parts(self: Type) -> None:
        base.ready()
        self.list_kind, self.keys, self.element = base.list_kind, base.keys, base.element
        self.fields, self.values, self.present = base.fields, base.values, base.present
        self.map_atomic = map_atomic

    made._compile = compile_parts
    return made


def of_structural(schema: Mapping[str, Any], *, preserve_unknown: bool = False) -> Type:
    """The type of a custom resource from its version's ``openAPIV3Schema``, ``DEDUCED`` if that says nothing.

    ``apiVersion``, ``kind`` and ``metadata`` are those of every object, whatever the schema says of them.
    """
    if not schema or (preserve_unknown and not schema.get("properties")):
        return DEDUCED
    root = {**schema, "type": "object", "x-kubernetes-embedded-resource": True}
    return _of_schema(root, preserve=preserve_unknown)


def _of_schema(node: Mapping[str, Any], *, preserve: bool, name: str = "") -> Type:
    """The type of a JSON schema with ``x-kubernetes-`` keys; of what it holds unknown fields are kept if
    ``preserve``."""
    ref = node.get("$ref")
    if ref:
        how = node.get("x-kubernetes-map-type")
        return of_definition(ref) if how is None else _overridden(ref, how == ATOMIC)
    kind = node.get("type", "")
    preserve = preserve or node.get("x-kubernetes-preserve-unknown-fields") is True
    if kind == "string":
        return Type(scalar=STRING if node.get("format", "") in ("", "byte") else UNTYPED, name=name)
    if kind in _SCALARS:
        return Type(scalar=_SCALARS[kind], name=name)
    made = Type(
        scalar="" if kind in ("object", "array") else UNTYPED,
        is_list=kind != "object",
        is_map=kind != "array",
        name=name,
    )

    def compile_parts(self: Type) -> None:
        if self.is_list:
            self.list_kind, self.keys = _relationship(node)
            items = node.get("items")
            self.element = _of_schema(items, preserve=preserve) if items else OPAQUE
        if self.is_map:
            self.map_atomic = node.get("x-kubernetes-map-type") == ATOMIC
            self.fields = _fields(node, preserve=preserve)
            self.values = _values(node, preserve=preserve)
            if not name:
                declared = node.get("properties") or {}
                self.defaults = {field: child["default"] for field, child in declared.items() if "default" in child}
            always = _present().get(name, frozenset()) if name else frozenset()
            self.present = {field: _zero(self.fields[field]) for field in self.fields if field in always}

    made._compile = compile_parts
    return made


def _fields(node: Mapping[str, Any], *, preserve: bool) -> dict[str, Type]:
    found = {field: _of_schema(child, preserve=preserve) for field, child in (node.get("properties") or {}).items()}
    if node.get("x-kubernetes-embedded-resource"):
        found["apiVersion"] = found["kind"] = Type(scalar=STRING)
        found["metadata"] = of_definition(OBJECT_META)
    return found


def _values(node: Mapping[str, Any], *, preserve: bool) -> Type | None:
    """The type of the fields that a map does not declare; None if it may have none."""
    more = node.get("additionalProperties")
    if isinstance(more, Mapping):
        return _of_schema(more, preserve=preserve) if more else DEDUCED
    if more is not None:
        return DEDUCED if more else None
    return DEDUCED if preserve or not node.get("properties") else None


def _relationship(node: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    how = node.get("x-kubernetes-list-type")
    if how is not None:
        keys = tuple(sorted(node.get("x-kubernetes-list-map-keys") or ()))
        return (how, keys if how == KEYED else ()) if how in (SET, KEYED) else (ATOMIC, ())
    strategy = node.get("x-kubernetes-patch-strategy", "")
    if strategy in ("merge", "merge,retainKeys"):
        key = node.get("x-kubernetes-patch-merge-key")
        return (KEYED, (key,)) if key else (SET, ())
    return ATOMIC, ()


def _zero(type_: Type) -> Any:
    """What Go has where a value of this type was left out."""
    if type_.scalar:
        return _ZEROS.get(type_.scalar)
    return {} if type_.is_map and type_.name else None
