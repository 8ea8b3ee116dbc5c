"""What rules may cost at most, as upstream estimates it, and what is said of those that may cost too much.

The figures are those of apiextensions' and cel-go's own tests for the same schemas and rules.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pinnace.api import cel
from pinnace.api.crd import rules, sizes
from pinnace.api.crd.structural import Structural
from pinnace.api.types import Object

TEXT: Object = {"type": "string"}
OBJECT: Object = {"type": "object", "properties": {"required": TEXT, "optional": TEXT}, "required": ["required"]}
SCALARS: dict[str, Object] = {
    "int-or-string": {"x-kubernetes-int-or-string": True},
    "duration": {"type": "string", "format": "duration"},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
}


def item(kind: Any) -> Object:
    return kind if isinstance(kind, dict) else SCALARS.get(kind, {"type": kind})


def array(kind: Any, most: int | None = None) -> Object:
    return bounded({"type": "array", "items": item(kind)}, "maxItems", most)


def mapping(kind: Any, most: int | None = None) -> Object:
    return bounded({"type": "object", "additionalProperties": item(kind)}, "maxProperties", most)


def text(most: int | None = None, **more: Any) -> Object:
    return bounded({"type": "string", **more}, "maxLength", most)


def bounded(schema: Object, keyword: str, most: int | None) -> Object:
    return schema if most is None else {**schema, keyword: most}


def cost(schema: Object, rule: str, *, root: bool = False) -> int:
    node = Structural(schema)
    type_, size = rules.type_of(node, root=root), sizes.of(node, root=root)
    assert type_ is not None
    return cel.worst_cost(rule, {"self": type_, "oldSelf": type_}, partial(sizes.at, size))


NUMBERS = {"x": {"type": "number"}, "y": {"type": "number"}}


@pytest.mark.parametrize(
    ("schema", "rule", "expected"),
    [
        (array("number"), "self.all(x, true)", 4718591),
        (array("number", 10), "self.all(x, true)", 32),
        (array("string"), "self.all(x, true)", 3145727),
        (array("boolean"), "self.all(x, true)", 1887437),
        (array(array("number")), "self.all(x, true)", 3145727),
        (array(OBJECT), "self.all(x, true)", 555128),
        (mapping("number"), "self.all(x, true)", 1348169),
        (mapping("string"), "self.all(x, true)", 1179647),
        (mapping("boolean"), "self.all(x, true)", 943718),
        (text(), "self.contains('test')", 314574),
        (text(10), "self.contains('test')", 5),
        (text(), "self.startsWith('test')", 2),
        (text(), "self.endsWith('test')", 2),
        (text(), 'size(self + "hello") > size("hello")', 314578),
        (text(4), 'size(self + "hello") > size("hello")', 7),
        (array("number"), "self[1] == 0.0", 2),
        (array("string"), "self[1] == self[1]", 314577),
        (array("string", 8), "self[1] == self[1]", 314577),
        (array("number", 10), "self.all(x, self.all(y, true))", 352),
        (array("number", 10), "self.all(x, self.all(y, self.all(z, true)))", 3552),
        (text(), 'self.matches("x")', 314574),
        (text(50), 'self.matches("x")', 22),
        (text(), '"".matches("(((((((((())))))))))[0-9]")', 7),
        (text(), 'self.matches("")', 1),
        (mapping("string"), "self.all(x, x.contains(self[x]))", 2752507),
        (mapping(text(10), 10), "self.all(x, x.contains(self[x]))", 72),
        (array("number", 0), "self[3] == 0.0", 2),
        (mapping("number"), 'self["x"] == 0.0', 2),
        (text(), 'self == "x"', 2),
        (text(0), 'self == "x"', 1),
        (text(format="byte"), 'self == b"x"', 2),
        (text(0, format="byte"), 'self == b"x"', 1),
        (array("number"), "self.all(x, x == 0.0)", 6291454),
        (array("number", 3 * 1024 * 2048), "self.all(x, x == 0.0)", 25165826),
        (array(mapping(OBJECT)), 'self.all(x, x["y"].required == "z")', 7340027),
        (array(mapping(OBJECT, 10), 10), 'self.all(x, x["y"].required == "z")', 72),
        (array("int-or-string"), "self.all(x, true)", 4718591),
        (array("int-or-string"), "self[0] == 5", 3),
        (array("boolean"), "self[0] == false", 2),
        (array(OBJECT), "self[0] == null", 2),
        (array(array("number")), "self[0][0] == -1.0", 3),
        (array(mapping("number")), "self.all(x, x.y == 25.2)", 6291452),
        (array(mapping("number"), 12), "self.all(x, x.y == 25.2)", 74),
        (array(mapping("number")), "self[0].x > 2.0", 4),
        (array("duration"), "self.all(x, true)", 2359295),
        (array("duration"), "self[0].getHours() == 2", 4),
        (array("date"), "self.all(x, true)", 725936),
        (array("date"), "self[2].getDayOfMonth() == 13", 4),
        (array("date-time"), "self.all(x, true)", 428963),
        (mapping("int-or-string"), "self.all(x, true)", 1348169),
        (mapping(OBJECT), "self.all(x, true)", 428963),
        (mapping(mapping("number")), "self.all(x, true)", 1179647),
        (mapping(array("number")), "self.all(x, true)", 1179647),
        (mapping("duration"), "self.all(x, true)", 1048577),
        (mapping("date"), "self.all(x, true)", 524288),
        (mapping("date-time"), "self.all(x, true)", 349526),
        (text(), "self.find('[0-9]+') == ''", 629147),
        (text(10), "self.find('[0-9]+') == ''", 11),
        (array("string"), "self.join(' ') == 'aa bb'", 329853068905),
        (array(text(10), 10), "self.join(' ') == 'aa bb'", 43),
        (array("string"), "self.isSorted() == true", 329854432052),
        (array(text(10), 10), "self.isSorted() == true", 52),
        (text(), "self.lowerAscii() == 'lower!'", 314575),
        (text(10), "self.lowerAscii() == 'lower!'", 6),
        (mapping("integer"), "oldSelf.size() == self.size()", 5),
        (mapping("date-time"), 'self["a"] == self["b"]', 8),
        (mapping("duration"), 'self["c"] == self["d"]', 8),
        (text(enum=["A", "B", "C", "LongValue"]), "self.contains('A')", 2),
        (text(1000, enum=["A", "B", "C", "LongValue"]), "self.contains('A')", 401),
        (item("int-or-string"), "isQuantity(self)", 314574),
        ({**item("int-or-string"), "maxLength": 20}, "isQuantity(self)", 9),
        (
            {"type": "object", "properties": {"str": text(), "before": text(2), "after": text(4)}},
            "self.str.replace(self.before, self.after) == 'does not matter'",
            629154,
        ),
        (
            {"type": "object", "properties": {"str": text(), "separator": text()}},
            "self.str.split(self.separator) == []",
            629160,
        ),
    ],
)
def test_the_worst_cost_is_upstreams(schema: Object, rule: str, expected: int) -> None:
    assert cost(schema, rule) == expected


def test_names_are_no_longer_than_names_may_be() -> None:
    assert cost({"type": "object"}, "self.metadata.name.contains('x')", root=True) == 105
    named = {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": text(10)}}}}
    assert cost(named, "self.metadata.name.contains('x')", root=True) == 7


def errors(schema: Object) -> list[str]:
    return [str(found) for found in rules.definition_errors(Structural(schema), "at")]


ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def in_spec(schema: Object, rule: Object) -> Object:
    field = {**schema, "x-kubernetes-validations": [rule]}
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": {"list": field}}}}


def test_a_rule_that_may_cost_too_much_is_refused_until_its_lists_are_bounded() -> None:
    rule = {"rule": "self.all(x, self.exists(y, x == y))"}
    at = "at.properties[spec].properties[list].x-kubernetes-validations[0].rule"
    assert errors(in_spec(array("string"), rule)) == [
        f"{at}: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {ADVICE}",
        f"{at}: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema",
        "at: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget "
        f"by factor of more than 100x {ADVICE}",
    ]
    assert not errors(in_spec(array(text(10), 10), rule))


def test_the_factor_is_shown_as_exactly_as_it_matters() -> None:
    at = "at.properties[spec].properties[list].x-kubernetes-validations[0].rule"
    assert errors(in_spec(array("number", 3_400_000), {"rule": "self.all(x, true)"})) == [
        f"{at}: Forbidden: estimated rule cost exceeds budget by factor of 1.020000x {ADVICE}"
    ]
    assert errors(in_spec(array("number", 10_000_000), {"rule": "self.all(x, true)"})) == [
        f"{at}: Forbidden: estimated rule cost exceeds budget by factor of 3.0x {ADVICE}"
    ]


def test_a_rule_counts_as_often_as_its_values_may_be_there() -> None:
    element = {**text(20), "x-kubernetes-validations": [{"rule": "self.contains('abcdefghijklmnop')"}]}
    spec = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"list": array(element)}}}}
    at = "at.properties[spec].properties[list].items.x-kubernetes-validations[0].rule"
    assert errors(spec)[0] == (f"{at}: Forbidden: estimated rule cost exceeds budget by factor of 1.8x {ADVICE}")
    spec["properties"]["spec"]["properties"]["list"]["maxItems"] = 1000
    assert not errors(spec)


def test_messages_are_counted_too() -> None:
    rule = {"rule": "true", "messageExpression": "self.map(x, x + x).join(', ')"}
    at = "at.properties[spec].properties[list].x-kubernetes-validations[0].messageExpression"
    assert errors(in_spec(array("string"), rule))[0] == (
        f"{at}: Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x {ADVICE}"
    )
