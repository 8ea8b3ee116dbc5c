"""CEL's standard functions and its string, list, set and optional extensions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

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
from pinnace.api.crd import patterns

_DATE_PARTS = (
    "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds "
    "getMilliseconds"
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
timestamp(timestamp) -> timestamp
timestamp(string) -> timestamp
timestamp(int) -> timestamp
duration(duration) -> duration
duration(string) -> duration
duration(int) -> duration
matches(string, string) -> bool
string . matches(string) -> bool
string . contains(string) -> bool
string . startsWith(string) -> bool
string . endsWith(string) -> bool
string . charAt(int) -> string
string . indexOf(string) -> int
string . indexOf(string, int) -> int
string . lastIndexOf(string) -> int
string . lastIndexOf(string, int) -> int
string . lowerAscii() -> string
string . upperAscii() -> string
string . replace(string, string) -> string
string . replace(string, string, int) -> string
string . split(string) -> list(string)
string . split(string, int) -> list(string)
string . substring(int) -> string
string . substring(int, int) -> string
string . trim() -> string
string . reverse() -> string
string . format(list(dyn)) -> string
strings.quote(string) -> string
list(string) . join() -> string
list(string) . join(string) -> string
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
    + "\n".join(f"timestamp . {name}({zone}) -> int" for name in _DATE_PARTS.split() for zone in ("", "string"))
    + "\n"
    + "\n".join(f"duration . {name}() -> int" for name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds"))
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
        if not re.fullmatch(r"[+-]?\d+", value):
            raise CelError(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return _int64(int(value))
    if isinstance(value, datetime):
        return int(value.timestamp())
    if isinstance(value, timedelta):
        return _nanoseconds(value)
    if isinstance(value, float):
        if value != value or abs(value) >= 1 << 63:
            raise CelError("integer overflow")
        return int(value)
    if not is_number(value):
        raise no_overload()
    return _int64(int(value))


def _nanoseconds(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1000


def _to_uint(value: Any) -> int:
    if isinstance(value, str):
        if not value.isdigit():
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


def _to_string(value: Any) -> str:
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
        return _timestamp_text(value)
    if isinstance(value, timedelta):
        seconds = _nanoseconds(value) / 1_000_000_000
        return (repr(seconds).removesuffix(".0")) + "s"
    if getattr(value, "cel_type", "") in ("net.IP", "net.CIDR"):
        return str(value)
    raise no_overload()


def _timestamp_text(value: datetime) -> str:
    fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise no_overload()


def to_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    shape = re.fullmatch(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)", value)
    if shape is None:
        raise CelError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    try:
        return datetime.fromisoformat(shape[1] + (shape[2] or ".0")[:7].ljust(7, "0") + shape[3].upper())
    except ValueError as error:
        raise CelError(f'parsing time "{value}": {error}') from None


_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def to_duration(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return timedelta(microseconds=value / 1000)
    sign = -1 if value.startswith("-") else 1
    body = value.lstrip("+-")
    parts = _DURATION.findall(body)
    if body == "0":
        return timedelta()
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise CelError(f'time: invalid duration "{value}"')
    return sign * timedelta(seconds=sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts))


def _size(value: Any) -> int:
    if not isinstance(value, str | bytes | list | dict):
        raise no_overload()
    return len(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise no_overload()
    return value


def pattern(text: str) -> Any:
    try:
        return patterns.compiled(_text(text))
    except patterns.PatternError as error:
        raise CelError(str(error)) from None


def _matches(value: Any, expression: Any) -> bool:
    return pattern(expression).search(_text(value)) is not None


def _char_at(value: str, at: int) -> str:
    if not 0 <= at <= len(_text(value)):
        raise CelError(f"index out of range: {at}")
    return value[at : at + 1]


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((at for at, item in enumerate(value) if equals(item, wanted)), -1)
    if not 0 <= start <= len(_text(value)):
        raise CelError(f"index out of range: {start}")
    return value.find(_text(wanted), start)  # type: ignore[no-any-return]


def _last_index_of(value: Any, wanted: Any, end: int | None = None) -> int:
    if isinstance(value, list):
        return next((at for at in range(len(value) - 1, -1, -1) if equals(value[at], wanted)), -1)
    limit = len(_text(value)) if end is None else end + len(_text(wanted))
    return value.rfind(_text(wanted), 0, limit)  # type: ignore[no-any-return]


def _replace(value: str, old: str, new: str, count: int = -1) -> str:
    return _text(value).replace(_text(old), _text(new), count)


def _split(value: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not separator:
        pieces = list(_text(value))
        return pieces if limit < 0 or limit >= len(pieces) else [*pieces[: limit - 1], "".join(pieces[limit - 1 :])]
    return _text(value).split(_text(separator), limit - 1 if limit > 0 else -1)


def _substring(value: str, start: int, end: int | None = None) -> str:
    stop = len(_text(value)) if end is None else end
    if not 0 <= start <= len(value) or not 0 <= stop <= len(value) or start > stop:
        raise CelError(f"index out of range: {start if end is None else stop}")
    return value[start:stop]


def _ascii(value: str, change: Callable[[str], str]) -> str:
    return "".join(change(char) if char.isascii() else char for char in _text(value))


def _quote(value: str) -> str:
    escaped = _text(value)
    for plain, shown in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"), ("\a", "\\a")):
        escaped = escaped.replace(plain, shown)
    return f'"{escaped}"'


def _format(template: str, args: list[Any]) -> str:
    used = iter(args)

    def one(found: re.Match[str]) -> str:
        verb, digits = found[2], found[1]
        if verb == "%":
            return "%"
        value = next(used, NOTHING)
        if value is NOTHING:
            raise CelError(f"index {len(args)} out of range")
        return _formatted(value, verb, int(digits[1:]) if digits else None)

    return re.sub(r"%(\.\d+)?([sdfebxXo%])", one, _text(template))


def _formatted(value: Any, verb: str, precision: int | None) -> str:
    if verb == "s":
        return shown(value)
    if verb in "fe":
        return f"{float(value):.{6 if precision is None else precision}{verb}}"
    if verb in "xX" and isinstance(value, str | bytes):
        text = (value.encode() if isinstance(value, str) else value).hex()
        return text.upper() if verb == "X" else text
    if isinstance(value, bool):
        return str(int(value))
    if verb == "d" and isinstance(value, float):
        return repr(value).removesuffix(".0")
    return format(int(value), verb)


def shown(value: Any) -> str:
    """A value as ``%s`` shows it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, TypeValue):
        return value.name
    return _to_string(value) if isinstance(value, _SCALARS) else str(value)


_SCALARS = (str, bytes, int, float, datetime, timedelta)


def _join(values: list[str], separator: str = "") -> str:
    return separator.join(map(_text, values))


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


def _zone(name: str) -> Any:
    shape = re.fullmatch(r"([+-])?(\d\d):(\d\d)", name)
    if shape is not None:
        from datetime import timezone

        offset = timedelta(hours=int(shape[2]), minutes=int(shape[3]))
        return timezone(-offset if shape[1] == "-" else offset)
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise CelError(f"unknown time zone {name}") from None


def _part(read: Callable[[datetime], int], of_duration: Callable[[timedelta], int] | None = None) -> Callable[..., int]:
    def call(value: Any, zone: str = "") -> int:
        if isinstance(value, timedelta) and of_duration is not None:
            return of_duration(value)
        if not isinstance(value, datetime):
            raise no_overload()
        return read(value.astimezone(_zone(zone) if zone else UTC))

    return call


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
    "string": _to_string,
    "bytes": _to_bytes,
    "timestamp": to_timestamp,
    "duration": to_duration,
    "matches": _matches,
    "contains": lambda value, part: _text(part) in _text(value),
    "startsWith": lambda value, part: _text(value).startswith(_text(part)),
    "endsWith": lambda value, part: _text(value).endswith(_text(part)),
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "lowerAscii": lambda value: _ascii(value, str.lower),
    "upperAscii": lambda value: _ascii(value, str.upper),
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "trim": lambda value: _text(value).strip(),
    "reverse": lambda value: _text(value)[::-1],
    "format": _format,
    "strings.quote": _quote,
    "join": _join,
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
    "getFullYear": _part(lambda at: at.year),
    "getMonth": _part(lambda at: at.month - 1),
    "getDate": _part(lambda at: at.day),
    "getDayOfMonth": _part(lambda at: at.day - 1),
    "getDayOfWeek": _part(lambda at: at.isoweekday() % 7),
    "getDayOfYear": _part(lambda at: at.timetuple().tm_yday - 1),
    "getHours": _part(lambda at: at.hour, lambda span: int(span.total_seconds() // 3600)),
    "getMinutes": _part(lambda at: at.minute, lambda span: int(span.total_seconds() // 60)),
    "getSeconds": _part(lambda at: at.second, lambda span: int(span.total_seconds())),
    "getMilliseconds": _part(lambda at: at.microsecond // 1000, lambda span: int(span.total_seconds() * 1000) % 1000),
}
