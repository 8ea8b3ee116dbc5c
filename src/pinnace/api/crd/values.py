"""Validation of values by OpenAPI schemas, in the words of upstream's validator (kube-openapi).

``Validator(node)`` is compiled once; ``validate(value)`` gives what is wrong, ``validate_update(new, old)`` leaves out
what was wrong before and has not been touched ("ratcheting"). Patterns are matched in linear time (``patterns``).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property
from typing import Any

import orjson

from pinnace.api import errors
from pinnace.api.crd import formats, patterns
from pinnace.api.crd.listtypes import key_of
from pinnace.api.crd.structural import TYPES, Structural, json_type
from pinnace.api.errors import FieldError
from pinnace.api.patches.json_patch import equal
from pinnace.api.types import Object

Found = list[FieldError]
#: The place that upstream names where an error belongs to no field.
NOWHERE = "<nil>"
_INT32, _INT64 = 1 << 31, 1 << 63


def go_number(value: float) -> str:
    """A number as Go prints it with ``%v``: the shortest digits, with an exponent from 1e+06 on and below 1e-04."""
    sign, digits, exponent = Decimal(repr(float(value))).normalize().as_tuple()
    assert isinstance(exponent, int)
    power = len(digits) + exponent - 1
    if -4 <= power < 6:
        return format(Decimal((sign, digits, exponent)), "f")
    shown = "".join(map(str, digits))
    return f"{'-' if sign else ''}{shown[0]}{'.' if shown[1:] else ''}{shown[1:]}e{power:+03d}"


class Validator:
    """One schema node. It is compiled when it is first used, and those below it when a value comes to them."""

    def __init__(self, node: Object) -> None:
        self._node = node
        self._ready = False

    def _compile(self) -> None:
        self._ready = True
        node = self._node
        self._types: tuple[str, ...] = (node["type"],) if node.get("type") else ()
        if node.get("x-kubernetes-int-or-string"):
            self._types = ("integer", "string")
        self._nullable = bool(node.get("nullable"))
        self._enum: list[Any] = node.get("enum") or []
        self._format: str = node.get("format") or ""
        if not formats.recognized(self._format, self._types[0] if len(self._types) == 1 else ""):
            self._format = ""
        self._has_format = formats.check_of(self._format) if self._format else None
        self._string = [check for check in (_lengths(node), _pattern(node)) if check is not None]
        self._number = _number_checks(node, self._types, self._format)
        self._min_items, self._max_items = node.get("minItems"), node.get("maxItems")
        self._min_properties, self._max_properties = node.get("minProperties"), node.get("maxProperties")
        self._required: list[str] = node.get("required") or []
        items, additional = node.get("items"), node.get("additionalProperties")
        self._items = Validator(items) if isinstance(items, dict) else None
        self._additional = Validator(additional) if isinstance(additional, dict) else None
        self._closed = additional is False
        self._any_of = [Validator(child) for child in node.get("anyOf") or ()]
        self._one_of = [Validator(child) for child in node.get("oneOf") or ()]
        self._all_of = [Validator(child) for child in node.get("allOf") or ()]
        self._not = Validator(node["not"]) if node.get("not") is not None else None
        self._composed = bool(self._any_of or self._one_of or self._all_of or self._not)

    @cached_property
    def properties(self) -> dict[str, Validator]:
        return {name: Validator(child) for name, child in (self._node.get("properties") or {}).items()}

    def validate(self, value: Any, at: str = "") -> Found:
        """What is wrong with ``value``, which is the field ``at`` of its object ("": the object itself)."""
        found: Found = []
        self._check(value, "", found)
        return _placed(found, at)

    def validate_update(self, new: Any, old: Any, schema: Structural | None, at: str = "") -> Found:
        found: Found = []
        self._check(new, "", found)
        if not found:
            return found
        found = []
        self._ratcheted(new, old, schema, "", found)
        return _placed(found, at)

    def _ratcheted(self, new: Any, old: Any, schema: Structural | None, path: str, found: Found) -> None:
        """As ``_check``, without the errors of values that are as they were in ``old``."""
        own: Found = []

        def child(key: str | int, validator: Validator, value: Any, where: str) -> int:
            before, below = _correlated(key, value, old, schema)
            if before is _NOTHING or (not path and key in ("kind", "apiVersion")):
                return validator._check(value, where, own)
            validator._ratcheted(value, before, below, where, own)
            return 1

        self._check(new, path, own, child)
        if own and not equal(new, old):
            found += own

    def _check(
        self, value: Any, path: str, found: Found, child: Callable[[str | int, Validator, Any, str], int] | None = None
    ) -> int:
        """Adds to ``found``; returns how much of the value was looked at, by which alternatives are compared."""
        if not self._ready:
            self._compile()
        count = 1
        if value is None:
            if self._types and not self._nullable:
                found.append(_type_error(path, self._types, "null"))
            if self._enum:
                self._check_enum(value, path, found)
            return count
        kind = type(value)
        if self._types and not self._fits(value, kind):
            found.append(_type_error(path, self._types, json_type(value)))
        else:
            count += 1
        if self._composed:
            count += self._compose(value, path, found)
        if kind is str:
            for check in self._string:
                problem = check(value, path)
                if problem is not None:
                    found.append(problem)
                    break
            if self._has_format is not None and not self._has_format(value):
                said = f"{path} in body must be of type {self._format}: {errors.go_quote(value)}"
                found.append(errors.type_invalid(path, value, said))
        elif kind is int or kind is float:
            for check in self._number:
                problem = check(value, path)
                if problem is not None:
                    found.append(problem)
        elif kind is list:
            count += self._check_items(value, path, found, child)
        if self._enum:
            self._check_enum(value, path, found)
        if kind is dict:
            count += self._check_object(value, path, found, child)
        return count

    def _fits(self, value: Any, kind: type) -> bool:
        for wanted in self._types:
            if TYPES.get(kind) == wanted:
                return True
            if kind is int and wanted == "number":
                return True
            if kind is float and wanted == "integer" and value == int(value):
                return True
        return False

    def _check_enum(self, value: Any, path: str, found: Found) -> None:
        for allowed in self._enum:
            if type(allowed) is type(value) and allowed == value:
                return
            if equal(allowed, value):
                return
        values = [allowed if isinstance(allowed, str) else orjson.dumps(allowed).decode() for allowed in self._enum]
        found.append(errors.not_supported(path, value, values))

    def _check_items(
        self,
        value: list[Any],
        path: str,
        found: Found,
        child: Callable[[str | int, Validator, Any, str], int] | None,
    ) -> int:
        count = 0
        if self._items is not None:
            for index, element in enumerate(value):
                where = f"{path}[{index}]"
                if child is None:
                    count += self._items._check(element, where, found)
                else:
                    count += child(index, self._items, element, where)
        if self._min_items is not None and len(value) < self._min_items:
            said = f"{path} in body should have at least {self._min_items} items"
            found.append(errors.invalid_value(path, len(value), said))
        if self._max_items is not None and len(value) > self._max_items:
            found.append(errors.too_many(path, len(value), self._max_items))
        return count

    def _check_object(
        self,
        value: Object,
        path: str,
        found: Found,
        child: Callable[[str | int, Validator, Any, str], int] | None,
    ) -> int:
        count = 0
        if self._min_properties is not None and len(value) < self._min_properties:
            said = f"{path} in body should have at least {self._min_properties} properties"
            found.append(errors.invalid_value(path, len(value), said))
        if self._max_properties is not None and len(value) > self._max_properties:
            found.append(errors.too_many(path, len(value), self._max_properties))
        prefix = f"{path}." if path else ""
        properties, additional = self.properties, self._additional
        if self._closed:
            for key in value:
                if key not in properties:
                    said = f"{path}.{key} in body is a forbidden property"
                    found.append(errors.invalid_value(path, key, said))
        for key, member in value.items():
            known = properties.get(key, additional)
            if known is None:
                continue
            where = prefix + key
            if child is None:
                count += known._check(member, where, found)
            else:
                count += child(key, known, member, where)
        for key in self._required:
            if key not in value:
                found.append(errors.required(prefix + key))
        return count

    def _compose(self, value: Any, path: str, found: Found) -> int:
        count = 0
        if self._any_of:
            best, best_count = _best(self._any_of, value, path)
            count += best_count
            if best is not None:
                found.append(_composite(path, "must validate at least one schema (anyOf)"))
                found += best
        if self._one_of:
            results = [_run(validator, value, path) for validator in self._one_of]
            valid = [counted for problems, counted in results if not problems]
            if len(valid) == 1:
                count += valid[0]
            else:
                said = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
                found.append(_composite(path, f"must validate one and only one schema (oneOf). {said}"))
                if not valid:
                    found += max(results, key=lambda result: result[1])[0]
        if self._all_of:
            validated = 0
            for validator in self._all_of:
                problems, counted = _run(validator, value, path)
                count += counted
                validated += not problems
                found += problems
            if validated != len(self._all_of):
                said = "" if validated else ". None validated"
                found.append(_composite(path, f"must validate all the schemas (allOf){said}"))
        if self._not is not None and not _run(self._not, value, path)[0]:
            found.append(_composite(path, "must not validate the schema (not)"))
        return count


def _run(validator: Validator, value: Any, path: str) -> tuple[Found, int]:
    found: Found = []
    count = validator._check(value, path, found)
    return found, count


def _best(validators: list[Validator], value: Any, path: str) -> tuple[Found | None, int]:
    """The problems of the alternative that came furthest, None if one holds."""
    best: Found = []
    most = -1
    for validator in validators:
        found, count = _run(validator, value, path)
        if not found:
            return None, count
        if count > most:
            best, most = found, count
    return best, most


_NOTHING: Any = object()


def _correlated(key: str | int, value: Any, old: Any, schema: Structural | None) -> tuple[Any, Structural | None]:
    """What the member ``key`` of a value was before, and its schema; _NOTHING if that cannot be told."""
    if schema is None:
        return _NOTHING, None
    if isinstance(key, str):
        below = schema.properties.get(key, schema.additional)
        if not isinstance(old, dict) or key not in old or below is None:
            return _NOTHING, None
        return old[key], below
    if not isinstance(old, list) or schema.list_type != "map":
        return _NOTHING, None
    wanted = key_of(value, schema)
    for item in old:
        if key_of(item, schema) == wanted:
            return item, schema.items
    return _NOTHING, None


def _placed(found: Found, at: str) -> Found:
    """``found`` with its fields below ``at``."""
    if not at:
        return [error._replace(field=error.field or NOWHERE) for error in found]
    placed = []
    for error in found:
        field = error.field
        where = at if field in ("", NOWHERE) else f"{at}{field}" if field.startswith("[") else f"{at}.{field}"
        placed.append(error._replace(field=where))
    return placed


def _composite(path: str, said: str) -> FieldError:
    return errors.invalid_value(NOWHERE, "", f"{errors.go_quote(path)} {said}")


def _type_error(path: str, types: tuple[str, ...], actual: str) -> FieldError:
    said = f'{path} in body must be of type {",".join(types)}: "{actual}"'
    return errors.type_invalid(path, actual, said)


Check = Callable[[Any, str], "FieldError | None"]


def _lengths(node: Object) -> Check | None:
    shortest, longest = node.get("minLength"), node.get("maxLength")
    if shortest is None and longest is None:
        return None

    def check(value: str, path: str) -> FieldError | None:
        if longest is not None and len(value) > longest:
            return errors.too_long(path, longest)
        if shortest is not None and len(value) < shortest:
            said = f"{path} in body should be at least {shortest} chars long"
            return errors.invalid_value(path, value, said)
        return None

    return check


def _pattern(node: Object) -> Check | None:
    pattern = node.get("pattern")
    if not pattern:
        return None

    def check(value: str, path: str) -> FieldError | None:
        try:
            if patterns.matcher(pattern)(value):
                return None
            shown = pattern
        except patterns.PatternError as error:
            shown = f"{pattern}, but pattern is invalid: {error}"
        return errors.invalid_value(path, value, f"{path} in body should match '{shown}'")

    return check


def _number_checks(node: Object, types: tuple[str, ...], format: str) -> list[Check]:
    checks: list[Check] = []
    if types == ("integer",):
        limit = _INT32 if format == "int32" else _INT64
        named = f"with format {format} in" if format else "(default format) in"

        def in_range(value: Any, path: str) -> FieldError | None:
            if -limit <= value < limit:
                return None
            return errors.invalid_value(NOWHERE, "", f"Checked value must be of type integer {named} {path}")

        checks.append(in_range)
    multiple, low, high = node.get("multipleOf"), node.get("minimum"), node.get("maximum")
    if multiple is not None:

        def is_multiple(value: Any, path: str) -> FieldError | None:
            if multiple <= 0:
                said = f"factor MultipleOf declared for {path} must be positive: {go_number(multiple)}"
                return errors.invalid_value(path, value, said)
            parts = value / multiple if multiple >= 1 else 1 / multiple * value
            whole = (
                value % multiple == 0
                if isinstance(value, int) and isinstance(multiple, int)
                else (abs(parts - round(parts)) < 1e-9 * max(1.0, abs(parts)))
            )
            if whole:
                return None
            return errors.invalid_value(path, value, f"{path} in body should be a multiple of {go_number(multiple)}")

        checks.append(is_multiple)
    if low is not None:
        checks.append(_bound(low, bool(node.get("exclusiveMinimum")), above=True))
    if high is not None:
        checks.append(_bound(high, bool(node.get("exclusiveMaximum")), above=False))
    return checks


def _bound(limit: float, exclusive: bool, *, above: bool) -> Check:
    words = ("greater than" if above else "less than") + ("" if exclusive else " or equal to")

    def check(value: Any, path: str) -> FieldError | None:
        inside = value > limit if above else value < limit
        if inside or (value == limit and not exclusive):
            return None
        shown = str(int(limit)) if isinstance(value, int) else go_number(limit)
        return errors.invalid_value(path, value, f"{path} in body should be {words} {shown}")

    return check
