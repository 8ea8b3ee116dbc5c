"""Values against schemas: upstream's words, pruning, defaults, list types, JSON paths, formats."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnace.api import meta
from pinnace.api.crd import defaulting, formats, jsonpath, listtypes, patterns, pruning
from pinnace.api.crd.structural import Structural
from pinnace.api.crd.values import Validator, go_number


def errors(node: Any, value: Any) -> list[str]:
    return list(map(str, Validator({"type": "object", "properties": {"x": node}}).validate({"x": value})))


@pytest.mark.parametrize(
    ("node", "value", "said"),
    [
        ({"type": "integer"}, "a", 'x: Invalid value: "string": x in body must be of type integer: "string"'),
        ({"type": "integer"}, 1.5, 'x: Invalid value: "number": x in body must be of type integer: "number"'),
        ({"type": "string"}, None, 'x: Invalid value: "null": x in body must be of type string: "null"'),
        ({"type": "boolean"}, 1, 'x: Invalid value: "integer": x in body must be of type boolean: "integer"'),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'x: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "integer", "minimum": 2}, 1, "x: Invalid value: 1: x in body should be greater than or equal to 2"),
        (
            {"type": "integer", "minimum": 2, "exclusiveMinimum": True},
            2,
            "x: Invalid value: 2: x in body should be greater than 2",
        ),
        (
            {"type": "number", "maximum": 0.5},
            0.7,
            "x: Invalid value: 0.7: x in body should be less than or equal to 0.5",
        ),
        ({"type": "integer", "multipleOf": 3}, 4, "x: Invalid value: 4: x in body should be a multiple of 3"),
        ({"type": "string", "maxLength": 2}, "abc", "x: Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "a", 'x: Invalid value: "a": x in body should be at least 2 chars long'),
        ({"type": "string", "pattern": "^a$"}, "b", "x: Invalid value: \"b\": x in body should match '^a$'"),
        (
            {"type": "string", "format": "date-time"},
            "b",
            'x: Invalid value: "b": x in body must be of type date-time: "b"',
        ),
        ({"type": "array", "maxItems": 1}, [1, 2], "x: Too many: 2: must have at most 1 item"),
        ({"type": "array", "minItems": 1}, [], "x: Invalid value: 0: x in body should have at least 1 items"),
        ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, "x: Too many: 2: must have at most 1 item"),
        (
            {"type": "object", "minProperties": 1},
            {},
            "x: Invalid value: 0: x in body should have at least 1 properties",
        ),
        ({"type": "object", "required": ["a"]}, {}, "x.a: Required value"),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], "x[1]: Invalid value"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"k": 1}, "x.k: Invalid value"),
        (
            {"type": "string", "anyOf": [{"enum": ["a"]}]},
            "b",
            '<nil>: Invalid value: "": "x" must validate at least one',
        ),
        ({"type": "string", "not": {"enum": ["a"]}}, "a", '<nil>: Invalid value: "": "x" must not validate the schema'),
        (
            {"type": "string", "allOf": [{"enum": ["a"]}]},
            "b",
            '"x" must validate all the schemas (allOf). None validated',
        ),
        ({"x-kubernetes-int-or-string": True}, [], 'x in body must be of type integer,string: "array"'),
        (
            {"type": "integer", "format": "int32"},
            1 << 31,
            "Checked value must be of type integer with format int32 in x",
        ),
    ],
)
def test_refused(node: Any, value: Any, said: str) -> None:
    found = errors(node, value)
    assert any(error.startswith(said) or said in error for error in found), found


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"type": "number"}, 3),
        ({"type": "integer"}, 3.0),
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "80%"),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
        ({"type": "string", "format": "no-such-format"}, "anything"),
        ({"type": "string", "oneOf": [{"enum": ["a"]}, {"enum": ["b"]}]}, "b"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"a": {"b": 1}}),
    ],
)
def test_accepted(node: Any, value: Any) -> None:
    assert errors(node, value) == []


SCHEMA = Structural(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "default": {},
                "properties": {
                    "a": {"type": "string", "default": "d"},
                    "list": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
                    },
                    "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {}}},
                    "free": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                        "properties": {"known": {"type": "object", "properties": {}}},
                    },
                    "null": {"type": "string", "nullable": True},
                    "plain": {"type": "string"},
                },
            }
        },
    }
)


def test_pruning_tells_what_it_drops() -> None:
    obj: Any = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"anything": 1},
        "extra": 1,
        "spec": {
            "a": "x",
            "no": 1,
            "list": [{"n": 1, "m": 2}],
            "map": {"k": {"x": 1}},
            "free": {"z": {"y": 1}, "known": {"q": 1}},
        },
    }
    unknown: list[str] = []
    pruning.prune(obj, SCHEMA, unknown)
    assert unknown == ["extra", "spec.free.known.q", "spec.list[0].m", "spec.map.k.x", "spec.no"]
    assert obj["spec"] == {"a": "x", "list": [{"n": 1}], "map": {"k": {}}, "free": {"z": {"y": 1}, "known": {}}}
    assert obj["metadata"] == {"anything": 1}


def test_nulls_and_defaults() -> None:
    obj: Any = {"spec": {"a": None, "list": [{}, {"n": 5}], "null": None, "plain": None}}
    pruning.prune_nulls(obj, SCHEMA)
    defaulting.default(obj, SCHEMA)
    assert obj == {"spec": {"a": "d", "list": [{"n": 1}, {"n": 5}], "null": None}}
    empty: Any = {}
    defaulting.default(empty, SCHEMA)
    assert empty == {"spec": {"a": "d"}}
    empty["spec"]["a"] = "changed"
    assert SCHEMA.properties["spec"].default == {}


names = st.sampled_from(("a", "list", "map", "free", "n", "k"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_pruning_and_defaulting_twice_is_once(spec: Any) -> None:
    obj = {"spec": spec}
    pruning.prune(obj, SCHEMA)
    pruning.prune_nulls(obj, SCHEMA)
    defaulting.default(obj, SCHEMA)
    once = meta.copy(obj)
    unknown: list[str] = []
    pruning.prune(obj, SCHEMA, unknown)
    pruning.prune_nulls(obj, SCHEMA)
    defaulting.default(obj, SCHEMA)
    assert (obj, unknown) == (once, [])


def test_ratcheting_leaves_what_was_there() -> None:
    node = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "maxLength": 1},
            "l": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {
                    "type": "object",
                    "properties": {"k": {"type": "string"}, "v": {"type": "string", "maxLength": 1}},
                },
            },
        },
    }
    validator, schema = Validator(node), Structural(node)
    old = {"a": "long", "l": [{"k": "1", "v": "long"}]}
    new = {"a": "long", "l": [{"k": "0", "v": "x"}, {"k": "1", "v": "long"}]}
    assert validator.validate_update(new, old, schema) == []
    worse = {"a": "longer", "l": [{"k": "1", "v": "longer"}]}
    assert [error.field for error in validator.validate_update(worse, old, schema)] == ["a", "l[0].v"]


def test_list_types() -> None:
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"]}
    schema = Structural({"type": "object", "properties": {"l": {**keyed, "items": {"type": "object"}}}})
    found: list[Any] = []
    listtypes.validate(found, {"l": [{"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1}, {"a": 1, "b": 2}]}, schema)
    assert [str(error) for error in found] == ['l[2]: Duplicate value: {"a":1,"b":2}']


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ('.c[?(@.type=="Ready")].status', ["True"]),
        (".c[0].type", ["Ready"]),
        (".c[-1:].type", ["Other"]),
        (".c[*].status", ["True", "False"]),
        (r".m.dotted\.key", ["v"]),
        (".m['dotted.key']", ["v"]),
        ("..status", ["True", "False"]),
        (".c[?(@.n>1)].type", ["Other"]),
        (".nope.x", []),
        (".c[7].type", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    conditions = [{"type": "Ready", "status": "True", "n": 1}, {"type": "Other", "status": "False", "n": 2}]
    assert jsonpath.compiled(path)({"a": {"b": 1}, "c": conditions, "m": {"dotted.key": "v"}}) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", "a", ".a[?(@.b ~ 1)]"])
def test_json_paths_that_do_not_parse(path: str) -> None:
    with pytest.raises(jsonpath.PathError):
        jsonpath.compiled(path)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05.5Z", "2026-01-02 03:04:05"),
        ("date", "2026-02-28", "2026-02-30"),
        ("duration", "1h30m", "fast"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("email", "a@example.com", "a"),
        ("uri", "https://example.com/x", "nope"),
        ("hostname", "example.com", "-bad-"),
        ("mac", "00:00:5e:00:53:01", "00:00"),
        ("byte", "aGk=", "%"),
        ("hexcolor", "#fff", "#ff"),
        ("k8s-short-name", "a-b", "A"),
        ("credit-card", "4111111111111111", "4111111111111112"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    check = formats.check_of(name)
    assert check is not None
    assert (check(good), check(bad)) == (True, False)


def test_patterns_are_gos_and_linear() -> None:
    assert patterns.matcher(r"^\p{Greek}+$")("αβγ")
    assert not patterns.matcher("^(a+)+$")("a" * 100_000 + "b")
    with pytest.raises(patterns.PatternError, match="invalid or unsupported Perl syntax"):
        patterns.compiled("(?=a)")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.5, "0.5"), (1e6, "1e+06"), (123456.0, "123456"), (1e-5, "1e-05"), (-2.5e21, "-2.5e+21")],
)
def test_numbers_as_go_prints_them(value: float, text: str) -> None:
    assert go_number(value) == text
