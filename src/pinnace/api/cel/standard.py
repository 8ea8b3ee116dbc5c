"""CEL's standard functions: arithmetic, order, conversions; and its list, set and optional extensions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from pinnace.api.cel.times import nanoseconds, timestamp_text
from pinnace.api.cel.values import (
    NOTHING,
    CelError,
    MapList,
    Optional,
    SetList,
    TypeValue,
    UInt,
    compare,
    equals,
    is_number,
    no_overload,
    type_name,
)

_ORDERED = "int uint double string bytes bool timestamp duration"


def _signatures() -> str:
    lines = []
    for op in "+-*/":
        lines += [f"_{op}_({kind}, {kind}) -> {kind}" for kind in ("int", "uint", "double")]
    lines += [f"_%_({kind}, {kind}) -> {kind}" for kind in ("int", "uint")]
    for op in ("<", "<=", ">", ">="):
        lines += [f"_{op}_({kind}, {kind}) -> bool" for kind in _ORDERED.split()]
        numbers = ("int", "uint", "double")
        lines += [f"_{op}_({one}, {other}) -> bool" for one in numbers for other in numbers if one != other]
    return "\n".join(lines)


SIGNATURES = (
    _signatures()
    + """
_+_(string, string) -> string
_+_(bytes, bytes) -> bytes
_+_(list(A), list(A)) -> list(A)
_+_(timestamp, duration) -> timestamp
_+_(duration, timestamp) -> timestamp
_+_(duration, duration) -> duration
_-_(timestamp, timestamp) -> duration
_-_(timestamp, duration) -> timestamp
_-_(duration, duration) -> duration
-_(int) -> int
-_(double) -> double
!_(bool) -> bool
_&&_(bool, bool) -> bool
_||_(bool, bool) -> bool
@in(A, list(A)) -> bool
@in(A, map(A, B)) -> bool
size(string) -> int
size(bytes) -> int
size(list(A)) -> int
size(map(A, B)) -> int
string . size() -> int
bytes . size() -> int
list(A) . size() -> int
map(A, B) . size() -> int
type(A) -> type
dyn(A) -> dyn
int(int) -> int
int(uint) -> int
int(double) -> int
int(string) -> int
int(timestamp) -> int
int(duration) -> int
uint(uint) -> uint
uint(int) -> uint
uint(double) -> uint
uint(string) -> uint
double(double) -> double
double(int) -> double
double(uint) -> double
double(string) -> double
bool(bool) -> bool
bool(string) -> bool
string(string) -> string
string(int) -> string
string(uint) -> string
string(double) -> string
string(bool) -> string
string(bytes) -> string
string(timestamp) -> string
string(duration) -> string
bytes(bytes) -> bytes
bytes(string) -> bytes
list(A) . isSorted() -> bool
list(A) . sum() -> A
list(A) . min() -> A
list(A) . max() -> A
list(A) . indexOf(A) -> int
list(A) . lastIndexOf(A) -> int
sets.contains(list(A), list(A)) -> bool
sets.equivalent(list(A), list(A)) -> bool
sets.intersects(list(A), list(A)) -> bool
optional.of(A) -> optional(A)
optional.ofNonZeroValue(A) -> optional(A)
optional.none() -> optional(dyn)
optional(A) . hasValue() -> bool
optional(A) . value() -> A
optional(A) . orValue(A) -> A
optional(A) . or(optional(A)) -> optional(A)
"""
)


def _int64(value: int, *, unsigned: bool = False) -> int:
    low, high = (0, 1 << 64) if unsigned else (-(1 << 63), 1 << 63)
    if not low <= value < high:
        raise CelError("return error for overflow" if unsigned else "integer overflow")
    return UInt(value) if unsigned else value


def _arithmetic(name: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def call(left: Any, right: Any) -> Any:
        if not is_number(left) or not is_number(right):
            raise no_overload()
        if isinstance(left, float) and isinstance(right, float):
            return apply(left, right)
        if isinstance(left, float) or isinstance(right, float) or isinstance(left, UInt) is not isinstance(right, UInt):
            raise no_overload()
        return _int64(apply(int(left), int(right)), unsigned=isinstance(left, UInt))

    return call


_add_numbers = _arithmetic("+", lambda a, b: a + b)


_subtract_numbers = _arithmetic("-", lambda a, b: a - b)


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    if isinstance(left, bytes) and isinstance(right, bytes):
        return left + right
    if isinstance(left, list) and isinstance(right, list):
        return _joined(left, right)
    if isinstance(left, timedelta) and isinstance(right, timedelta | datetime):
        return left + right
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return left + right
    return _add_numbers(left, right)


def _joined(left: list[Any], right: list[Any]) -> list[Any]:
    if isinstance(left, SetList):
        made: list[Any] = SetList(left)
        made += [item for item in right if not any(equals(item, held) for held in left)]
        return made
    if isinstance(left, MapList):
        merged = {repr(left.key_of(item)): item for item in left}
        merged |= {repr(left.key_of(item)): item for item in right}
        result = MapList(merged.values())
        result.keys = left.keys
        return result
    return [*left, *right]


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, datetime | timedelta) and isinstance(right, datetime | timedelta):
        if isinstance(left, timedelta) and isinstance(right, datetime):
            raise no_overload()
        return left - right  # type: ignore[operator]
    return _subtract_numbers(left, right)


def _quotient(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        if right == 0:
            return float("nan") if left == 0 or left != left else float("inf") if left > 0 else float("-inf")
        return left / right
    if right == 0:
        raise CelError("division by zero")
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, float):
        raise no_overload()
    if right == 0:
        raise CelError("modulus by zero")
    return abs(left) % abs(right) * (-1 if left < 0 else 1)


def _negate(value: Any) -> Any:
    if isinstance(value, UInt) or not is_number(value):
        raise no_overload()
    return -value if isinstance(value, float) else _int64(-value)


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise no_overload()
    return not value


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"[+-]?\d{1,40}", value):
            raise CelError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return _int64(int(value))
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, timedelta):
        return nanoseconds(value)
    if isinstance(value, float):
        if value != value or abs(value) >= 1 << 63:
            raise CelError("integer overflow")
        return int(value)
    if not is_number(value):
        raise no_overload()
    return _int64(int(value))


def _to_uint(value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"\d{1,40}", value):
            raise CelError(f'strconv.ParseUint: parsing "{value}": invalid syntax')
        return _int64(int(value), unsigned=True)
    if not is_number(value):
        raise no_overload()
    return _int64(int(value), unsigned=True)


def _to_double(value: Any) -> float:
    try:
        if isinstance(value, str) or is_number(value):
            return float(value)
    except ValueError:
        raise CelError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    raise no_overload()


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError(f'strconv.ParseBool: parsing "{value}": invalid syntax')


def to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, datetime):
        return timestamp_text(value)
    if isinstance(value, timedelta):
        seconds = nanoseconds(value) / 1_000_000_000
        return (repr(seconds).removesuffix(".0")) + "s"
    if getattr(value, "cel_type", "") in ("net.IP", "net.CIDR"):
        return str(value)
    raise no_overload()


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise no_overload()


def _size(value: Any) -> int:
    if not isinstance(value, str | bytes | list | dict):
        raise no_overload()
    return len(value)


def _is_sorted(values: list[Any]) -> bool:
    return all(compare(one, other) <= 0 for one, other in pairwise(values))


def _sum(values: list[Any]) -> Any:
    total: Any = 0
    for index, value in enumerate(values):
        total = value if not index else _add(total, value)
    return total


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def call(values: list[Any]) -> Any:
        if not values:
            raise CelError(f"{name} called on empty list")
        best = values[0]
        for value in values[1:]:
            if compare(value, best) * sign < 0:
                best = value
        return best

    return call


def _contains_all(held: list[Any], wanted: list[Any]) -> bool:
    return all(any(equals(item, other) for other in held) for item in wanted)


def _value(held: Optional) -> Any:
    if not held.present:
        raise CelError("optional.none() dereference")
    return held.value


def _non_zero(value: Any) -> Optional:
    return Optional(value, present=True) if value not in (None, False, 0, "", b"", [], {}) else NOTHING


def _ordering(accept: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: accept(compare(left, right))


CALLS: dict[str, Callable[..., Any]] = {
    "_+_": _add,
    "_-_": _subtract,
    "_*_": _arithmetic("*", lambda a, b: a * b),
    "_/_": _arithmetic("/", _quotient),
    "_%_": _arithmetic("%", _remainder),
    "-_": _negate,
    "!_": _not,
    "_<_": _ordering(lambda order: order < 0),
    "_<=_": _ordering(lambda order: order <= 0),
    "_>_": _ordering(lambda order: order > 0),
    "_>=_": _ordering(lambda order: order >= 0),
    "size": _size,
    "type": lambda value: TypeValue(type_name(value)),
    "dyn": lambda value: value,
    "int": _to_int,
    "uint": _to_uint,
    "double": _to_double,
    "bool": _to_bool,
    "string": to_string,
    "bytes": _to_bytes,
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": _extreme("min", 1),
    "max": _extreme("max", -1),
    "sets.contains": _contains_all,
    "sets.equivalent": lambda one, other: _contains_all(one, other) and _contains_all(other, one),
    "sets.intersects": lambda one, other: any(equals(item, held) for item in one for held in other),
    "optional.of": lambda value: Optional(value, present=True),
    "optional.ofNonZeroValue": _non_zero,
    "optional.none": lambda: NOTHING,
    "hasValue": lambda held: held.present,
    "value": _value,
    "orValue": lambda held, other: held.value if held.present else other,
    "or": lambda held, other: held if held.present else other,
}
