"""Types of every part of an expression, and what does not fit, in cel-go's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pinnace.api.cel import library, text, times
from pinnace.api.cel.library import Overload
from pinnace.api.cel.syntax import (
    Bind,
    Call,
    CompileError,
    Comprehension,
    Literal,
    MakeList,
    MakeMap,
    MakeObject,
    Name,
    Node,
    Select,
    problem,
)
from pinnace.api.cel.types import (
    BOOL,
    DYN,
    INT,
    NULL,
    NUMBERS,
    PRIMITIVES,
    Bindings,
    Type,
    bound,
    fits,
    joined,
    list_of,
    map_of,
    optional_of,
)
from pinnace.api.cel.values import CelError

#: What stands among the variables for the types whose objects an expression may make, by name: no variable can be
#: called that.
OBJECTS = "{}"
#: Issues told of one expression.
MAX_ISSUES = 10


class Checked(NamedTuple):
    """``types`` and ``overloads`` (those that a call may be, as far as its arguments' types say) are by the nodes' ids;
    parts of a function's or type's dotted name have no type."""

    result: Type
    used: frozenset[str]
    types: Mapping[int, Type]
    overloads: Mapping[int, Sequence[Overload]]


def check(source: str, tree: Node, variables: Mapping[str, Type]) -> Checked:
    """Raises CompileError with every issue found."""
    checker = _Checker(source, dict(variables))
    result = checker.type_of(tree)
    if not checker.issues:
        checker.issues += checker.literals
    if checker.issues:
        raise CompileError("\n".join(issue for _, issue in sorted(checker.issues)[:MAX_ISSUES]))
    return Checked(result, frozenset(checker.used), checker.types, checker.overloads)


class _Checker:
    def __init__(self, text: str, variables: dict[str, Type]) -> None:
        self._text = text
        self._names = variables
        self.issues: list[tuple[int, str]] = []
        #: Of texts that are no durations, times or patterns: told if nothing else is wrong.
        self.literals: list[tuple[int, str]] = []
        self.used: set[str] = set()
        self.types: dict[int, Type] = {}
        self.overloads: dict[int, Sequence[Overload]] = {}

    def _issue(self, at: int, message: str) -> Type:
        self.issues.append((at, problem(self._text, at, message)))
        return DYN

    def type_of(self, node: Node) -> Type:
        found = self.types[id(node)] = self._type_of(node)
        return found

    def _type_of(self, node: Node) -> Type:
        if isinstance(node, Literal):
            return PRIMITIVES[node.kind]
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, MakeList):
            return self._list(node)
        if isinstance(node, MakeMap):
            return self._map(node)
        if isinstance(node, MakeObject):
            return self._object(node)
        if isinstance(node, Bind):
            return self._bind(node)
        return self._comprehension(node)

    def _name(self, node: Name) -> Type:
        found = self._names.get(node.name)
        if found is not None:
            self.used.add(node.name)
            return found
        if node.name in library.TYPE_NAMES:
            return Type("type")
        return self._issue(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _dotted(self, node: Node) -> str:
        """``a.b.c`` of names that are no variables: a namespaced function or type."""
        if isinstance(node, Name):
            return "" if node.name in self._names else node.name
        if isinstance(node, Select) and not node.test:
            below = self._dotted(node.operand)
            return f"{below}.{node.field}" if below else ""
        return ""

    def _select(self, node: Select) -> Type:
        if self._dotted(node) in library.TYPE_NAMES:
            return Type("type")
        operand = self.type_of(node.operand)
        optional = operand.kind == "optional"
        found = self._field(operand.params[0] if optional else operand, node)
        if node.test:
            return BOOL
        return optional_of(found) if (optional or node.optional) and found.kind != "optional" else found

    def _field(self, operand: Type, node: Select) -> Type:
        if operand.kind == "dyn":
            return DYN
        if operand.kind == "map":
            return operand.params[1]
        if operand.kind == "object" or operand.fields:
            found = operand.fields.get(node.field)
            return found if found is not None else self._issue(node.at, f"undefined field '{node.field}'")
        return self._issue(node.at, f"type '{operand}' does not support field selection")

    def _call(self, node: Call) -> Type:
        target = node.target
        if target is not None:
            dotted = self._dotted(target)
            if dotted and f"{dotted}.{node.function}" in library.FUNCTIONS:
                return self._resolve(node, f"{dotted}.{node.function}", [self.type_of(arg) for arg in node.args], None)
            receiver = self.type_of(target)
            mixed = node.function == "format"  # the one place where a list may hold values of several types
            args = [
                self._list(arg, mixed=True) if mixed and isinstance(arg, MakeList) else self.type_of(arg)
                for arg in node.args
            ]
            return self._resolve(node, node.function, args, receiver)
        types = [self.type_of(arg) for arg in node.args]
        if node.function == "_?_:_":
            return self._ternary(node, types)
        if node.function in ("_==_", "_!=_"):
            if not fits(types[0], types[1]) and not fits(types[1], types[0]):
                return self._no_overload(node, node.function, types, None)
            return BOOL
        if node.function in ("_[_]", "_[?_]"):
            return self._index(node, types)
        return self._resolve(node, node.function, types, None)

    def _ternary(self, node: Call, types: list[Type]) -> Type:
        if not fits(types[0], BOOL):
            return self._no_overload(node, node.function, types, None)
        result = joined(types[1:])
        return result if result is not None else self._no_overload(node, node.function, types, None)

    def _index(self, node: Call, types: list[Type]) -> Type:
        held, key = types
        optional = held.kind == "optional"
        if optional:
            held = held.params[0]
        if not optional and node.function == "_[_]":
            self.overloads[id(node)] = _INDEXES.get(held.kind, ())
        result: Type | None = None
        if held.kind == "dyn":
            result = DYN
        elif held.kind == "list" and (fits(key, INT) or key.kind in NUMBERS):
            result = held.params[0]
        elif held.kind == "map" and (fits(key, held.params[0]) or {key.kind, held.params[0].kind} <= NUMBERS):
            result = held.params[1]
        if result is None:
            return self._no_overload(node, node.function, types, None)
        return optional_of(result) if optional or node.function == "_[?_]" else result

    def _resolve(self, node: Call, name: str, types: list[Type], receiver: Type | None) -> Type:
        table = library.FUNCTIONS if receiver is None else library.METHODS
        overloads = table.get(name)
        if overloads is None:
            return self._issue(node.at, f"undeclared reference to '{name}' (in container '')")
        given = types if receiver is None else [receiver, *types]
        applied = [(overload, result) for overload in overloads if (result := _applied(overload, given)) is not None]
        if not applied:
            return self._no_overload(node, name, types, receiver)
        self.overloads[id(node)] = [overload for overload, _ in applied]
        self._check_literal(node, name)
        results = [result for _, result in applied]
        if len(results) > 1 and any(given_type.kind == "dyn" for given_type in given):
            return results[0] if joined(results) is not None and len({str(r) for r in results}) == 1 else DYN
        return results[0]

    def _check_literal(self, node: Call, name: str) -> None:
        read = _LITERALS.get((name, node.target is not None))
        if read is None or len(node.args) != 1:
            return
        given = node.args[0]
        if isinstance(given, Literal) and given.kind == "string":
            try:
                read(given.value)
            except CelError:
                self.literals.append((given.at, problem(self._text, given.at, f"invalid {name} argument")))

    def _no_overload(self, node: Call, name: str, types: list[Type], receiver: Type | None) -> Type:
        shown = f"({', '.join(map(str, types))})"
        if receiver is not None:
            shown = f"{receiver}.{shown}"
        return self._issue(node.at, f"found no matching overload for '{name}' applied to '{shown}'")

    def _list(self, node: MakeList, *, mixed: bool = False) -> Type:
        types = []
        for index, element in enumerate(node.elements):
            found = self.type_of(element)
            types.append(self._unwrapped(found, element) if index in node.optional else found)
        return list_of(DYN if mixed else self._one_type(types, node.elements))

    def _map(self, node: MakeMap) -> Type:
        keys, values = [], []
        for key, value, optional in node.entries:
            keys.append(self.type_of(key))
            found = self.type_of(value)
            values.append(self._unwrapped(found, value) if optional else found)
        of_keys = self._one_type(keys, [entry[0] for entry in node.entries])
        return map_of(of_keys, self._one_type(values, [entry[1] for entry in node.entries]))

    def _object(self, node: MakeObject) -> Type:
        made = self._names.get(OBJECTS)
        type = made.fields.get(node.type_name) if made is not None else None
        if type is None:
            return self._issue(node.at, f"undeclared reference to '{node.type_name}' (in container '')")
        for name, value, optional in node.fields:
            found = self.type_of(value)
            if optional:
                found = self._unwrapped(found, value)
            wanted = type.fields.get(name)
            if wanted is None:
                self._issue(node.at, f"undefined field '{name}'")
            elif not fits(found, wanted):
                why = f"expected type of field '{name}' is '{wanted}' but provided type is '{found}'"
                self._issue(value.at, why)
        return type

    def _unwrapped(self, found: Type, node: Node) -> Type:
        """What an optional element or entry holds."""
        if found.kind == "optional":
            return found.params[0]
        if found.kind == "dyn":
            return DYN
        return self._issue(node.at, f"expected type 'optional_type({found})' but found '{found}'")

    def _one_type(self, types: list[Type], nodes: Sequence[Node]) -> Type:
        """Aggregates are homogeneous in Kubernetes' environments."""
        result = joined(types)
        if result is not None:
            return result
        other = next(index for index, found in enumerate(types) if not fits(found, types[0]))
        return self._issue(nodes[other].at, f"expected type '{types[0]}' but found '{types[other]}'")

    def _scoped(self, names: dict[str, Type], body: Node) -> Type:
        outer = self._names
        hidden = self.used & names.keys()
        self._names = {**outer, **names}
        result = self.type_of(body)
        self._names = outer
        self.used -= names.keys() - hidden
        return result

    def _bind(self, node: Bind) -> Type:
        value = self.type_of(node.value)
        if not node.optional:
            return self._scoped({node.name: value}, node.body)
        if value.kind not in ("optional", "dyn"):
            return self._issue(node.at, "optMap() and optFlatMap() need an optional value")
        inner = value.params[0] if value.params else DYN
        result = self._scoped({node.name: inner}, node.body)
        return result if node.flat else optional_of(result)

    def _comprehension(self, node: Comprehension) -> Type:
        target = self.type_of(node.target)
        if target.kind == "list":
            first, second = target.params[0], INT
        elif target.kind == "map":
            first, second = target.params
        elif target.kind == "dyn":
            first, second = DYN, DYN
        else:
            why = f"expression of type '{target}' cannot be range of a comprehension (must be list, map, or dynamic)"
            return self._issue(node.target.at, why)
        if len(node.names) == 1:
            names = {node.names[0]: first}
        elif target.kind == "list":
            names = {node.names[0]: INT, node.names[1]: first}
        else:
            names = {node.names[0]: first, node.names[1]: second}
        if node.condition is not None and not fits(self._scoped(names, node.condition), BOOL):
            return self._issue(node.condition.at, "expected type 'bool' for the condition of a macro")
        body = self._scoped(names, node.body)
        return self._result(node, target, first, body)

    def _result(self, node: Comprehension, target: Type, first: Type, body: Type) -> Type:
        if node.kind in ("map", "transformList"):
            return list_of(body)
        if node.kind == "transformMap":
            return map_of(target.params[0] if target.kind == "map" else INT, body)
        if not fits(body, BOOL) or body is NULL:
            return self._issue(node.body.at, f"expected type 'bool' but found '{body}'")
        return list_of(first) if node.kind == "filter" else BOOL


#: Functions (and methods) that only take certain texts.
_LITERALS: Mapping[tuple[str, bool], Callable[[str], object]] = {
    ("duration", False): times.to_duration,
    ("timestamp", False): times.to_timestamp,
    ("matches", True): text.pattern,
}
_LIST_INDEX, _MAP_INDEX = Overload((list_of(DYN), INT), DYN), Overload((map_of(DYN, DYN), DYN), DYN)
_INDEXES = {"list": (_LIST_INDEX,), "map": (_MAP_INDEX,), "dyn": (_LIST_INDEX, _MAP_INDEX)}


def _applied(overload: Overload, given: list[Type]) -> Type | None:
    """The result of a call with arguments of these types; None if the overload does not take them."""
    if len(given) != len(overload.args):
        return None
    bindings: Bindings = {}
    for actual, wanted in zip(given, overload.args, strict=True):
        if not fits(actual, wanted, bindings):
            return None
    return bound(overload.result, bindings)
