"""Sets of fields: their algebra, their order, and the paths that errors show."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api.apply import fieldset

ELEMENTS = st.sampled_from(
    ["f:a", "f:b", "f:name", 'k:{"name":"x"}', 'k:{"port":80}', 'k:{"port":443}', 'v:"x"', "v:2"]
)
PATHS = st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple)
SETS = st.lists(PATHS, max_size=8).map(lambda paths: fieldset.of_paths(*paths))


def members(fields: fieldset.Set) -> set[tuple[str, ...]]:
    return set(fieldset.paths(fields))


@given(SETS, SETS)
def test_sets_are_sets(left: fieldset.Set, right: fieldset.Set) -> None:
    """Union, difference and intersection are those of the members, and change neither side."""
    before = (members(left), members(right))
    assert members(fieldset.union(left, right)) == before[0] | before[1]
    assert members(fieldset.difference(left, right)) == before[0] - before[1]
    assert members(fieldset.intersection(left, right)) == before[0] & before[1]
    assert fieldset.touches(left, right) == bool(before[0] & before[1])
    assert fieldset.covers(left, right) == (before[1] <= before[0])
    assert (members(left), members(right)) == before


@given(SETS, SETS)
def test_one_form_for_each_set(left: fieldset.Set, right: fieldset.Set) -> None:
    """Equal sets are equal dicts, in the same order, and what a client sends back is the same set."""
    made, other = fieldset.union(left, right), fieldset.union(right, left)
    assert repr(made) == repr(other)
    assert repr(fieldset.decode(made)) == repr(made)
    assert not made or fieldset.union(made, left) is made
    assert fieldset.difference(made, {}) is made


@given(SETS, SETS)
def test_without_takes_what_is_below_too(fields: fieldset.Set, gone: fieldset.Set) -> None:
    roots = members(gone)
    kept = {p for p in members(fields) if not any(p[: len(root)] == root for root in roots)}
    assert members(fieldset.without(fields, gone)) == kept


def test_order() -> None:
    """Fields by name, then keys by their values (80 before 443), then values, as upstream writes them."""
    keys = ['k:{"port":443}', "v:10", "f:z", 'k:{"port":80}', 'v:"a"', "f:a", "v:9", "."]
    assert list(fieldset.ordered({key: {} for key in keys})) == [
        ".",
        "f:a",
        "f:z",
        'k:{"port":80}',
        'k:{"port":443}',
        "v:9",
        "v:10",
        'v:"a"',
    ]


def test_paths_as_errors_show_them() -> None:
    path = ("f:spec", "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}', "f:name")
    assert fieldset.shown(path) == '.spec.ports[containerPort=80,protocol="TCP"].name'
    assert fieldset.shown(("f:metadata", "f:finalizers", 'v:"x/y"')) == '.metadata.finalizers[="x/y"]'
    assert fieldset.shown(("f:a", "i:3")) == ".a[3]"


def test_what_clients_send_becomes_canonical() -> None:
    sent = {"f:b": {}, "f:a": {'k:{"protocol":"TCP", "port":1}': {"f:x": {}, ".": {}}}, "z:unknown": {}}
    found = fieldset.decode(sent)
    assert list(found) == ["f:a", "f:b"]
    assert found["f:a"] == {'k:{"port":1,"protocol":"TCP"}': {".": {}, "f:x": {}}}
    assert list(found["f:a"]['k:{"port":1,"protocol":"TCP"}']) == [".", "f:x"]


@pytest.mark.parametrize("wrong", [[], "x", {"nocolon": {}}, {"f:a": 1}, {"k:[1]": {}}, {"k:{": {}}, {"i:x": {}}])
def test_what_is_no_set_is_refused(wrong: Any) -> None:
    with pytest.raises(fieldset.FieldsError):
        fieldset.decode(wrong)
