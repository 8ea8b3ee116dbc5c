"""Functions of expressions: CEL's own, and those that Kubernetes adds. Signatures for the checker, code for evaluation.

One Python function serves all overloads of a name: it looks at what it is given, and a ``TypeError`` from it means that
there is no such overload. Patterns are matched in linear time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pinnace.api.cel import authorization, extensions, standard, text, times
from pinnace.api.cel.types import Type, parsed


class Overload(NamedTuple):
    args: tuple[Type, ...]
    result: Type


#: Names that are types, and what ``type()`` calls them.
TYPE_NAMES = {
    name: name for name in ("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type")
} | {
    "google.protobuf.Timestamp": "google.protobuf.Timestamp",
    "google.protobuf.Duration": "google.protobuf.Duration",
    "optional_type": "optional_type",
    "net.IP": "net.IP",
    "net.CIDR": "net.CIDR",
}


def _table(sources: Sequence[str]) -> tuple[dict[str, list[Overload]], dict[str, list[Overload]]]:
    """Functions and methods by name from lines such as ``size(string) int`` and ``string.size() int``."""
    functions: dict[str, list[Overload]] = {}
    methods: dict[str, list[Overload]] = {}
    for line in "\n".join(sources).splitlines():
        if not line.strip():
            continue
        head, _, result = line.strip().rpartition(" -> ")
        receiver, dot, rest = head.partition(" . ")
        call = rest if dot else head
        name, _, inside = call.partition("(")
        args = parsed(f"x({inside}").params if inside != ")" else ()
        if dot:
            methods.setdefault(name, []).append(Overload((parsed(receiver), *args), parsed(result)))
        else:
            functions.setdefault(name, []).append(Overload(args, parsed(result)))
    return functions, methods


FUNCTIONS, METHODS = _table([part.SIGNATURES for part in (standard, text, times, extensions, authorization)])
CALLS: dict[str, Callable[..., Any]] = {
    **standard.CALLS,
    **text.CALLS,
    **times.CALLS,
    **extensions.CALLS,
    **authorization.CALLS,
}


def size_cost(*values: Any) -> float:
    """A tenth of the length of what has one: what looking at all of it costs."""
    return 0.1 * min((len(value) for value in values if isinstance(value, str | bytes | list | dict)), default=0)


def _lengths(values: Sequence[Any]) -> float:
    return 1 + 0.1 * sum(len(value) for value in values if isinstance(value, str | bytes | list))


def _whole(values: Sequence[Any]) -> float:
    return 1 + sum(len(value) for value in values if isinstance(value, list))


_BY_LENGTH = (
    "_+_ contains startsWith endsWith matches find findAll split join replace substring lowerAscii upperAscii trim "
    "indexOf lastIndexOf reverse format url isURL string bytes quantity isQuantity ip isIP cidr isCIDR semver isSemver "
    "validate duration timestamp"
)
_BY_SIZE = "sum min max isSorted sets.contains sets.equivalent sets.intersects"
#: What a call costs, of those whose cost depends on what they are given.
COSTS: dict[str, Callable[[Sequence[Any]], float]] = {
    **dict.fromkeys(_BY_LENGTH.split(), _lengths),
    **dict.fromkeys(_BY_SIZE.split(), _whole),
    "check": lambda values: authorization.CHECK_COST,
}
