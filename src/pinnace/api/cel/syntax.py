"""From text to a tree. Macros (``all``, ``exists``, ``map``, ``has``, ...) become nodes of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

#: Nesting and size that an expression may have.
MAX_DEPTH, MAX_LENGTH = 100, 100_000
#: Characters of an integer: more are too many in any base.
LONGEST_NUMBER = 40

_WORDS = "as break const continue else for function if import let loop package namespace return var void while"
_RESERVED = frozenset(_WORDS.split())
_TOKEN = re.compile(
    r"(?P<space>[\t\n\f\r ]+|//[^\n]*)"
    r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)"
    r"|(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''"
    r"|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>\|\||&&|==|!=|<=|>=|\?\.|\[\?|[-+*/%!<>?:.,()\[\]{}])",
    re.DOTALL,
)
_RAW = re.compile(r"(?:[rR][bB]?|[bB][rR])(?:\"\"\".*?\"\"\"|'''.*?'''|\"[^\"\n]*\"|'[^'\n]*')", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\?\"'`])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class CompileError(ValueError):
    """An expression that does not compile; ``str(error)`` is what cel-go's issues say."""


def problem(text: str, at: int, message: str) -> str:
    """An issue as cel-go shows it: place, message, and the line with a mark below it."""
    line = text.count("\n", 0, at)
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    shown = text[start : end if end >= 0 else len(text)].replace("\t", " ")
    column = at - start
    return f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {shown}\n | {'.' * column}^"


@dataclass(frozen=True, slots=True)
class Literal:
    value: Any
    kind: str  # int uint double string bytes bool null_type
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``; with ``test``, ``has(operand.field)``; with ``optional``, ``operand.?field``."""

    operand: Node
    field: str
    at: int
    test: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """``function(args)`` or ``target.function(args)``; operators are called ``_+_`` and so on."""

    function: str
    target: Node | None
    args: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class MakeList:
    elements: tuple[Node, ...]
    optional: frozenset[int]
    at: int


@dataclass(frozen=True, slots=True)
class MakeMap:
    entries: tuple[tuple[Node, Node, bool], ...]
    at: int


@dataclass(frozen=True, slots=True)
class MakeObject:
    """``Type.name{field: value}``: an object of a type, with fields that may be optional."""

    type_name: str
    fields: tuple[tuple[str, Node, bool], ...]
    at: int


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A macro over a list or map: ``kind`` of all, exists, exists_one, map, filter, transformList, transformMap."""

    kind: str
    target: Node
    names: tuple[str, ...]
    condition: Node | None
    body: Node
    at: int


@dataclass(frozen=True, slots=True)
class Bind:
    """``cel.bind(name, value, body)``; with ``optional``, ``value.optMap(name, body)`` (``flat``: optFlatMap)."""

    name: str
    value: Node
    body: Node
    at: int
    optional: bool = False
    flat: bool = False


Node: TypeAlias = "Literal | Name | Select | Call | MakeList | MakeMap | MakeObject | Comprehension | Bind"


def dotted(node: Node) -> str:
    """``a.b.c`` of names alone; "" for anything else."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select) and not node.test and not node.optional:
        below = dotted(node.operand)
        return f"{below}.{node.field}" if below else ""
    return ""


class Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[Token]:
    if len(text) > MAX_LENGTH:
        raise CompileError(problem(text, 0, f"expression code point size exceeds limit: size: {len(text)}"))
    found = []
    at = 0
    while at < len(text):
        match = _RAW.match(text, at) or _TOKEN.match(text, at)
        if match is None:
            raise CompileError(problem(text, at, f"Syntax error: token recognition error at: '{text[at]}'"))
        kind = match.lastgroup or "string"
        if kind != "space":
            found.append(Token(kind, match[0], at))
        at = match.end()
    found.append(Token("end", "<EOF>", len(text)))
    return found


def parse(text: str) -> Node:
    """Raises CompileError."""
    parser = _Parser(text)
    tree = parser.expression()
    if parser.token.kind != "end":
        parser.unexpected()
    return tree


_BINARY = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
_MACROS = {"all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (2, 3), "map": (2, 3), "filter": (2,)}
_MACROS |= {"transformList": (3, 4), "transformMap": (3, 4), "optMap": (2,), "optFlatMap": (2,)}


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._all = _tokens(text)
        self._at = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        return self._all[self._at]

    def fail(self, at: int, message: str) -> CompileError:
        return CompileError(problem(self._text, at, message))

    def unexpected(self) -> None:
        token = self.token
        raise self.fail(token.at, f"Syntax error: mismatched input '{token.text}'")

    def _take(self, *texts: str) -> Token | None:
        token = self.token
        if token.kind in ("op", "name") and token.text in texts:
            self._at += 1
            return token
        return None

    def _expect(self, text: str) -> Token:
        token = self._take(text)
        if token is None:
            raise self.fail(self.token.at, f"Syntax error: mismatched input '{self.token.text}' expecting '{text}'")
        return token

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.fail(self.token.at, f"expression recursion limit exceeded: {MAX_DEPTH}")
        condition = self._level(0)
        if question := self._take("?"):
            yes = self._level(0)
            self._expect(":")
            condition = Call("_?_:_", None, (condition, yes, self.expression()), question.at)
        self._depth -= 1
        return condition

    def _level(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._level(level + 1)
        while op := self._take(*_BINARY[level]):
            name = "@in" if op.text == "in" else f"_{op.text}_"
            left = Call(name, None, (left, self._level(level + 1)), op.at)
        return left

    def _unary(self) -> Node:
        for text in ("!", "-"):
            ops = []
            while op := self._take(text):
                ops.append(op)
            if ops:
                if text == "-" and len(ops) == 1 and self.token.kind in ("int", "float"):
                    return self._member(self._number(negative=True))
                inner = self._member(self._primary())
                return Call(f"{text}_", None, (inner,), ops[0].at) if len(ops) % 2 else inner
        return self._member(self._primary())

    def _member(self, node: Node) -> Node:
        while True:
            if dot := self._take("."):
                optional = self._take("?") is not None
                field = self._identifier()
                if not optional and (paren := self._take("(")):
                    node = self._method(node, field, self._arguments(")"), paren.at)
                else:
                    node = Select(node, field.text, dot.at, optional=optional)
            elif bracket := self._take("[?", "["):
                index = self.expression()
                self._expect("]")
                node = Call("_[?_]" if bracket.text == "[?" else "_[_]", None, (node, index), bracket.at)
            elif (name := dotted(node)) and (brace := self._take("{")):
                node = self._object(name, brace.at)
            else:
                return node

    def _identifier(self) -> Token:
        token = self.token
        if token.kind != "name" or token.text in ("true", "false", "null", "in"):
            self.unexpected()
        self._at += 1
        return token

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._take(end):
            if found:
                self._expect(",")
            found.append(self.expression())
        return tuple(found)

    def _primary(self) -> Node:
        token = self.token
        if token.kind in ("int", "float"):
            return self._number(negative=False)
        if token.kind == "string":
            self._at += 1
            return self._string(token)
        if self._take("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if bracket := self._take("[?"):
            return self._list(bracket.at, optional_first=True)
        if bracket := self._take("["):
            return self._list(bracket.at, optional_first=False)
        if brace := self._take("{"):
            return self._map(brace.at)
        self._take(".")
        if self.token.kind != "name":
            self.unexpected()
        return self._named()

    def _named(self) -> Node:
        token = self.token
        self._at += 1
        if token.text in ("true", "false"):
            return Literal(token.text == "true", "bool", token.at)
        if token.text == "null":
            return Literal(None, "null_type", token.at)
        if token.text in _RESERVED:
            raise self.fail(token.at, f"reserved identifier: {token.text}")
        paren = self._take("(")
        if paren is None:
            return Name(token.text, token.at)
        args = self._arguments(")")
        if token.text == "has":
            if len(args) != 1 or not isinstance(args[0], Select):
                raise self.fail(paren.at, "invalid argument to has() macro")
            return Select(args[0].operand, args[0].field, paren.at, test=True)
        return Call(token.text, None, args, paren.at)

    def _list(self, at: int, *, optional_first: bool) -> Node:
        found: list[Node] = []
        optional: set[int] = set()
        if optional_first:
            optional.add(0)
        while not self._take("]"):
            if found:
                self._expect(",")
                if self._take("]"):
                    break
            if self._take("?"):
                optional.add(len(found))
            found.append(self.expression())
        return MakeList(tuple(found), frozenset(optional), at)

    def _map(self, at: int) -> Node:
        found: list[tuple[Node, Node, bool]] = []
        while not self._take("}"):
            if found:
                self._expect(",")
                if self._take("}"):
                    break
            optional = self._take("?") is not None
            key = self.expression()
            self._expect(":")
            found.append((key, self.expression(), optional))
        return MakeMap(tuple(found), at)

    def _object(self, name: str, at: int) -> Node:
        found: list[tuple[str, Node, bool]] = []
        while not self._take("}"):
            if found:
                self._expect(",")
                if self._take("}"):
                    break
            optional = self._take("?") is not None
            field = self._identifier()
            self._expect(":")
            found.append((field.text, self.expression(), optional))
        return MakeObject(name, tuple(found), at)

    def _number(self, *, negative: bool) -> Node:
        token = self.token
        self._at += 1
        sign = "-" if negative else ""
        if token.kind == "float":
            return Literal(float(sign + token.text), "double", token.at)
        text = token.text.rstrip("uU")
        if len(text) > LONGEST_NUMBER:
            raise self.fail(token.at, "invalid int literal")
        value = int(sign + text, 16 if text.startswith("0x") else 10)
        if text != token.text:
            if not 0 <= value < 1 << 64:
                raise self.fail(token.at, "invalid uint literal")
            return Literal(value, "uint", token.at)
        if not -(1 << 63) <= value < 1 << 63:
            raise self.fail(token.at, "invalid int literal")
        return Literal(value, "int", token.at)

    def _string(self, token: Token) -> Node:
        text = token.text
        prefix = text[: len(text) - len(text.lstrip("rRbB"))].lower()
        body = text[len(prefix) :]
        quotes = 3 if body[:3] in ('"""', "'''") else 1
        body = body[quotes:-quotes]
        is_bytes = "b" in prefix
        if "r" not in prefix:
            stray = re.sub(_ESCAPE, "", body)
            if "\\" in stray:
                raise self.fail(token.at, "unable to unescape string")
            body = _ESCAPE.sub(lambda found: _unescaped(found, is_bytes=is_bytes), body)
        if is_bytes:
            return Literal(body.encode("utf-8", "surrogateescape"), "bytes", token.at)
        return Literal(body, "string", token.at)

    def _method(self, target: Node, field: Token, args: tuple[Node, ...], at: int) -> Node:
        name = field.text
        if isinstance(target, Name) and target.name == "cel" and name == "bind" and len(args) == 3:
            return Bind(self._variable(args[0]), args[1], args[2], at)
        if name not in _MACROS or len(args) not in _MACROS[name]:
            return Call(name, target, args, at)
        if name in ("optMap", "optFlatMap"):
            return Bind(self._variable(args[0]), target, args[1], at, optional=True, flat=name == "optFlatMap")
        return self._comprehension("exists_one" if name == "existsOne" else name, target, args, at)

    def _comprehension(self, name: str, target: Node, args: tuple[Node, ...], at: int) -> Node:
        if name in ("transformList", "transformMap"):
            names = (self._variable(args[0]), self._variable(args[1]))
            return Comprehension(name, target, names, args[2] if len(args) == 4 else None, args[-1], at)
        if name == "map" and len(args) == 3:
            return Comprehension(name, target, (self._variable(args[0]),), args[1], args[2], at)
        return Comprehension(name, target, tuple(self._variable(arg) for arg in args[:-1]), None, args[-1], at)

    def _variable(self, node: Node) -> str:
        if not isinstance(node, Name):
            raise self.fail(node.at, "argument must be a simple name")
        return node.name


def _unescaped(found: re.Match[str], *, is_bytes: bool) -> str:
    plain, byte, short, long, octal = found.groups()
    if plain is not None:
        return _ESCAPES.get(plain, plain)
    if byte is not None or octal is not None:
        code = int(byte, 16) if byte is not None else int(octal, 8)
        return bytes((code,)).decode("utf-8", "surrogateescape") if is_bytes else chr(code)
    return chr(int(short or long, 16))
