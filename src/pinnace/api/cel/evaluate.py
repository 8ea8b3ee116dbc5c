"""From a tree to functions that evaluate it, and count what that costs.

Costs are cel-go's, about: one for each name, field and call, a tenth of the length for work on text, ten for a list,
thirty for a map. ``&&`` and ``||`` look past an error on one side if the other decides; ``all`` and ``exists`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pinnace.api.cel import library
from pinnace.api.cel.syntax import Bind, Call, Comprehension, Literal, MakeList, MakeMap, MakeObject, Name, Node, Select
from pinnace.api.cel.values import (
    NOTHING,
    CelError,
    CostError,
    ObjectValue,
    Optional,
    TypeValue,
    UInt,
    equals,
    is_number,
    no_overload,
)

LIST_COST, MAP_COST, OBJECT_COST = 10, 30, 40


class Frame:
    """One evaluation: variables, and what is left to spend."""

    __slots__ = ("left", "names")

    def __init__(self, names: Mapping[str, Any], budget: float) -> None:
        self.names: dict[str, Any] = dict(names)
        self.left = budget

    def spend(self, cost: float) -> None:
        self.left -= cost
        if self.left < 0:
            raise CostError("operation cancelled: actual cost limit exceeded")


Step = Callable[[Frame], Any]


class Program:
    """A checked expression, ready to be evaluated any number of times."""

    def __init__(self, tree: Node) -> None:
        self._step = _step(tree)

    def evaluate(self, names: Mapping[str, Any], budget: float) -> tuple[Any, float]:
        """The value, and the cost. Raises CelError, and CostError if more than ``budget`` would be spent."""
        frame = Frame(names, budget)
        try:
            value = self._step(frame)
        except RecursionError:
            raise CelError("evaluation recursion limit exceeded") from None
        return value, budget - frame.left


def _step(node: Node) -> Step:
    if isinstance(node, Literal):
        value = UInt(node.value) if node.kind == "uint" else node.value
        return lambda frame: value
    if isinstance(node, Name):
        return _name(node.name)
    if isinstance(node, Select):
        return _select(node)
    if isinstance(node, Call):
        return _call(node)
    if isinstance(node, MakeList):
        return _list(node)
    if isinstance(node, MakeMap):
        return _map(node)
    if isinstance(node, MakeObject):
        return _object(node)
    if isinstance(node, Bind):
        return _bind(node)
    return _comprehension(node)


def _name(name: str) -> Step:
    constant = TypeValue(library.TYPE_NAMES.get(name, name))

    def step(frame: Frame) -> Any:
        frame.spend(1)
        if name in frame.names:
            return frame.names[name]
        if name in library.TYPE_NAMES:
            return constant
        raise CelError(f"no such attribute(s): {name}")

    return step


def _dotted(node: Node) -> str:
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.test:
        below = _dotted(node.operand)
        return f"{below}.{node.field}" if below else ""
    return ""


def _select(node: Select) -> Step:
    if (dotted := _dotted(node)) in library.TYPE_NAMES:
        constant = TypeValue(library.TYPE_NAMES[dotted])
        return lambda frame: constant
    operand, field, test, optional = _step(node.operand), node.field, node.test, node.optional

    def step(frame: Frame) -> Any:
        held = operand(frame)
        frame.spend(1)
        if isinstance(held, Optional):
            if not held.present:
                return False if test else NOTHING
            held = held.value
            if not test:
                return _optional_field(held, field)
        if not isinstance(held, dict):
            held = getattr(held, "cel_fields", None)
            if held is None:
                raise no_overload()
        if test:
            return field in held
        if optional:
            return _optional_field(held, field)
        if field not in held:
            raise CelError(f"no such key: {field}")
        return held[field]

    return step


def _optional_field(held: Any, field: str) -> Optional:
    if not isinstance(held, dict):
        raise no_overload()
    return Optional(held[field], present=True) if field in held else NOTHING


def _call(node: Call) -> Step:
    special = _SPECIAL.get(node.function) if node.target is None else None
    if special is not None:
        return special(*(_step(arg) for arg in node.args))
    function = None
    args = [_step(arg) for arg in node.args]
    if node.target is not None:
        dotted = _dotted(node.target)
        function = library.CALLS.get(f"{dotted}.{node.function}") if dotted else None
        if function is None:
            args = [_step(node.target), *args]
    if function is None:
        function = library.CALLS[node.function]
    cost_of = library.COSTS.get(node.function)
    call: Callable[..., Any] = function

    def step(frame: Frame) -> Any:
        values = [arg(frame) for arg in args]
        frame.spend(1 if cost_of is None else cost_of(values))
        try:
            return call(*values)
        except (TypeError, AttributeError):  # of a dynamic value that is not what the function takes
            raise no_overload() from None
        except (ValueError, OverflowError) as error:  # of values that Python cannot hold
            raise CelError(f"range error: {error}") from None

    return step


def _decided(step: Step, frame: Frame) -> tuple[bool | None, CelError | None]:
    try:
        value = step(frame)
    except CelError as error:
        return None, error
    return (value, None) if isinstance(value, bool) else (None, no_overload())


def _and(left: Step, right: Step) -> Step:
    return _either(left, right, decides=False)


def _or(left: Step, right: Step) -> Step:
    return _either(left, right, decides=True)


def _either(left: Step, right: Step, *, decides: bool) -> Step:
    def step(frame: Frame) -> bool:
        first, error = _decided(left, frame)
        frame.spend(1)
        if first is decides:
            return decides
        second, other = _decided(right, frame)
        if second is decides:
            return decides
        if error is not None or other is not None:
            raise error or other or no_overload()
        return not decides

    return step


def _ternary(condition: Step, yes: Step, no: Step) -> Step:
    def step(frame: Frame) -> Any:
        chosen = condition(frame)
        if not isinstance(chosen, bool):
            raise no_overload()
        return yes(frame) if chosen else no(frame)

    return step


def _index(held: Step, key: Step) -> Step:
    def step(frame: Frame) -> Any:
        value, at = held(frame), key(frame)
        frame.spend(1)
        if isinstance(value, Optional):
            return _optional_index(value.value, at) if value.present else NOTHING
        found = _optional_index(value, at)
        if not found.present:
            raise CelError(f"index out of bounds: {at}" if isinstance(value, list) else f"no such key: {at}")
        return found.value

    return step


def _optional(held: Step, key: Step) -> Step:
    def step(frame: Frame) -> Any:
        value, at = held(frame), key(frame)
        frame.spend(1)
        if isinstance(value, Optional):
            return _optional_index(value.value, at) if value.present else NOTHING
        return _optional_index(value, at)

    return step


def _optional_index(value: Any, at: Any) -> Optional:
    if isinstance(value, dict):
        if isinstance(at, dict | list):
            raise no_overload()
        return Optional(value[at], present=True) if at in value else NOTHING
    if not isinstance(value, list) or not is_number(at):
        raise no_overload()
    if at != int(at):
        raise CelError("unsupported index value")
    return Optional(value[int(at)], present=True) if 0 <= at < len(value) else NOTHING


def _equal(left: Step, right: Step) -> Step:
    def step(frame: Frame) -> bool:
        ours, theirs = left(frame), right(frame)
        frame.spend(1 + library.size_cost(ours, theirs))
        return equals(ours, theirs)

    return step


def _unequal(left: Step, right: Step) -> Step:
    same = _equal(left, right)
    return lambda frame: not same(frame)


def _in(item: Step, held: Step) -> Step:
    def step(frame: Frame) -> bool:
        wanted, value = item(frame), held(frame)
        if isinstance(value, dict):
            frame.spend(1)
            return not isinstance(wanted, dict | list) and wanted in value
        if not isinstance(value, list):
            raise no_overload()
        frame.spend(1 + len(value))
        return any(equals(wanted, element) for element in value)

    return step


_SPECIAL: dict[str, Callable[..., Step]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _ternary,
    "_[_]": _index,
    "_[?_]": _optional,
    "_==_": _equal,
    "_!=_": _unequal,
    "@in": _in,
}


def _held(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise no_overload()
    return value


def _list(node: MakeList) -> Step:
    elements = [(_step(element), index in node.optional) for index, element in enumerate(node.elements)]

    def step(frame: Frame) -> list[Any]:
        frame.spend(LIST_COST)
        made = []
        for element, optional in elements:
            value = element(frame)
            if not optional:
                made.append(value)
            elif _held(value).present:
                made.append(value.value)
        return made

    return step


def _map(node: MakeMap) -> Step:
    entries = [(_step(key), _step(value), optional) for key, value, optional in node.entries]

    def step(frame: Frame) -> dict[Any, Any]:
        frame.spend(MAP_COST)
        made: dict[Any, Any] = {}
        for key, value, optional in entries:
            at, held = key(frame), value(frame)
            if at in made:
                raise CelError(f"insert failed: key {at} already exists")
            if not optional:
                made[at] = held
            elif _held(held).present:
                made[at] = held.value
        return made

    return step


def _object(node: MakeObject) -> Step:
    fields = [(name, _step(value), optional) for name, value, optional in node.fields]

    def step(frame: Frame) -> ObjectValue:
        frame.spend(OBJECT_COST)
        made = ObjectValue(node.type_name)
        for name, value, optional in fields:
            held = value(frame)
            if not optional:
                made[name] = held
            elif _held(held).present:
                made[name] = held.value
        return made

    return step


def _within(frame: Frame, names: dict[str, Any], step: Step) -> Any:
    outer = frame.names
    frame.names = {**outer, **names}
    try:
        return step(frame)
    finally:
        frame.names = outer


def _bind(node: Bind) -> Step:
    value, body, name = _step(node.value), _step(node.body), node.name

    def step(frame: Frame) -> Any:
        held = value(frame)
        if not node.optional:
            return _within(frame, {name: held}, body)
        if not _held(held).present:
            return NOTHING
        result = _within(frame, {name: held.value}, body)
        return result if node.flat else Optional(result, present=True)

    return step


def _comprehension(node: Comprehension) -> Step:
    target, body = _step(node.target), _step(node.body)
    condition = _step(node.condition) if node.condition is not None else None
    gather = _GATHER[node.kind]

    def step(frame: Frame) -> Any:
        held = target(frame)
        if not isinstance(held, list | dict):
            raise no_overload()
        outer = frame.names
        frame.names = dict(outer)
        try:
            return gather(frame, held, _rounds(frame, held, node.names), condition, body)
        finally:
            frame.names = outer

    return step


def _rounds(frame: Frame, held: list[Any] | dict[Any, Any], names: tuple[str, ...]) -> Any:
    """Sets the macro's variables for each round; gives (key or index, element or key)."""
    pairs = held.items() if isinstance(held, dict) else enumerate(held)
    for key, value in pairs:
        frame.spend(2)
        single = key if isinstance(held, dict) else value
        if len(names) == 1:
            frame.names[names[0]] = single
        else:
            frame.names[names[0]], frame.names[names[1]] = key, value
        yield key, single


def _quantified(frame: Frame, rounds: Any, body: Step, *, decides: bool) -> bool:
    failure: CelError | None = None
    for _ in rounds:
        value, error = _decided(body, frame)
        if value is decides:
            return decides
        failure = failure or error
    if failure is not None:
        raise failure
    return not decides


def _all(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> bool:
    return _quantified(frame, rounds, body, decides=False)


def _exists(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> bool:
    return _quantified(frame, rounds, body, decides=True)


def _true(frame: Frame, step: Step | None) -> bool:
    if step is None:
        return True
    value = step(frame)
    if not isinstance(value, bool):
        raise no_overload()
    return value


def _exists_one(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> bool:
    return sum(_true(frame, body) for _ in rounds) == 1


def _mapped(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> list[Any]:
    frame.spend(LIST_COST)
    return [body(frame) for _ in rounds if _true(frame, condition)]


def _filtered(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> list[Any]:
    frame.spend(LIST_COST)
    return [element for _, element in rounds if _true(frame, body)]


def _transformed(frame: Frame, held: Any, rounds: Any, condition: Step | None, body: Step) -> dict[Any, Any]:
    frame.spend(MAP_COST)
    return {key: body(frame) for key, _ in rounds if _true(frame, condition)}


_GATHER: dict[str, Callable[[Frame, Any, Any, Step | None, Step], Any]] = {
    "all": _all,
    "exists": _exists,
    "exists_one": _exists_one,
    "map": _mapped,
    "filter": _filtered,
    "transformList": _mapped,
    "transformMap": _transformed,
}
