"""What an expression may cost at most, worked out before it is ever run, from how large values may be at most.

The figures are cel-go's and Kubernetes' own, quirks included: which rules a definition may have depends on them.
``Range`` is from the least to the most; sums and products stay at ``MOST``. A value's *path* is where it comes from
(``self``, a field, ``@items``, ``@keys``, ``@values``); ``sizes`` is asked how long what is there may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from pinnace.api.cel.checker import Checked
from pinnace.api.cel.library import TYPE_NAMES, Overload
from pinnace.api.cel.syntax import Bind, Call, Comprehension, Literal, MakeList, MakeMap, MakeObject, Name, Node, Select
from pinnace.api.cel.types import DYN, Type

MOST: Final = 2**64 - 1
_TRAVERSE, _PATTERN = 0.1, 0.25
_LIST, _MAP = 10, 30
#: The longest pattern behind a named format.
_FORMAT_PATTERN = 128
_FORMAT = 64


class Range(NamedTuple):
    least: int
    most: int

    def plus(self, other: Range) -> Range:
        return Range(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: Range) -> Range:
        return Range(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def scaled(self, factor: float) -> Range:
        """Rounded up."""
        return Range(_scaled(self.least, factor), _scaled(self.most, factor))

    def either(self, other: Range) -> Range:
        return Range(min(self.least, other.least), max(self.most, other.most))


def _scaled(number: int, factor: float) -> int:
    product = float(number) * factor
    return MOST if product >= 2.0**64 else math.ceil(product)


def fixed(number: int) -> Range:
    return Range(number, number)


FREE, ONE, UNKNOWN = fixed(0), fixed(1), Range(0, MOST)
Path = tuple[str, ...]
#: How many characters, elements or entries there are at most at a path; None where that is not known.
Sizes = Callable[[Path], "int | None"]


class _Entries(NamedTuple):
    """How large the keys and values of a list or map that an expression makes are."""

    kind: str
    key: Range
    value: Range


class _Local(NamedTuple):
    path: Path
    size: Range | None = None
    entries: _Entries | None = None


class _Value(NamedTuple):
    """What is known of an argument."""

    type: Type
    path: Path
    size: Range | None
    node: Node | None


class _Answer(NamedTuple):
    cost: Range
    size: Range | None = None


def estimate(tree: Node, checked: Checked, sizes: Sizes) -> Range:
    return _Coster(checked, sizes).cost(tree)


class _Coster:
    def __init__(self, checked: Checked, sizes: Sizes) -> None:
        self._types = checked.types
        self._overloads = checked.overloads
        self._sizes = sizes
        self._paths: dict[int, Path] = {}
        self._known: dict[int, Range] = {}
        self._entries: dict[int, _Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    # What is known of a node

    def _type(self, node: Node) -> Type:
        return self._types.get(id(node), DYN)

    def _path(self, node: Node) -> Path:
        if isinstance(node, Name) and (local := self._local(node.name)) is not None:
            return local.path
        return self._paths.get(id(node), ())

    def _local(self, name: str) -> _Local | None:
        held = self._locals.get(name)
        return held[-1] if held else None

    def _at(self, path: Path) -> Range | None:
        if not path:
            return None
        most = self._sizes(path)
        return None if most is None else Range(0, most)

    def _size(self, node: Node) -> Range | None:
        known = self._known.get(id(node)) or _literal_size(node)
        if known is not None:
            return known
        if (found := self._at(self._path(node))) is not None:
            self._known[id(node)] = found
            return found
        if _is_scalar(self._type(node)):
            return ONE
        local = self._local(node.name) if isinstance(node, Name) else None
        return local.size if local is not None else None

    def _size_of(self, node: Node) -> Range:
        return self._size(node) or UNKNOWN

    def _entries_of(self, node: Node) -> _Entries | None:
        found = self._entries.get(id(node))
        if found is None and isinstance(node, Name) and (local := self._local(node.name)) is not None:
            return local.entries
        return found

    def _value(self, node: Node) -> _Value:
        return _Value(self._type(node), self._path(node), self._size(node), node)

    # Costs

    def cost(self, node: Node) -> Range:
        if isinstance(node, Literal):
            return FREE
        if isinstance(node, Name):
            local = self._local(node.name)
            self._paths[id(node)] = local.path if local is not None else (node.name,)
            return ONE
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, MakeList):
            return self._list(node)
        if isinstance(node, MakeMap):
            return self._map(node)
        if isinstance(node, MakeObject):  # rules make none: their checker knows no type of objects
            raise TypeError(node.type_name)
        if isinstance(node, Bind):
            return self._optional_bind(node) if node.optional else self._bind(node)
        return self._comprehension(node)

    def _select(self, node: Select) -> Range:
        if (dotted := _dotted(node)) in TYPE_NAMES:
            self._paths[id(node)] = (dotted,)
            return ONE
        operand = self.cost(node.operand)
        if node.test:
            return operand
        if node.optional:
            return operand.plus(ONE)
        self._paths[id(node)] = (*self._path(node.operand), node.field)
        return operand.plus(ONE) if self._type(node.operand).kind in ("map", "object", "param") else operand

    def _call(self, node: Call) -> Range:
        name, target = node.function, node.target
        if target is not None and (dotted := _dotted(target)) and id(target) not in self._types:
            name, target = f"{dotted}.{name}", None  # a function of a namespace
        if name == "dyn" and target is None:
            cost = self.cost(node.args[0]).plus(ONE)
            self._copy(node, node.args[0])
            return cost
        args, costs = [], []
        for arg in node.args:
            costs.append(self.cost(arg))
            args.append(self._value(arg))
        spent, receiver = FREE, None
        if target is not None:
            spent = self.cost(target)
            receiver = self._value(target)
        found, size = Range(MOST, 0), None
        for overload in self._overloads.get(id(node), (None,)):
            answer = self._function(node, name, overload, receiver, args, costs)
            found = found.either(answer.cost)
            if answer.size is not None:
                size = answer.size if size is None else size.either(answer.size)
            if name == "_[_]" and overload is not None:
                held = self._entries_of(node.args[0])
                size = held.value if held is not None else None
                step = "@items" if overload.args[0].kind == "list" else "@values"
                self._paths[id(node)] = (*args[0].path, step)
            if size is None:
                size = self._size(node)
        if size is not None:
            self._known[id(node)] = size
        return spent.plus(found)

    def _copy(self, node: Node, source: Node) -> None:
        """What is known of ``source`` is known of ``node``."""
        if (size := self._size(source)) is not None:
            self._known[id(node)] = size
        if (entries := self._entries_of(source)) is not None:
            self._entries[id(node)] = entries

    def _list(self, node: MakeList) -> Range:
        spent, size = fixed(_LIST), Range(MOST if node.elements else 0, 0)
        for element in node.elements:
            spent = spent.plus(self.cost(element))
            size = size.either(self._size_of(element))
        self._entries[id(node)] = _Entries("list", ONE, size)
        return spent

    def _map(self, node: MakeMap) -> Range:
        spent = fixed(_MAP)
        keys = values = Range(MOST if node.entries else 0, 0)
        for key, value, _ in node.entries:
            spent = spent.plus(self.cost(key)).plus(self.cost(value))
            keys, values = keys.either(self._size_of(key)), values.either(self._size_of(value))
        self._entries[id(node)] = _Entries("map", keys, values)
        return spent

    def _bind(self, node: Bind) -> Range:
        value = self.cost(node.value).plus(fixed(_LIST))
        local = _Local(self._path(node.value), self._size(node.value), self._entries_of(node.value))
        self._locals.setdefault(node.name, []).append(local)
        body = self.cost(node.body)
        self._copy(node, node.body)
        self._locals[node.name].pop()
        return value.plus(body)

    def _optional_bind(self, node: Bind) -> Range:
        """``value.hasValue() ? optional.of(bound) : optional.none()``, where value is evaluated twice."""
        asked = self.cost(node.value).plus(ONE)
        inner = self._type(node.value)
        inner = inner.params[0] if inner.params else DYN
        bound = self.cost(node.value).plus(fixed(_LIST + 1))
        self._locals.setdefault(node.name, []).append(_Local((), ONE if _is_scalar(inner) else None))
        made = bound.plus(self.cost(node.body))
        self._locals[node.name].pop()
        self._known[id(node)] = ONE if _is_scalar(self._type(node.body)) else UNKNOWN
        return asked.plus((made if node.flat else made.plus(ONE)).either(ONE))

    def _comprehension(self, node: Comprehension) -> Range:
        spent = self.cost(node.target)
        for name, local in self._round(node):
            self._locals.setdefault(name, []).append(local)
        loop, made = _LOOPS[node.kind](self, node)
        for name in node.names:
            self._locals[name].pop()
        rounds = self._size_of(node.target)
        if node.kind in ("map", "filter", "transformList", "transformMap"):
            self._known[id(node)] = rounds
            if made is not None:
                self._entries[id(node)] = made
            spent = spent.plus(fixed(_MAP if node.kind == "transformMap" else _LIST))
        else:
            self._known[id(node)] = ONE
        result = fixed(2) if node.kind == "exists_one" else ONE
        return spent.plus(result).plus(rounds.times(loop))

    def _round(self, node: Comprehension) -> list[tuple[str, _Local]]:
        """The variables of a comprehension."""
        entries, path = self._entries_of(node.target), self._path(node.target)
        in_list = (entries.kind if entries is not None else self._type(node.target).kind) == "list"
        key, value = (entries.key, entries.value) if entries is not None else (None, None)
        if len(node.names) == 1:
            return [(node.names[0], _Local((*path, "@items" if in_list else "@keys"), value if in_list else key))]
        return [
            (node.names[0], _Local((*path, "@indices" if in_list else "@keys"), key)),
            (node.names[1], _Local((*path, "@items" if in_list else "@values"), value)),
        ]

    def _quantified(self, node: Comprehension) -> tuple[Range, _Entries | None]:
        condition = fixed(2 if node.kind == "all" else 3)
        body = self.cost(node.body)
        return Range(1, min(body.most + 1, MOST)).plus(condition), None

    def _counted(self, node: Comprehension) -> tuple[Range, _Entries | None]:
        return self.cost(node.body).plus(Range(1, 2)), None

    def _gathered(self, node: Comprehension) -> tuple[Range, _Entries | None]:
        """``made + [element]``, perhaps under a condition."""
        condition = node.body if node.kind == "filter" else node.condition
        asked = self.cost(condition) if condition is not None else None
        if node.kind == "filter":
            element, size = ONE, self._variable_size(node)
        else:
            element, size = self.cost(node.body), self._size_of(node.body)
        step = element.plus(fixed(_LIST + 2))
        if asked is not None:
            step = asked.plus(step.either(ONE))
        return step, _Entries("list", ONE, Range(0, size.most))

    def _variable_size(self, node: Comprehension) -> Range:
        """How large the elements (or keys) are that a comprehension runs over."""
        local = self._locals[node.names[0]][-1]
        held = self._type(node.target)
        return self._at(local.path) or (ONE if held.params and _is_scalar(held.params[0]) else local.size) or UNKNOWN

    def _inserted(self, node: Comprehension) -> tuple[Range, _Entries | None]:
        asked = self.cost(node.condition) if node.condition is not None else None
        step = self.cost(node.body).plus(fixed(3))
        return asked.plus(step.either(ONE)) if asked is not None else step, None

    # Functions

    def _function(
        self,
        node: Call,
        name: str,
        overload: Overload | None,
        target: _Value | None,
        args: Sequence[_Value],
        costs: Sequence[Range],
    ) -> _Answer:
        spent = FREE
        for cost in costs:
            spent = spent.plus(cost)
        if name in ("_&&_", "_||_"):
            return _Answer(Range(costs[0].least, spent.most))
        if name == "_?_:_":
            return self._conditional(node, args, costs)
        known = _COSTS.get(name)
        answer = known(self, overload, target, args) if known is not None else None
        if answer is None:
            answer = self._standard(node, name, overload, args)
        return _Answer(answer.cost.plus(spent), answer.size)

    def _conditional(self, node: Call, args: Sequence[_Value], costs: Sequence[Range]) -> _Answer:
        yes, no = self._entries_of(node.args[1]), self._entries_of(node.args[2])
        if yes is not None and no is not None:
            self._entries[id(node)] = _Entries(yes.kind, yes.key.either(no.key), yes.value.either(no.value))
        size = (args[1].size or UNKNOWN).either(args[2].size or UNKNOWN)
        return _Answer(costs[0].plus(costs[1].either(costs[2])), size)

    def _standard(self, node: Call, name: str, overload: Overload | None, args: Sequence[_Value]) -> _Answer:
        kind = overload.args[0].kind if overload is not None and overload.args else ""
        if name == "_+_" and kind in ("string", "bytes", "list"):
            size = (args[0].size or UNKNOWN).plus(args[1].size or UNKNOWN)
            left, right = self._entries_of(node.args[0]), self._entries_of(node.args[1])
            if left is not None and right is not None:
                joined = _Entries(left.kind, left.key.either(right.key), left.value.either(right.value))
                self._entries[id(node)] = joined
            return _Answer(ONE if kind == "list" else size.scaled(_TRAVERSE), size)
        compared = name in ("_==_", "_!=_") or (name in _ORDERS and kind in ("string", "bytes"))
        if compared:
            most = min((args[0].size or UNKNOWN).most, (args[1].size or UNKNOWN).most)
            return _Answer(Range(1 if most else 0, most).scaled(_TRAVERSE))
        if name == "@in" and overload is not None and overload.args[1].kind == "list":
            return _Answer((args[1].size or UNKNOWN).scaled(1))
        if name == "bytes" and kind == "string":
            size = args[0].size or UNKNOWN
            return _Answer(size.scaled(_TRAVERSE), Range(size.least, min(size.most * 4, MOST)))
        if name == "string" and kind == "bytes":
            size = args[0].size or UNKNOWN
            return _Answer(size.scaled(_TRAVERSE), Range(size.least // 4, size.most))
        return _Answer(ONE)

    def element(self, held: _Value) -> _Value | None:
        """An element of a list."""
        if not held.type.params:
            return None
        return _Value(held.type.params[0], (*held.path, "@items") if held.path else (), None, None)

    def of(self, held: _Value) -> Range:
        """How large an argument is."""
        return held.size or self._at(held.path) or UNKNOWN


_ORDERS = frozenset(("_<_", "_<=_", "_>_", "_>=_"))
_LOOPS: Mapping[str, Callable[[_Coster, Comprehension], tuple[Range, _Entries | None]]] = {
    "all": _Coster._quantified,
    "exists": _Coster._quantified,
    "exists_one": _Coster._counted,
    "map": _Coster._gathered,
    "filter": _Coster._gathered,
    "transformList": _Coster._gathered,
    "transformMap": _Coster._inserted,
}


def _dotted(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.test:
        below = _dotted(node.operand)
        return f"{below}.{node.field}" if below else ""
    return ""


def _literal_size(node: Node) -> Range | None:
    if isinstance(node, Literal):
        return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
    if isinstance(node, MakeList):
        return fixed(len(node.elements))
    return fixed(len(node.entries)) if isinstance(node, MakeMap) else None


def _is_scalar(type_: Type) -> bool:
    if type_.kind == "optional":
        return _is_scalar(type_.params[0])
    return type_.kind in ("bool", "double", "duration", "int", "timestamp", "uint")


# Functions whose cost depends on their arguments: (coster, overload, target, args) -> what they add to their arguments.
_Costed = Callable[[_Coster, "Overload | None", "_Value | None", Sequence[_Value]], "_Answer | None"]


def _over_list(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    each, element = ONE, coster.element(target)
    if element is None:
        return _Answer(coster.of(target).scaled(_TRAVERSE))
    if element.type.kind in ("string", "bytes"):
        each = each.plus(coster.of(element).scaled(_TRAVERSE))
    return _Answer(coster.of(target).times(each))


def _read(factor: float, *, sized: bool = False) -> _Costed:
    """Reads its first argument, ``factor`` for each character."""

    def cost(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
        if not args:
            return None
        size = coster.of(args[0])
        return _Answer(size.scaled(factor), size if sized else None)

    return cost


def _rewritten(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    size = coster.of(target)
    return _Answer(size.scaled(_TRAVERSE), size)


def _replaced(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    size, out, into = coster.of(target), coster.of(args[0]), coster.of(args[1])
    count_most = kept_most = count_least = kept_least = 0
    if out.least == 0:
        count_most, kept_most = min(size.most + 1, MOST), size.most
    elif into.most <= out.least:
        kept_most = size.most
    else:
        count_most = math.ceil(float(size.most) / float(out.least))
    if out.most == 0:
        count_least, kept_least = min(size.least + 1, MOST), size.least
    elif out.most <= into.least:
        kept_least = size.least
    else:
        count_least = math.ceil(float(size.least) / float(out.most))
    made = Range(count_least, min(count_most, MOST)).times(into).plus(Range(kept_least, kept_most))
    return _Answer(size.scaled(2 * _TRAVERSE), made)


def _split(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    size = coster.of(target)
    most, limit = size.most, args[1].node if len(args) > 1 else None
    if isinstance(limit, Literal) and limit.kind == "int":
        most = limit.value % 2**64
    return _Answer(size.scaled(2 * _TRAVERSE), Range(0, most))


def _join(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    count, size = coster.of(target), FREE
    if (element := coster.element(target)) is not None:
        size = count.times(coster.of(element))
    if args:
        size = size.plus(coster.of(args[0]).times(Range(max(count.least - 1, 0), max(count.most - 1, 0))))
    return _Answer(size.scaled(_TRAVERSE), size)


def _matched(coster: _Coster, text: _Value, pattern: _Value) -> Range:
    return coster.of(text).plus(ONE).scaled(_TRAVERSE).times(coster.of(pattern).scaled(_PATTERN))


def _find(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    return _Answer(_matched(coster, target, args[0]), Range(0, coster.of(target).most))


def _matches(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    text, pattern = (target, args[0]) if target is not None else (args[0], args[1])
    return _Answer(_matched(coster, text, pattern))


def _contains(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    if target is None:
        return None
    return _Answer(coster.of(target).scaled(_TRAVERSE).times(coster.of(args[0]).scaled(_TRAVERSE)))


def _formatted(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    return _Answer(coster.of(target).scaled(_TRAVERSE)) if target is not None else None


def _quoted(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    size = coster.of(args[0])
    return _Answer(size.scaled(_TRAVERSE), Range(min(size.least + 2, MOST), min(size.most * 2 + 2, MOST)))


def _ip(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    return _Answer(coster.of(args[0]).scaled(_TRAVERSE)) if args else _Answer(ONE)


def _within(*, cidr: bool) -> _Costed:
    def cost(coster: _Coster, overload: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer:
        address = Range(4, 16)
        spent = address.plus(address).scaled(_TRAVERSE)
        if cidr:
            spent = spent.plus(address.scaled(_TRAVERSE)).plus(ONE)
        if overload is not None and overload.args[1].kind == "string":
            spent = spent.plus(coster.of(args[0]).scaled(_TRAVERSE))
        return _Answer(spent)

    return cost


def _validated(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    return _Answer(coster.of(args[0]).scaled(_TRAVERSE).scaled(_FORMAT_PATTERN * _PATTERN)) if args else None


def _equal(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
    left, right = args[0].type, args[1].type
    if left.kind != right.kind or left.name != right.name:
        return None
    if left.name in ("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver"):
        return _Answer(ONE)
    if left.name == "kubernetes.NamedFormat":
        return _Answer(Range(1, _FORMAT).scaled(_TRAVERSE))
    if left.name == "kubernetes.URL":
        return _Answer(Range(1, args[1].size.most if args[1].size is not None else 1).scaled(_TRAVERSE))
    return None


def _sets(factor: float) -> _Costed:
    def cost(coster: _Coster, _: Overload | None, target: _Value | None, args: Sequence[_Value]) -> _Answer | None:
        return _Answer(coster.of(args[0]).times(coster.of(args[1])).scaled(factor).plus(ONE))

    return cost


_COSTS: dict[str, _Costed] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _over_list),
    "url": _read(_TRAVERSE, sized=True),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _rewritten),
    "replace": _replaced,
    "split": _split,
    "join": _join,
    **dict.fromkeys(("find", "findAll"), _find),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _read(_TRAVERSE)),
    "ip": _ip,
    "ip.isCanonical": _read(2 * _TRAVERSE),
    "containsIP": _within(cidr=False),
    "containsCIDR": _within(cidr=True),
    "validate": _validated,
    "_==_": _equal,
    "matches": _matches,
    "contains": _contains,
    **dict.fromkeys(("startsWith", "endsWith"), _read(_TRAVERSE)),
    "format": _formatted,
    "strings.quote": _quoted,
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
}
