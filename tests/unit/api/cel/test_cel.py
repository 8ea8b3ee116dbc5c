"""CEL: what compiles and what it gives, what does not and why, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.api import cel
from pinnace.api.cel import types as t
from pinnace.api.cel.values import CelError, CostError

SELF = t.object_of(
    "object",
    {
        "n": t.INT,
        "d": t.DOUBLE,
        "s": t.STRING,
        "b": t.BOOL,
        "list": t.list_of(t.object_of("item", {"k": t.STRING, "v": t.INT})),
        "ints": t.list_of(t.INT),
        "map": t.map_of(t.STRING, t.STRING),
        "any": t.DYN,
        "gone": t.STRING,
    },
)
VALUE: dict[str, Any] = {
    "n": 3,
    "d": 1.5,
    "s": "hello",
    "b": True,
    "list": [{"k": "a", "v": 1}, {"k": "b", "v": 2}],
    "ints": [3, 1, 2],
    "map": {"x": "y"},
    "any": 7,
}


def evaluate(text: str, budget: float = 1e6) -> Any:
    program, _, _ = cel.compiled(text, {"self": SELF})
    return program.evaluate({"self": VALUE}, budget)[0]


@pytest.mark.parametrize(
    "text",
    [
        "self.n + 1 == 4 && self.n * 2 - 6 == 0 && 7 / 2 == 3 && -7 / 2 == -3 && -7 % 3 == -1",
        "self.d < 2 && self.n > 2.5",
        "self.s + ' world' == 'hello world' && self.s.size() == 5 && size(self.ints) == 3",
        "has(self.s) && !has(self.gone)",
        "self.list.all(x, x.v > 0) && self.list.exists(x, x.k == 'b') && self.list.exists_one(x, x.v == 2)",
        "self.list.map(x, x.k) == ['a', 'b'] && self.list.map(x, x.v > 1, x.k) == ['b']",
        "self.ints.filter(x, x > 1) == [3, 2] && self.ints.sum() == 6 && self.ints.max() == 3 && self.ints.min() == 1",
        "!self.ints.isSorted() && self.ints.indexOf(1) == 1",
        "'x' in self.map && self.map['x'] == 'y' && self.map.all(k, k.size() == 1) && self.map.all(k, v, k != v)",
        "self.ints[0] == 3 && 2 in self.ints && !(9 in self.ints)",
        "self.b ? self.n == 3 : false",
        "true || self.gone == 'x'",
        "self.gone == 'x' || true",
        "!(false && self.gone == 'x')",
        "self.s.matches('^h.*o$') && self.s.find('l+') == 'll' && self.s.findAll('[eo]') == ['e', 'o']",
        "self.s.upperAscii() == 'HELLO' && self.s.substring(1, 3) == 'el' && self.s.charAt(1) == 'e'",
        "self.s.replace('l', 'L', 1) == 'heLlo' && 'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
        "'%s is %d, %.2f %x'.format([self.s, self.n, self.d, 255]) == 'hello is 3, 1.50 ff'",
        "int('12') == 12 && string(1.0) == '1' && double(1) == 1.0 && bytes('a') == b'a'",
        "duration('1h30m') > duration('80m') && duration('90s').getMinutes() == 1",
        "timestamp('2026-01-02T03:04:05Z').getHours() == 3 && timestamp('2026-01-01T00:00:00Z').getDayOfWeek() == 4",
        "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
        "quantity('1Gi').isGreaterThan(quantity('1G'))",
        "quantity('1').add(quantity('500m')).compareTo(quantity('1.5')) == 0",
        "isQuantity('1k') && !isQuantity('x') && quantity('2').asInteger() == 2",
        "url('https://u@example.com:80/p?q=1').getHostname() == 'example.com' && !isURL('nope')",
        "ip('10.0.0.1').family() == 4 && isIP('::1') && ip('127.0.0.1').isLoopback()",
        "cidr('10.0.0.0/8').containsIP('10.9.9.9')",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.1.2.3/8').masked().ip() == ip('10.0.0.0')",
        "format.dns1123Label().validate('Nope').hasValue()",
        "!format.named('dns1123Label').value().validate('ok').hasValue()",
        "semver('1.2.3-rc.1').isLessThan(semver('1.2.3')) && isSemver('v1', true) && semver('1.10.0').minor() == 10",
        "self.?gone.orValue('z') == 'z' && self.?s.hasValue() && optional.none().or(optional.of(1)).value() == 1",
        "self.map[?'nope'].orValue('n') == 'n' && [?self.?gone, 'a'] == ['a']",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])",
        "cel.bind(x, self.n + 1, x * x == 16)",
        "type(self.n) == int && type(self.s) != int && type(self.list) == list",
        "self.any == 7 && self.any > 6",
        "self.list.transformMap(i, x, x.v)[1] == 2",
        r"r'\d' == '\\d' && '''it's''' == 'it\'s' && '\u00e9' == 'é'",
        "1u < 2u && 0x10 == 16 && 1e3 == 1000.0",
    ],
)
def test_true(text: str) -> None:
    assert evaluate(text) is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.foo", "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^"),
        ("self.n +\n self.s", "ERROR: <input>:1:8: found no matching overload for '_+_' applied to '(int, string)'"),
        ("other", "ERROR: <input>:1:1: undeclared reference to 'other' (in container '')"),
        ("nope(1)", "ERROR: <input>:1:5: undeclared reference to 'nope' (in container '')"),
        ("self.s.nope()", "undeclared reference to 'nope' (in container '')"),
        ("self.s.size(1)", "found no matching overload for 'size' applied to 'string.(int)'"),
        ("self.n == self.s", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.n.x", "type 'int' does not support field selection"),
        ("[1, 'a']", "expected type 'int' but found 'string'"),
        ("duration('x') == duration('1s')", "ERROR: <input>:1:10: invalid duration argument"),
        ("timestamp('x') == timestamp('2020-01-01T00:00:00Z')", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("'a'.matches('[')", "ERROR: <input>:1:13: invalid matches argument"),
        ("self.list.all(x, x.nope > 1)", "undefined field 'nope'"),
        ("self.list.all(x, x.k)", "expected type 'bool' but found 'string'"),
        ("self.n.all(x, true)", "cannot be range of a comprehension"),
        ("self.n +", "Syntax error"),
        ("(1", "Syntax error: mismatched input '<EOF>' expecting ')'"),
        ("has(self)", "invalid argument to has() macro"),
        ("'a\nb'", "Syntax error"),
        ("package == 1", "reserved identifier: package"),
        ("99999999999999999999", "invalid int literal"),
        ("9" * 5000, "invalid int literal"),
        ("(" * 200 + "1" + ")" * 200, "expression recursion limit exceeded"),
    ],
)
def test_does_not_compile(text: str, said: str) -> None:
    with pytest.raises(cel.CompileError) as caught:
        cel.compiled(text, {"self": SELF})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.gone == 'x'", "no such key: gone"),
        ("self.ints[9] == 1", "index out of bounds: 9"),
        ("self.n / 0 == 1", "division by zero"),
        ("self.n % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + self.n > 0", "integer overflow"),
        ("self.any.size() == 1", "no such overload"),
        ("self.s.matches('(' + '')", "error parsing regexp: missing closing ): `(`"),
        ("quantity('x').isInteger()", "quantities must match"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("int('" + "9" * 5000 + "') > 0", "invalid syntax"),
        ("duration('" + "1" * 5000 + "' + '') > duration('1s')", "invalid duration"),
        ("timestamp('9999-12-31T00:00:00Z') + duration('2540400h') > timestamp('2026-01-01T00:00:00Z')", "range error"),
        ("'%.99999f'.format([1.0]) == ''", "precision 99999 is more than 1000"),
        (
            "cel.bind(a, ['aaaaaaaaaa'].map(x, x.replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa')"
            ".replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa')"
            ".replace('a', 'aaaaaaaaaa').replace('a', 'aaaaaaaaaa')), a.size() == 0)",
            "more than 10000000",
        ),
    ],
)
def test_fails_when_evaluated(text: str, said: str) -> None:
    with pytest.raises(CelError) as caught:
        evaluate(text)
    assert said in str(caught.value)


def test_cost_is_bounded() -> None:
    with pytest.raises(CostError, match="actual cost limit exceeded"):
        evaluate("self.ints.all(x, self.ints.all(y, x + y > 0))", budget=20)
    _, cost = cel.compiled("self.n == 3", {"self": SELF})[0].evaluate({"self": VALUE}, 100)
    assert 1 < cost < 10


def test_used_variables_are_told() -> None:
    both = {"self": SELF, "oldSelf": SELF}
    assert cel.compiled("self.n >= oldSelf.n", both)[2] == {"self", "oldSelf"}
    assert cel.compiled("self.ints.all(oldSelf, oldSelf > 0)", both)[2] == {"self"}


_PARTS = (
    "self self.n self.s self.list self.ints self.map self.any x 1 0 2.5 1u 'a' b'a' true null [ ] ( ) { } . ? : , + "
    "- * / % ! < <= == != in && || .all(x, .exists(x, .map(x, .filter(x, has( size( int( duration( .size() .matches( "
    ".format( .split('') .indexOf('a') .?n [?0] cel.bind(x, quantity( ip( optional.of( .sum() .isSorted()"
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_PARTS.split(" ")), max_size=14))
def test_whatever_is_written_fails_as_it_should_or_not_at_all(parts: list[str]) -> None:
    text = " ".join(parts)
    text += ")" * max(0, text.count("(") - text.count(")"))
    try:
        program, _, _ = cel.compiled(text, {"self": SELF})
        program.evaluate({"self": VALUE}, 10_000)
    except (cel.CompileError, CelError, CostError):
        return
