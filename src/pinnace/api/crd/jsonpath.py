"""The JSON paths of printer columns and selectable fields: ``.status.conditions[?(@.type=="Ready")].status``.

Kubernetes' dialect as far as one path goes: names (dots in them escaped, or quoted in brackets), indices, slices,
unions, wildcards, recursive descent and filters. ``compiled(path)(value)`` gives what is found, in order; whatever is
missing is not found. Raises PathError for a path that does not parse.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[list[Any]], list[Any]]

_NAME = re.compile(r"(?:\\.|[^.\[\]\s\\])+")
_FILTER = re.compile(r"\s*@([^=!<>]*?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?))?\s*")
_SLICE = re.compile(r"(-?\d*):(-?\d*)(?::(\d+))?")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
#: Steps and characters of one path.
MAX_STEPS, MAX_LENGTH = 100, 1000


class PathError(ValueError):
    """A path that does not parse."""


@lru_cache(maxsize=1024)
def compiled(path: str) -> Callable[[Any], list[Any]]:
    steps = list(_steps(path)) if len(path) <= MAX_LENGTH else []
    if len(steps) > MAX_STEPS or len(path) > MAX_LENGTH:
        raise PathError("the path is too long")

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return found

    return find


def _steps(path: str) -> Iterator[Step]:
    at = 1 if path[:1] in ("$", "@") else 0
    while at < len(path):
        if path.startswith("..", at):
            yield _descend
            at += 2
            if at < len(path) and path[at] != "[":
                at -= 1
                if path[at] != ".":
                    raise PathError(f"unexpected character at {path[at:]!r}")
        elif path[at] == "[":
            end = _closing(path, at)
            yield _bracket(path[at + 1 : end])
            at = end + 1
        elif path[at] == ".":
            at += 1
            if at == len(path) or path[at] == "[":
                continue
            if path[at] == "*":
                yield _wildcard
                at += 1
                continue
            name = _NAME.match(path, at)
            if name is None:
                raise PathError(f"unexpected character at {path[at:]!r}")
            yield _member(re.sub(r"\\(.)", r"\1", name[0]))
            at = name.end()
        else:
            raise PathError(f"unrecognized character in action: {path[at]!r}")


def _closing(path: str, start: int) -> int:
    """Where the bracket that opens at ``start`` closes; brackets in quotes do not count."""
    depth, quote = 0, ""
    for at in range(start, len(path)):
        char = path[at]
        if quote:
            quote = "" if char == quote and path[at - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return at
    raise PathError("unterminated array")


def _bracket(inside: str) -> Step:
    inside = inside.strip()
    if inside.startswith("?(") and inside.endswith(")"):
        return _filter(inside[2:-1])
    if inside == "*":
        return _wildcard
    if slice_ := _SLICE.fullmatch(inside):
        low, high, step = (int(part) if part else None for part in slice_.groups())
        return lambda found: [item for value in found if isinstance(value, list) for item in value[low:high:step]]
    choices = [_choice(part.strip()) for part in _split(inside)]
    return lambda found: [item for value in found for choose in choices for item in choose([value])]


def _split(text: str) -> list[str]:
    return re.findall(r"(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|[^,])+", text) or [text]


def _choice(text: str) -> Step:
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        return _member(re.sub(r"\\(.)", r"\1", text[1:-1]))
    if re.fullmatch(r"-?\d+", text):
        index = int(text)
        return lambda found: [
            value[index] for value in found if isinstance(value, list) and -len(value) <= index < len(value)
        ]
    raise PathError(f"invalid array index {text}")


def _member(name: str) -> Step:
    return lambda found: [value[name] for value in found if isinstance(value, dict) and name in value]


def _wildcard(found: list[Any]) -> list[Any]:
    return [item for value in found for item in _children(value)]


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _descend(found: list[Any]) -> list[Any]:
    result: list[Any] = []
    waiting = list(reversed(found))
    while waiting:
        value = waiting.pop()
        result.append(value)
        waiting += reversed(list(_children(value)))
    return result


def _filter(text: str) -> Step:
    shape = _FILTER.fullmatch(text)
    if shape is None:
        raise PathError(f"unrecognized filter {text}")
    left = compiled("@" + shape[1].strip())
    if shape[2] is None:
        return lambda found: [item for value in found for item in _children(value) if left(item)]
    compare = _OPERATORS[shape[2]]
    right = _operand(shape[3])

    def step(found: list[Any]) -> list[Any]:
        kept = []
        for value in found:
            for item in _children(value):
                ours, theirs = left(item), right(item)
                if ours and theirs and _holds(compare, ours[0], theirs[0]):
                    kept.append(item)
        return kept

    return step


def _holds(compare: Callable[[Any, Any], bool], ours: Any, theirs: Any) -> bool:
    try:
        return compare(ours, theirs)
    except TypeError:  # values that have no order
        return False


def _operand(text: str) -> Callable[[Any], list[Any]]:
    if text.startswith("@"):
        return compiled(text)
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        value: Any = re.sub(r"\\(.)", r"\1", text[1:-1])
    elif text in ("true", "false"):
        value = text == "true"
    else:
        try:
            value = float(text)
        except ValueError:
            raise PathError(f"unrecognized operand {text}") from None
    return lambda _: [value]
