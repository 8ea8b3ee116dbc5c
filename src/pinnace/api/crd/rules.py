"""``x-kubernetes-validations``: rules in CEL over the values of a structural schema.

``definition_errors`` checks the rules of a schema when its definition is written: a rule that does not compile is
refused. ``compiled`` makes the function that a custom resource's row calls: transition rules see the old value, an
error of a rule without ``oldSelf`` is forgiven where nothing was changed, and the cost of each rule and of all of them
is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from pinnace.api import cel
from pinnace.api.cel import types
from pinnace.api.cel.times import to_duration, to_timestamp
from pinnace.api.cel.types import Type
from pinnace.api.cel.values import CelError, CostError, MapList, Optional, SetList
from pinnace.api.crd import budget, sizes
from pinnace.api.crd.listtypes import key_of
from pinnace.api.crd.schemas import RULES
from pinnace.api.crd.structural import Structural, has
from pinnace.api.crd.values import NOWHERE
from pinnace.api.errors import (
    FieldError,
    GoText,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from pinnace.api.patches.json_patch import equal
from pinnace.api.types import Object

Errors = list[FieldError]
#: What one rule may cost, and all rules of one object together (cel-go's units).
CALL_LIMIT, OBJECT_BUDGET = 1_000_000, 10_000_000
MAX_MESSAGE = 5 * 1024
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_KEYWORDS = frozenset(
    "true false null in as break const continue else for function if import let loop package namespace return var "  # noqa: SIM905
    "void while".split()
)
_ESCAPABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_SPECIAL = re.compile(r"__|[./-]")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def escaped(name: str) -> str:
    """A field's name as rules write it; "" if they cannot."""
    if name in _KEYWORDS:
        return f"__{name}__"
    if not _ESCAPABLE.fullmatch(name):
        return ""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], name)


_META = types.object_of("kubernetes.ObjectMeta", {"name": types.STRING, "generateName": types.STRING})
_SCALARS = {"boolean": types.BOOL, "number": types.DOUBLE, "integer": types.INT}
_FORMATS = {"byte": types.BYTES, "duration": types.DURATION, "date": types.TIMESTAMP, "date-time": types.TIMESTAMP}


def type_of(schema: Structural, *, root: bool = False) -> Type | None:
    """The type of a schema's values; None if rules cannot look at them."""
    key = "root type" if root else "type"
    if key not in schema.derived:
        schema.derived[key] = _type_of(schema, root=root)
    found: Type | None = schema.derived[key]
    return found


def _type_of(schema: Structural, *, root: bool) -> Type | None:
    if schema.int_or_string:
        return types.DYN
    if schema.type == "array":
        element = type_of(schema.items) if schema.items is not None else None
        return types.list_of(element) if element is not None else None
    if schema.type == "object":
        if schema.additional is not None:
            value = type_of(schema.additional)
            return types.map_of(types.STRING, value) if value is not None else None
        fields: dict[str, Type] = {}
        for name, child in schema.properties.items():
            found, key = type_of(child), escaped(name)
            if found is not None and key:
                fields[key] = found
        if root or schema.embedded:
            fields |= {"apiVersion": types.STRING, "kind": types.STRING, "metadata": _META}
        return types.object_of("object", fields)
    if schema.type == "string":
        return _FORMATS.get(schema.node.get("format") or "", types.STRING)
    return _SCALARS.get(schema.type)


def value_of(value: Any, schema: Structural | None, *, root: bool = False) -> Any:
    """A JSON value as rules see it. Raises CelError for text that is not of its format."""
    if schema is None or value is None or schema.int_or_string:
        return value
    if isinstance(value, dict):
        return _object_of(value, schema, root=root)
    if isinstance(value, list):
        return _list_of(value, schema)
    if isinstance(value, str) and schema.type == "string":
        return _text_of(value, schema.node.get("format") or "")
    if isinstance(value, int) and not isinstance(value, bool) and schema.type == "number":
        return float(value)
    if isinstance(value, float) and schema.type == "integer":
        return int(value)
    return value


def _object_of(value: Object, schema: Structural, *, root: bool) -> Object:
    if schema.additional is not None:
        return {key: value_of(member, schema.additional) for key, member in value.items()}
    made: Object = {}
    for key, member in value.items():
        known = schema.properties.get(key)
        if (root or schema.embedded) and key in ("apiVersion", "kind", "metadata"):
            made[key] = member
        elif known is not None and (name := escaped(key)):
            made[name] = value_of(member, known)
    return made


def _list_of(value: list[Any], schema: Structural) -> list[Any]:
    made = [value_of(element, schema.items) for element in value]
    if schema.list_type == "set":
        return SetList(made)
    if schema.list_type == "map":
        result = MapList(made)
        result.keys = tuple(map(escaped, schema.list_map_keys))
        return result
    return made


def _text_of(value: str, format: str) -> Any:
    if format == "byte":
        import base64

        try:
            return base64.b64decode(value, validate=True)
        except ValueError as error:
            raise CelError(str(error)) from None
    if format == "duration":
        return to_duration(value)
    if format == "date":
        return to_timestamp(f"{value}T00:00:00Z")
    return to_timestamp(value) if format == "date-time" else value


class _Rule:
    """One rule, compiled."""

    __slots__ = ("field", "message", "optional_old", "program", "reason", "said", "text", "uses_old")

    def __init__(self, rule: Object, self_type: Type) -> None:
        """Raises CompileError."""
        self.text = rule["rule"].strip()
        self.said: str = (rule.get("message") or "").strip()
        self.reason: str = rule.get("reason") or ""
        self.field = normalized_field(rule.get("fieldPath") or "")
        self.optional_old = bool(rule.get("optionalOldSelf"))
        names = _names_of(rule, self_type)
        self.program, result, used = cel.compiled(rule["rule"], names)
        if result.kind != "bool":
            raise _ResultError("cel expression must evaluate to a bool")
        self.uses_old = "oldSelf" in used
        self.message: cel.Program | None = None
        if (rule.get("messageExpression") or "").strip():
            try:
                self.message, kind, _ = cel.compiled(rule["messageExpression"], names)
            except cel.CompileError as error:
                raise _MessageError(f"messageExpression compilation failed: {error}") from None
            if kind.kind != "string":
                raise _MessageError("messageExpression must evaluate to a string")

    @property
    def shown(self) -> str:
        """What errors call it."""
        return self.said or self.text


class _ResultError(ValueError):
    """A rule that is no condition."""


class _MessageError(ValueError):
    """A rule whose messageExpression is wrong."""


class _Node:
    """The rules of one schema node and of those below it."""

    __slots__ = ("additional", "items", "properties", "root", "rules", "schema")

    def __init__(self, schema: Structural, *, root: bool) -> None:
        self.schema = schema
        self.root = root
        self_type = type_of(schema, root=root)
        self.rules = []
        if self_type is not None:
            self.rules = [_Rule(rule, self_type) for rule in schema.node.get(RULES) or ()]
        self.properties = {
            name: node for name, child in schema.properties.items() if (node := _node(child)) is not None
        }
        self.items = _node(schema.items) if schema.items is not None else None
        self.additional = _node(schema.additional) if schema.additional is not None else None


def _node(schema: Structural, *, root: bool = False) -> _Node | None:
    """None if there are no rules in it. Raises what ``_Rule`` raises."""
    key = "root rules" if root else "rules"
    if key not in schema.derived:
        schema.derived[key] = _Node(schema, root=root) if has(schema.node, RULES) else None
    found: _Node | None = schema.derived[key]
    return found


def compiled(schema: Structural, *, root: bool = True) -> Callable[[Any, Any], Errors] | None:
    """``(new, old or None)`` -> what the rules say; None if there are none. The rules compile: they were checked."""
    node = _node(schema, root=root)
    if node is None:
        return None
    return lambda new, old: _Run().check(node, new, old)


class _BudgetError(Exception):
    """No further rule is to be run."""


class _Run:
    """All rules over one object."""

    def __init__(self) -> None:
        self._left: float = OBJECT_BUDGET
        self._errors: Errors = []

    def check(self, node: _Node, new: Any, old: Any, path: str = "") -> Errors:
        try:
            self._visit(node, new, old, (new, old), path)
        except _BudgetError:
            pass
        return self._errors

    def _visit(self, node: _Node, new: Any, old: Any, nearest: tuple[Any, Any], path: str) -> None:
        """``nearest``: the nearest value around whose state before is known, and that state."""
        if new is None:
            return
        if node.rules:
            self._rules(node, new, old, nearest, path)
        if isinstance(new, list):
            if node.items is not None:
                for index, element in enumerate(new):
                    before = _before(node.schema, old, element)
                    around = nearest if before is None else (element, before)
                    self._visit(node.items, element, before, around, f"{path}[{index}]")
        elif isinstance(new, dict):
            held = old if isinstance(old, dict) else {}
            for key, member in new.items():
                below = node.properties.get(key)
                where = f"{path}.{key}" if path else key
                if below is None and node.additional is not None and key not in node.schema.properties:
                    below, where = node.additional, f"{path}[{key}]"
                if below is not None:
                    around = (member, held[key]) if key in held else nearest
                    self._visit(below, member, held.get(key), around, where)

    def _rules(self, node: _Node, new: Any, old: Any, nearest: tuple[Any, Any], path: str) -> None:
        kind = node.schema.type
        try:
            names = {"self": value_of(new, node.schema, root=node.root)}
            before = value_of(old, node.schema, root=node.root) if old is not None else None
        except CelError as error:
            self._errors.append(invalid_value(path or NOWHERE, kind, str(error)))
            return
        for rule in node.rules:
            if rule.uses_old:
                if old is None and not rule.optional_old:
                    continue
                names["oldSelf"] = Optional(before, present=old is not None) if rule.optional_old else before
            if self._holds(rule, names, kind, path):
                continue
            where = path
            if rule.field:
                where = f"{path}.{rule.field}" if path else rule.field
            failure = self._failure(rule, names, new, kind, where or NOWHERE)
            if rule.uses_old or nearest[1] is None or not equal(*nearest):
                self._errors.append(failure)

    def _spend(self, rule: _Rule, kind: str, path: str, program: cel.Program, names: Mapping[str, Any]) -> Any:
        if self._left <= 0:
            self._errors.append(invalid_value(path or NOWHERE, kind, _OUT_OF_BUDGET))
            raise _BudgetError
        try:
            value, cost = program.evaluate(names, min(CALL_LIMIT, self._left))
        except CostError as error:
            said = _OUT_OF_BUDGET
            if self._left > CALL_LIMIT:
                limit = "no further validation rules will be run due to call cost exceeds limit for rule"
                said = f"'{error}': {limit}: {rule.shown}"
            self._errors.append(invalid_value(path or NOWHERE, kind, said))
            raise _BudgetError from None
        self._left -= cost
        return value

    def _holds(self, rule: _Rule, names: Mapping[str, Any], kind: str, path: str) -> bool:
        """Whether nothing (more) is to be said of the rule."""
        try:
            return self._spend(rule, kind, path, rule.program, names) is True
        except CelError as error:
            said = f"{error} evaluating rule: {rule.shown}"
            if str(error).startswith("no such overload"):
                why = "call arguments did not match a supported operator, function or macro signature for rule"
                said = f"'{error}': {why}: {rule.shown}"
            self._errors.append(invalid_value(path or NOWHERE, kind, said))
            return True

    def _failure(self, rule: _Rule, names: Mapping[str, Any], value: Any, kind: str, path: str) -> FieldError:
        detail = rule.said or f"failed rule: {rule.text}"
        if rule.message is not None:
            try:
                text = self._spend(rule, kind, path, rule.message, names)
            except CelError:
                text = ""
            if isinstance(text, str) and (text := text.strip()) and "\n" not in text and len(text) <= MAX_MESSAGE:
                detail = text
        if rule.reason == "FieldValueForbidden":
            return forbidden_field(path, detail)
        if rule.reason == "FieldValueRequired":
            return required(path, detail)
        whole = kind in ("object", "array")
        if rule.reason == "FieldValueDuplicate":
            return FieldError("FieldValueDuplicate", path, "Duplicate value") if whole else duplicate(path, value)
        if whole:
            return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")
        return invalid_value(path, value, detail)


def _before(schema: Structural, old: Any, element: Any) -> Any:
    """What an element of a list was before, of lists whose elements have keys."""
    if not isinstance(old, list) or schema.list_type != "map":
        return None
    wanted = key_of(element, schema)
    return next((item for item in old if key_of(item, schema) == wanted), None)


def normalized_field(path: str) -> str:
    """``.spec['a.b']`` -> ``spec.a.b``, as errors show it."""
    text = re.sub(r"\['((?:\\.|[^'\\])*)'\]", lambda found: "." + re.sub(r"\\(.)", r"\1", found[1]), path.strip())
    return text.removeprefix(".")


def definition_errors(schema: Structural, at: str, *, blocked: Sequence[str] = (), compiles: bool = True) -> Errors:
    """What is wrong with the rules in a schema. ``blocked``: what else is wrong in it; of rules around that only the
    form counts, and of all where the schema is none that ``compiles``."""
    check = _DefinitionCheck(blocked=blocked, compiles=compiles)
    check.node(schema, at, "", 1, root=True)
    return check.errors + check.budget.errors(at)


class _DefinitionCheck:
    """All rules of one schema, when its definition is written."""

    def __init__(self, *, blocked: Sequence[str], compiles: bool) -> None:
        self.errors: Errors = []
        self.budget = budget.Budget()
        self._blocked = blocked
        self._compiles = compiles

    def node(self, schema: Structural, at: str, apart: str, times: int | None, *, root: bool = False) -> bool:
        """Whether nothing else than rules is wrong in it. ``apart``: the first place around whose old and new values
        cannot be matched, "" if there is none; ``times``: how often the node's values are there at most, None if
        nothing bounds that."""
        clean = not any(field == at or field.startswith((f"{at}.", f"{at}[")) for field in self._blocked)
        below = sizes.repeated(schema, times)
        if schema.additional is not None:
            clean &= self.node(schema.additional, f"{at}.additionalProperties", apart, below)
        for name, child in sorted(schema.properties.items()):
            clean &= self.node(child, f"{at}.properties[{name}]", apart, below)
        if schema.items is not None:
            uncorrelated = apart or ("" if schema.list_type == "map" else at)
            clean &= self.node(schema.items, f"{at}.items", uncorrelated, below)
        found = schema.node.get(RULES) or []
        for index, rule in enumerate(found):
            wrong = _form_errors(rule, schema, f"{at}.{RULES}[{index}]")
            self.errors += wrong
            clean &= not wrong
        for index, rule in enumerate(found if clean and self._compiles else ()):
            self.errors += self._rule(rule, schema, f"{at}.{RULES}[{index}]", apart, times, root=root)
        return clean

    def _rule(self, rule: Object, schema: Structural, at: str, apart: str, times: int | None, *, root: bool) -> Errors:
        self_type, size = type_of(schema, root=root), sizes.of(schema, root=root)
        if self_type is None or size is None:
            why = "failed to convert to declType for CEL validation rules"
            return [FieldError("InternalError", at.rpartition("[")[0], f"Internal error: {why}")]
        errors: Errors = []
        try:
            cost = cel.worst_cost(rule["rule"], _names_of(rule, self_type), partial(sizes.at, size))
            errors += self.budget.spend(f"{at}.rule", "estimated rule cost", cost * budget.times(size, times))
            made = _Rule(rule, self_type)
        except cel.CompileError as error:
            return [invalid_value(f"{at}.rule", _go_rule(rule), f"compilation failed: {error}")]
        except _ResultError as error:
            return [invalid_value(f"{at}.rule", _go_rule(rule), str(error))]
        except _MessageError as error:
            return [*errors, invalid_value(f"{at}.messageExpression", _go_rule(rule), str(error))]
        if made.message is not None:
            cost = cel.worst_cost(rule["messageExpression"], _names_of(rule, self_type), partial(sizes.at, size))
            errors += self.budget.spend(f"{at}.messageExpression", "estimated messageExpression cost", cost)
        if made.uses_old and apart:
            why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {apart}"
            errors.append(invalid_value(f"{at}.rule", rule["rule"], why))
        elif not made.uses_old and rule.get("optionalOldSelf") is not None:
            why = "may not be set if oldSelf is not used in rule"
            errors.append(invalid_value(f"{at}.optionalOldSelf", rule["optionalOldSelf"], why))
        return errors


def _names_of(rule: Object, self_type: Type) -> dict[str, Type]:
    """The variables of a rule over values of that type."""
    return {"self": self_type, "oldSelf": types.optional_of(self_type) if rule.get("optionalOldSelf") else self_type}


def _form_errors(rule: Object, schema: Structural, at: str) -> Errors:
    errors: Errors = []
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.append(required(f"{at}.rule", "rule is not specified"))
    elif message and not message.strip():
        errors.append(invalid_value(f"{at}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid_value(f"{at}.message", message, "must not contain line breaks"))
    elif ("\n" in text or "\r" in text) and not message.strip():
        errors.append(required(f"{at}.message", "message must be specified if rule contains line breaks"))
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        errors.append(required(f"{at}.messageExpression", "messageExpression must be non-empty if specified"))
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.append(not_supported(f"{at}.reason", reason, _REASONS))
    path = rule.get("fieldPath") or ""
    if path:
        if not path.strip():
            errors.append(invalid_value(f"{at}.fieldPath", path, "must be non-empty if specified"))
        if "\n" in path or "\r" in path:
            errors.append(invalid_value(f"{at}.fieldPath", path, "must not contain line breaks"))
        if not _field_exists(schema, path):
            errors.append(invalid_value(f"{at}.fieldPath", path, "must be a valid path"))
    return errors


_STEP = re.compile(r"\.([^.\[\]]+)|\['((?:\\.|[^'\\])*)'\]")


def _field_exists(schema: Structural, path: str) -> bool:
    at = 0
    here: Structural | None = schema
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or here is None:
            return False
        name = step[1] if step[1] is not None else re.sub(r"\\(.)", r"\1", step[2])
        here = here.properties.get(name) if here.properties else here.additional
        at = step.end()
    return here is not None


def _go_rule(rule: Object) -> GoText:
    """A rule as upstream's errors show it."""
    shown = {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    text = orjson.dumps(shown).decode()
    for plain, escaped_as in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(plain, escaped_as)
    return GoText(text)


def check_default(schema: Structural, value: Any, at: str) -> Errors:
    """What the rules of ``schema`` say of its default; nothing if one of them does not compile."""
    try:
        node = _node(schema)
    except (cel.CompileError, _ResultError, _MessageError):
        return []
    if node is None:
        return []
    return _Run().check(node, value, None, at)
