"""Text in expressions: CEL's string extensions, regular expressions, and lists of strings."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pinnace.api.cel.standard import to_string
from pinnace.api.cel.values import NOTHING, CelError, TypeValue, equals, no_overload
from pinnace.api.crd import patterns

SIGNATURES = """
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
"""


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
    found = _text(value).count(_text(old))
    _check_size(len(value) + (found if count < 0 else min(found, count)) * len(_text(new)))
    return value.replace(old, new, count)


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


#: Characters that a function may make of its arguments, and digits that a number may be shown with.
MAX_TEXT, MAX_DIGITS = 10_000_000, 1000


def _check_size(length: int) -> None:
    if length > MAX_TEXT:
        raise CelError(f"the result would have {length} characters, more than {MAX_TEXT}")


def _format(template: str, args: list[Any]) -> str:
    used = iter(args)

    def one(found: re.Match[str]) -> str:
        verb, digits = found[2], found[1]
        if verb == "%":
            return "%"
        value = next(used, NOTHING)
        if value is NOTHING:
            raise CelError(f"index {len(args)} out of range")
        if digits and (len(digits) > 5 or int(digits[1:]) > MAX_DIGITS):
            raise CelError(f"precision {digits[1:]} is more than {MAX_DIGITS}")
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
    return to_string(value) if isinstance(value, _SCALARS) else str(value)


_SCALARS = (str, bytes, int, float, datetime, timedelta)


def _join(values: list[str], separator: str = "") -> str:
    _check_size(sum(len(_text(value)) for value in values) + len(values) * len(_text(separator)))
    return separator.join(values)


CALLS: dict[str, Callable[..., Any]] = {
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
}
