"""Selectors: labels, fields and nodes; parsed once, then matched many times.

Grammar, canonical text and error messages follow k8s.io/apimachinery ``pkg/labels`` and ``pkg/fields``. Parse errors
are SelectorError; the API server answers them as 400 BadRequest with the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pinnace.api import formats, meta
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.core.memo import memo


class SelectorError(ValueError):
    """A selector that cannot be understood; ``str(error)`` is upstream's message."""


IN, NOT_IN, EXISTS, DOES_NOT_EXIST = "in", "notin", "exists", "!"
EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS = "=", "==", "!=", "gt", "lt"


class Requirement(NamedTuple):
    """One term: a key, an operator and its values (sorted)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        held = labels.get(self.key)
        match self.operator:
            case "=" | "==":
                return held == self.values[0]
            case "in":
                return held in self.values
            case "notin" | "!=":
                return held not in self.values
            case "exists":
                return held is not None
            case "!":
                return held is None
            case _:
                left, right = _integer(held), _integer(self.values[0])
                if left is None or right is None:
                    return False
                return left > right if self.operator == GREATER else left < right

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
            case "gt":
                return f"{self.key}>{self.values[0]}"
            case "lt":
                return f"{self.key}<{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


def _integer(text: str | None) -> int | None:
    if text is None or not re.fullmatch(r"[+-]?[0-9]{1,19}", text, re.ASCII):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


class Selector:
    """Terms that must all hold. Immutable; ``str`` is the canonical text, equal for equal selectors."""

    __slots__ = ("_exact", "_match", "_text", "requirements")

    def __init__(self, requirements: Iterable[Requirement], *, nothing: bool = False) -> None:
        self.requirements = tuple(sorted(requirements, key=lambda r: r.key))
        self._text = ",".join(map(str, self.requirements))
        self._exact = {
            r.key: r.values[0]
            for r in self.requirements
            if r.operator in (EQUALS, DOUBLE_EQUALS) or (r.operator == IN and len(r.values) == 1)
        }
        self._match = _compile(self.requirements, nothing=nothing)

    @property
    def empty(self) -> bool:
        """Whether everything matches. The ``NOTHING`` selector is not empty."""
        return not self.requirements and self is not NOTHING

    def matches(self, labels: Mapping[str, str]) -> bool:
        return self._match(labels)

    def requires(self, key: str) -> str | None:
        """The one value that ``key`` must have for a match, if the selector demands one."""
        return self._exact.get(key)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Selector(nothing)" if self is NOTHING else f"Selector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return self.requirements == other.requirements and (self is NOTHING) == (other is NOTHING)

    def __hash__(self) -> int:
        return hash(self.requirements)


def _compile(requirements: tuple[Requirement, ...], *, nothing: bool) -> Callable[[Mapping[str, str]], bool]:
    if nothing:
        return lambda labels: False
    if not requirements:
        return lambda labels: True
    if all(r.operator in (EQUALS, DOUBLE_EQUALS) for r in requirements):
        pairs = tuple((r.key, r.values[0]) for r in requirements)
        if len(pairs) == 1:
            key, value = pairs[0]
            return lambda labels: labels.get(key) == value
        return lambda labels: all(labels.get(key) == value for key, value in pairs)
    if len(requirements) == 1:
        return requirements[0].matches
    return lambda labels: all(r.matches(labels) for r in requirements)


EVERYTHING = Selector(())
NOTHING = Selector((), nothing=True)


def requirement(key: str, operator: str, values: Iterable[str]) -> Requirement:
    """A checked term; raises SelectorError with every problem found."""
    held = tuple(sorted(set(values)))
    problems: list[str] = []
    bad_key = formats.label_key(key)
    if bad_key:
        problems.append(f"key: Invalid value: {go_quote(key)}: {'; '.join(bad_key)}")
    shown = "[" + ",".join(map(go_quote, held)) + "]"
    match operator:
        case "in" | "notin":
            if not held:
                problems.append(
                    f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty"
                )
        case "=" | "==" | "!=":
            if len(held) != 1:
                problems.append(f"values: Invalid value: {shown}: exact-match compatibility requires one single value")
        case "exists" | "!":
            if held:
                problems.append(
                    f"values: Invalid value: {shown}: values set must be empty for exists and does not exist"
                )
        case "gt" | "lt":
            if len(held) != 1:
                problems.append(
                    f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required"
                )
            problems += [
                f"values[{i}]: Invalid value: {go_quote(v)}: for 'Gt', 'Lt' operators, the value must be an integer"
                for i, v in enumerate(held)
                if _integer(v) is None
            ]
    for i, v in enumerate(held):
        bad_value = formats.label_value(v)
        if bad_value:
            problems.append(f"values[{i}][{key}]: Invalid value: {go_quote(v)}: {'; '.join(bad_value)}")
    if problems:
        raise SelectorError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return Requirement(key, operator, held)


_TOKENS = re.compile(r"[ \t\r\n]*(?:([^ \t\r\n=!(),><]+)|(==|!=|[=!(),><])|$)")
_OPERATORS = {"in": IN, "notin": NOT_IN, "=": EQUALS, "==": DOUBLE_EQUALS, "!=": NOT_EQUALS, ">": GREATER, "<": LESS}


class _Parser:
    """Recursive descent over ``(is word, text)`` tokens; the end of the text is ``(False, "")``."""

    def __init__(self, text: str) -> None:
        self.tokens = [(bool(m[1]), m[1] or m[2] or "") for m in _TOKENS.finditer(text)]
        if not self.tokens or self.tokens[-1] != (False, ""):
            self.tokens.append((False, ""))
        self.position = 0

    def peek(self) -> tuple[bool, str]:
        return self.tokens[min(self.position, len(self.tokens) - 1)]

    def take(self) -> tuple[bool, str]:
        token = self.peek()
        self.position += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            word, text = self.peek()
            if not word and text == "":
                return found
            if not word and text != "!":
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.term())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            word, text = self.take()
            if not word and text == "":
                return found
            if word or text != ",":
                raise SelectorError(f"found '{text}', expected: ',' or 'end of string'")
            word, text = self.peek()
            if not word and text != "!":
                raise SelectorError(f"found '{text}', expected: identifier after ','")

    def term(self) -> Requirement:
        word, key = self.take()
        negated = not word and key == "!"
        if negated:
            word, key = self.take()
        if not word:
            raise SelectorError(f"found '{key}', expected: identifier")
        bad_key = formats.label_key(key)
        if bad_key:
            raise SelectorError(f"key: Invalid value: {go_quote(key)}: {'; '.join(bad_key)}")
        if self.peek() in ((False, ""), (False, ",")):
            return Requirement(key, DOES_NOT_EXIST if negated else EXISTS)
        if negated:
            return requirement(key, DOES_NOT_EXIST, ())
        _, text = self.take()
        operator = _OPERATORS.get(text)
        if operator is None:
            raise SelectorError(f"found '{text}', expected: in, notin, =, ==, !=, gt, lt")
        return requirement(key, operator, self.set() if operator in (IN, NOT_IN) else [self.exact()])

    def exact(self) -> str:
        if self.peek() in ((False, ""), (False, ",")):
            return ""
        word, text = self.take()
        if not word:
            raise SelectorError(f"found '{text}', expected: identifier")
        return text

    def set(self) -> list[str]:
        word, text = self.take()
        if word or text != "(":
            raise SelectorError(f"found '{text}' expected: '('")
        if self.peek() == (False, ")"):
            self.take()
            return []
        values: list[str] = []
        current: str | None = None
        while True:
            word, text = self.take()
            if word:
                if current is not None:
                    raise SelectorError(f"found '{text}', expected: ',' or ')'")
                current = text
            elif text in (",", ")"):
                values.append(current or "")
                current = None
                if text == ")":
                    return values
            elif current is None:
                raise SelectorError(f"found '{text}', expected: ',', or identifier")
            else:
                raise SelectorError(f"found '{text}', expected: ',' or ')'")


@memo(2048)
def parse_label_selector(text: str) -> Selector:
    """The selector that ``a=b,c!=d,e in (f,g),h,!k,n>1`` writes. Raises SelectorError."""
    requirements = _Parser(text).parse()
    return Selector(requirements) if requirements else EVERYTHING


_LABEL_SELECTOR_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}


def label_selector(selector: Object | None) -> Selector:
    """The predicate of a metav1.LabelSelector: None selects nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return NOTHING
    found = [requirement(key, EQUALS, [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _LABEL_SELECTOR_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f"{go_quote(expression.get('operator', ''))} is not a valid label selector operator")
        found.append(requirement(expression.get("key", ""), operator, expression.get("values") or ()))
    return Selector(found) if found else EVERYTHING


def label_set(labels: Mapping[str, str] | None) -> Selector:
    """Exactly these labels, as ReplicationControllers and Services select; unchecked; none selects everything."""
    return Selector(Requirement(k, EQUALS, (v,)) for k, v in labels.items()) if labels else EVERYTHING


class FieldSelector(Selector):
    """A selector over fields: ``=``, ``==`` and ``!=`` only; an absent field is the empty string."""

    __slots__ = ()

    def __init__(self, requirements: Iterable[Requirement]) -> None:
        super().__init__(requirements)
        pairs = tuple((r.key, r.values[0], r.operator == EQUALS) for r in self.requirements)
        self._match = lambda fields: all((fields.get(key, "") == value) is equal for key, value, equal in pairs)
        self._text = ",".join(f"{r.key}{r.operator}{_escape(r.values[0])}" for r in self.requirements)

    @property
    def fields(self) -> tuple[str, ...]:
        """The field labels it looks at, to be held against those that the kind supports."""
        return tuple(r.key for r in self.requirements)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(value: str) -> str:
    out: list[str] = []
    escaped = False
    for char in value:
        if escaped:
            if char not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
            out.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(char)}")
        else:
            out.append(char)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)


_FIELD_TERM = re.compile(r"((?:\\.|[^\\,])*)(?:,|$)", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"((?:\\.|[^\\=!]|!(?!=))*)(!=|==|=)(.*)", re.DOTALL)


@memo(2048)
def parse_field_selector(text: str) -> FieldSelector:
    """The selector that ``spec.nodeName=n1,status.phase!=Running`` writes. Raises SelectorError."""
    requirements: list[Requirement] = []
    for term in sorted(_split_terms(text)):
        if not term:
            continue
        parts = _FIELD_OPERATOR.fullmatch(term)
        if parts is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = NOT_EQUALS if parts[2] == "!=" else EQUALS
        requirements.append(Requirement(parts[1], operator, (_unescape(parts[3]),)))
    return FieldSelector(requirements)


def _split_terms(text: str) -> list[str]:
    terms, start, escaped = [], 0, False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == ",":
            terms.append(text[start:i])
            start = i + 1
    return [*terms, text[start:]]


def _node_expression_matches(expression: Object, held: Mapping[str, str]) -> bool:
    key, operator = expression.get("key", ""), expression.get("operator")
    values: list[Any] = expression.get("values") or []
    value = held.get(key)
    match operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            left, right = _integer(value), _integer(values[0]) if len(values) == 1 else None
            if left is None or right is None:
                return False
            return left > right if operator == "Gt" else left < right
        case _:
            return False


def match_node_selector_term(term: Object, node: Object) -> bool:
    """Whether every expression of one NodeSelectorTerm holds for ``node``; an empty term matches no node."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = meta.labels(node)
    if not all(_node_expression_matches(e, labels) for e in expressions):
        return False
    known = {"metadata.name": meta.name(node)}
    return all(_node_expression_matches(e, known) for e in fields)


def match_node_selector_terms(terms: Iterable[Object] | None, node: Object) -> bool:
    """Whether one of the terms of a NodeSelector matches ``node``; no terms match no node."""
    return any(match_node_selector_term(term, node) for term in terms or ())


def match_node_affinity(pod: Object, node: Object) -> bool:
    """Whether ``node`` meets the Pod's nodeSelector and its required node affinity."""
    spec = pod.get("spec") or {}
    labels = meta.labels(node)
    if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or match_node_selector_terms(required.get("nodeSelectorTerms"), node)
