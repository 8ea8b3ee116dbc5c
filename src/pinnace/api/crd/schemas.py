"""What is wrong with a version's schema: structural rules, unsupported keywords, list and map types.

Upstream's checks in upstream's words and, where it has one, order. Schemas come in decoded, so each keyword has its
type. Rules (``x-kubernetes-validations``) are checked by ``rules``, defaults by ``defaults``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pinnace.api.crd import patterns
from pinnace.api.errors import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from pinnace.api.types import Object

Errors = list[FieldError]
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_META = frozenset(("metadata", "kind", "apiVersion"))
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_KEEP, _EMBEDDED, _EITHER = (
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
)
_LIST_TYPE, _LIST_KEYS, _MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"
#: Keywords of a nested value validation that would give its value a type, and what is said of each.
_NOT_NESTED = (
    ("type", "must be empty to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (_KEEP, "must be false to be structural"),
    (_EMBEDDED, "must be false to be structural"),
    (_EITHER, "must be false to be structural"),
    (_LIST_KEYS, "must be empty to be structural"),
    (_LIST_TYPE, "must be undefined to be structural"),
    (_MAP_TYPE, "must be undefined to be structural"),
    (RULES, "must be empty to be structural"),
)
_UNSUPPORTED = ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")


def walk(node: Any) -> Iterator[Object]:
    """Every schema in ``node``, itself first."""
    if not isinstance(node, dict):
        return
    yield node
    for key in ("items", "not", "additionalProperties", "additionalItems"):
        child = node.get(key)
        yield from walk(child)
        if isinstance(child, list):
            for element in child:
                yield from walk(element)
    for key in ("allOf", "anyOf", "oneOf"):
        for child in node.get(key) or ():
            yield from walk(child)
    for key in ("properties", "patternProperties", "definitions", "dependencies"):
        for child in (node.get(key) or {}).values():
            yield from walk(child)


def cannot_be_structural(node: Object) -> str:
    """Why no structural schema can be made of ``node``; "" if one can."""
    for child in walk(node):
        for key in _UNSUPPORTED:
            if child.get(key) not in (None, "", {}):
                return f"OpenAPIV3Schema '{key.removeprefix('$') if key == '$schema' else key}' is not supported"
        if isinstance(child.get("items"), list):
            return "OpenAPIV3Schema 'items' must be a schema, but is an array"
        if child.get(_KEEP) is False:
            return f"internal error: '{_KEEP}' must be true or undefined"
    return ""


def structural_errors(node: Object, at: str) -> Errors:
    """Where ``node`` is not structural, sorted."""
    errors: Errors = []
    _invariants(errors, node, _ROOT, at)
    _complete(errors, node, node, at, at)
    return sorted(errors, key=str)


def _invariants(errors: Errors, node: Object, level: str, at: str) -> None:
    kind, items, additional = node.get("type") or "", node.get("items"), node.get("additionalProperties")
    embedded, properties = bool(node.get(_EMBEDDED)), node.get("properties") or {}
    if kind == "array" and items is None:
        errors.append(required(f"{at}.items", "must be specified"))
    if isinstance(items, dict):
        _invariants(errors, items, _ITEM, f"{at}.items")
    for name, child in properties.items():
        _invariants(errors, child, _FIELD, f"{at}.properties[{name}]")
    if additional is not None:
        if level is _ROOT:
            errors.append(forbidden_field(f"{at}.additionalProperties", "must not be used at the root"))
        if isinstance(additional, dict):
            _invariants(errors, additional, _FIELD, f"{at}.additionalProperties")
    if node.get(_EITHER):
        for key in (_KEEP, _EMBEDDED):
            if node.get(key):
                errors.append(invalid_value(f"{at}.{key}", True, f"must be false if {_EITHER} is true"))
    skip_any = node.get("anyOf") == _INT_OR_STRING
    all_of: list[Object] = node.get("allOf") or []
    skip_first = bool(all_of) and all_of[0].get("anyOf") == _INT_OR_STRING
    _value_validation(errors, node, at, skip_any=skip_any, skip_first=skip_first)
    if embedded and kind != "object":
        why = f"must be object if {_EMBEDDED} is true"
        errors.append(invalid_value(f"{at}.type", kind, why) if kind else required(f"{at}.type", why))
    elif not kind and not node.get(_EITHER) and not node.get(_KEEP):
        errors.append(required(f"{at}.type", f"must not be empty {level}"))
    if embedded and additional is not None:
        why = f"must not be used if {_EMBEDDED} is set"
        errors.append(forbidden_field(f"{at}.additionalProperties", why))
    if level is _ROOT and kind and kind != "object":
        errors.append(invalid_value(f"{at}.type", kind, "must be object at the root"))
    _envelope(errors, node, level, at)
    if embedded and not node.get(_KEEP) and not properties:
        why = f"must not be empty if {_EMBEDDED} is true without {_KEEP}"
        errors.append(required(f"{at}.properties", why))


def _envelope(errors: Errors, node: Object, level: str, at: str) -> None:
    """kind, apiVersion and metadata have their types; at the root a schema may only restrict the name."""
    properties = node.get("properties") or {}
    checked = level is _ROOT or bool(node.get(_EMBEDDED))
    for name in ("kind", "apiVersion"):
        child = properties.get(name)
        if checked and child is not None and child.get("type") != "string":
            where = f"{at}.properties[{name}].type"
            errors.append(invalid_value(where, child.get("type") or "", "must be string"))
    metadata = properties.get("metadata")
    if metadata is None:
        return
    where = f"{at}.properties[metadata]"
    if checked and metadata.get("type") != "object":
        errors.append(invalid_value(f"{where}.type", metadata.get("type") or "", "must be object"))
    if level is _ROOT:
        rest = {key: value for key, value in metadata.items() if key not in ("type", "default")}
        if set(rest.get("properties") or ()) <= {"name", "generateName"}:
            rest.pop("properties", None)
        if rest:
            why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(forbidden_field(where, why))


def _value_validation(errors: Errors, node: Object, at: str, *, skip_any: bool, skip_first: bool) -> None:
    if not skip_any:
        for index, child in enumerate(node.get("anyOf") or ()):
            _nested(errors, child, f"{at}.anyOf[{index}]")
    for index, child in enumerate(node.get("allOf") or ()):
        _nested(errors, child, f"{at}.allOf[{index}]", skip_any=skip_first and index == 0)
    for index, child in enumerate(node.get("oneOf") or ()):
        _nested(errors, child, f"{at}.oneOf[{index}]")
    if node.get("not") is not None:
        _nested(errors, node["not"], f"{at}.not")
    if pattern := node.get("pattern"):
        try:
            patterns.compiled(pattern)
        except patterns.PatternError as error:
            why = f"must be a valid regular expression, but isn't: {error}"
            errors.append(invalid_value(f"{at}.pattern", pattern, why))


def _nested(errors: Errors, node: Object, at: str, *, skip_any: bool = False) -> None:
    _value_validation(errors, node, at, skip_any=skip_any, skip_first=False)
    if isinstance(node.get("items"), dict):
        _nested(errors, node["items"], f"{at}.items")
    for name, child in (node.get("properties") or {}).items():
        _nested(errors, child, f"{at}.properties[{name}]")
    for key, why in _NOT_NESTED:
        if node.get(key):
            errors.append(forbidden_field(f"{at}.{key}", why))
    if node.get("additionalProperties"):
        errors.append(forbidden_field(f"{at}.additionalProperties", "must be undefined to be structural"))
    if "metadata" in (node.get("properties") or ()):
        errors.append(forbidden_field(f"{at}.properties[metadata]", "must not be specified in a nested context"))


def _complete(errors: Errors, validation: Object, node: Object | None, at: str, by: str) -> None:
    """Whatever is validated in a nested place has a type outside of it."""
    if validation.get("not") is not None:
        _complete_nested(errors, validation["not"], node, at, f"{by}.not")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, child in enumerate(validation.get(key) or ()):
            _complete_nested(errors, child, node, at, f"{by}.{key}[{index}]")


def _complete_nested(errors: Errors, validation: Object, node: Object | None, at: str, by: str) -> None:
    if node is None:
        errors.append(required(at, f"because it is defined in {by}"))
        return
    _complete(errors, validation, node, at, by)
    items = validation.get("items")
    if isinstance(items, dict):
        own = node.get("items")
        _complete_nested(errors, items, own if isinstance(own, dict) else None, f"{at}.items", f"{by}.items")
    known = node.get("properties") or {}
    for name, child in (validation.get("properties") or {}).items():
        step = f".properties[{name}]"
        _complete_nested(errors, child, known.get(name), at + step, by + step)


@dataclass(frozen=True, slots=True)
class Where:
    """In what part of a schema a node is. ``forbidden_default`` says why it may have no default, "" that it may;
    ``uncorrelated`` is the first ancestor whose old and new values cannot be matched, "" if there is none."""

    inside_meta: bool = False
    forbidden_default: str = ""
    uncorrelated: str = ""
    root: bool = False

    def below(self, at: str) -> Where:
        return self if self.uncorrelated else replace(self, uncorrelated=at)


def openapi_errors(node: Object, at: str) -> Errors:
    """Keywords that are not supported, and list and map types that do not fit."""
    errors: Errors = []
    _openapi(errors, node, at, Where(root=True))
    return errors


def _openapi(errors: Errors, node: Object, at: str, where: Where) -> None:
    _keywords(errors, node, at, where)
    if node.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{at}.uniqueItems", why))
    inner = replace(where, root=False)
    additional, properties = node.get("additionalProperties"), node.get("properties") or {}
    if additional is not None:
        if properties and additional is not True:
            why = "additionalProperties and properties are mutual exclusive"
            errors.append(forbidden_field(f"{at}.additionalProperties", why))
        if isinstance(additional, dict):
            below = inner
            if where.inside_meta:
                below = replace(inner, forbidden_default="inside additionalProperties applying to object metadata")
            _openapi(errors, additional, f"{at}.additionalProperties", below)
    for name, child in properties.items():
        below = inner
        if (where.root or node.get(_EMBEDDED)) and name in _META:
            below = replace(below, inside_meta=True)
            if where.root:
                below = replace(below, forbidden_default=f"in top-level {name}")
        _openapi(errors, child, f"{at}.properties[{name}]", below)
    if isinstance(node.get("not"), dict):
        _openapi(errors, node["not"], f"{at}.not", inner)
    for key in ("allOf", "oneOf", "anyOf"):
        for index, child in enumerate(node.get(key) or ()):
            _openapi(errors, child, f"{at}.{key}[{index}]", inner)
    if isinstance(node.get("items"), dict):
        _openapi(errors, node["items"], f"{at}.items", inner)
    if node.get(_KEEP) is False:
        errors.append(invalid_value(f"{at}.{_KEEP}", False, "must be true or undefined"))
    _map_type(errors, node, at)
    _list_type(errors, node, at)
    _map_keys(errors, node, at)


def _keywords(errors: Errors, node: Object, at: str, where: Where) -> None:
    kind = node.get("type") or ""
    if kind and kind not in _TYPES:
        errors.append(not_supported(f"{at}.type", kind, _TYPES))
    if node.get("default") is not None and where.forbidden_default:
        errors.append(forbidden_field(f"{at}.default", f"must not be set {where.forbidden_default}"))
    for key in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        if node.get(key) not in (None, "", {}):
            errors.append(forbidden_field(f"{at}.{key}", f"{key} is not supported"))
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        errors.append(forbidden_field(f"{at}.type", why))
    if isinstance(node.get("items"), list):
        errors.append(forbidden_field(f"{at}.items", "items must be a schema object and not an array"))
    if where.inside_meta and node.get(_EMBEDDED):
        errors.append(forbidden_field(f"{at}.{_EMBEDDED}", "must not be used inside of resource meta"))


def _must_be(errors: Errors, at: str, kind: str, wanted: str, keyword: str) -> None:
    why = f"must be {wanted} if {keyword} is specified"
    errors.append(invalid_value(f"{at}.type", kind, why) if kind else required(f"{at}.type", why))


def _map_type(errors: Errors, node: Object, at: str) -> None:
    how, kind = node.get(_MAP_TYPE), node.get("type") or ""
    if how is None:
        return
    if kind != "object":
        _must_be(errors, at, kind, "object", _MAP_TYPE)
    if how not in ("atomic", "granular"):
        errors.append(not_supported(f"{at}.{_MAP_TYPE}", how, ("atomic", "granular")))


def _list_type(errors: Errors, node: Object, at: str) -> None:
    how, kind, items = node.get(_LIST_TYPE), node.get("type") or "", node.get("items")
    if how is not None and kind != "array":
        _must_be(errors, at, kind, "array", _LIST_TYPE)
    elif how == "set" and isinstance(items, dict):
        why = f"must be atomic as item of a list with {_LIST_TYPE}=set"
        if items.get("type") == "array" and items.get(_LIST_TYPE) not in (None, "atomic"):
            errors.append(invalid_value(f"{at}.items.{_LIST_TYPE}", items.get(_LIST_TYPE), why))
        elif items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
            errors.append(invalid_value(f"{at}.items.{_MAP_TYPE}", items.get(_LIST_TYPE), why))
    if how is not None and how not in ("atomic", "set", "map"):
        errors.append(not_supported(f"{at}.{_LIST_TYPE}", how, ("atomic", "set", "map")))
    keys = node.get(_LIST_KEYS) or []
    if keys and how != "map":
        why = f"must be map if {_LIST_KEYS} is non-empty"
        where = f"{at}.{_LIST_TYPE}"
        errors.append(required(where, why) if how is None else invalid_value(where, how, why))
    if how == "map":
        _list_map(errors, keys, items, at)


def _list_map(errors: Errors, keys: list[str], items: Any, at: str) -> None:
    if not keys:
        errors.append(required(f"{at}.{_LIST_KEYS}", f"must not be empty if {_LIST_TYPE} is map"))
    if items is None:
        errors.append(required(f"{at}.items", f"must have a schema if {_LIST_TYPE} is map"))
    elif not isinstance(items, dict):
        errors.append(invalid_value(f"{at}.items", items, f"must only have a single schema if {_LIST_TYPE} is map"))
    elif items.get("type") != "object":
        why = f"must be object if parent array's {_LIST_TYPE} is map"
        errors.append(invalid_value(f"{at}.items.type", items.get("type") or "", why))
    else:
        seen: set[str] = set()
        for key in keys:
            child = (items.get("properties") or {}).get(key)
            if child is None:
                why = "entries must all be names of item properties"
                errors.append(invalid_value(f"{at}.{_LIST_KEYS}", keys, why))
            elif child.get("type") in ("array", "object"):
                why = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
                errors.append(invalid_value(f"{at}.items.properties[{key}].type", items["type"], why))
            if key in seen:
                errors.append(invalid_value(f"{at}.{_LIST_KEYS}", keys, "must not contain duplicate entries"))
            seen.add(key)


def _map_keys(errors: Errors, node: Object, at: str) -> None:
    """Items of sets and maps are there, and so are a map's keys."""
    how, items = node.get(_LIST_TYPE), node.get("items")
    if how not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable"):
        errors.append(forbidden_field(f"{at}.items.nullable", f"cannot be nullable when {_LIST_TYPE} is {how}"))
    if how != "map":
        return
    for key in node.get(_LIST_KEYS) or ():
        child = (items.get("properties") or {}).get(key)
        if child is None:
            continue
        where = f"{at}.items.properties[{key}]"
        why = f"this property is in {_LIST_KEYS}, so it "
        if key not in (items.get("required") or ()) and child.get("default") is None:
            errors.append(required(f"{where}.default", why + "must have a default or be a required property"))
        if child.get("nullable"):
            errors.append(forbidden_field(f"{where}.nullable", why + "cannot be nullable"))


def selectable_errors(fields: list[Object], node: Object | None, at: str) -> Errors:
    """What is wrong with a version's selectableFields."""
    errors: Errors = []
    if node is None:
        why = "may only be set when `version.schema.openAPIV3Schema` is not included"
        if at == "spec.selectableFields":
            why = "may only be set when validations.schema is included"
        return [invalid_value(at, "", why)]
    seen: set[str] = set()
    for index, field in enumerate(fields):
        where, path = f"{at}[{index}].jsonPath", field.get("jsonPath") or ""
        if not path:
            errors.append(required(where))
            continue
        found, why = _field_at(node, path)
        if why:
            errors.append(invalid_value(where, path, f"is an invalid path: {why}"))
            continue
        if path.split(".")[1] == "metadata":
            errors.append(invalid_value(where, path, "must not point to fields in metadata"))
        if (found or {}).get("type") not in ("string", "boolean", "integer"):
            why = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats "
                "are allowed."
            )
            errors.append(invalid_value(where, path, why))
        if path in seen:
            errors.append(duplicate(where, path))
        seen.add(path)
    if len(seen) > MAX_SELECTABLE:
        why = f"Too many: {len(seen)}: must have at most {MAX_SELECTABLE} items"
        errors.append(FieldError("FieldValueTooMany", at, why))
    return errors


MAX_SELECTABLE = 8


def _field_at(node: Object, path: str) -> tuple[Object | None, str]:
    """The schema at a path of plain names, and why there is none."""
    if not path.startswith("."):
        return None, f"expected [ or . but got: {path.partition('.')[0]}"
    here: Any = node
    for step in path[1:].split("."):
        name, bracket, _ = step.partition("[")
        if not name:
            return None, "array notation is not allowed" if bracket else "unexpected end of JSON path"
        here = (here.get("properties") or {}).get(name) or here.get("additionalProperties")
        if not isinstance(here, dict):
            return None, "does not refer to a valid field"
        if bracket:
            return None, "array notation is not allowed"
    return here, ""


def has_rules(node: Object) -> bool:
    return any(child.get(RULES) for child in walk(node))
