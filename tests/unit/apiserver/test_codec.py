"""The canonical bytes: encoded once, the revision put in by the store."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import builtin
from pinnace.apiserver.resources import codec
from pinnace.store.protocol import KeyValue

json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(json, json, st.integers(1, 2**62), st.integers(1, 2**62))
def test_stamping_changes_the_revision_and_nothing_else(spec: object, extra: object, first: int, second: int) -> None:
    obj = {
        "spec": {"metadata": {"resourceVersion": "no"}, "x": spec},
        "metadata": {"name": "a", "annotations": {"b": extra}, "resourceVersion": "old"},
        "apiVersion": "v1",
        "kind": "Pod",
    }
    value = codec.encode(obj)
    for revision in (first, second):
        value = codec.stamp(value, revision)
        expected = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}  # type: ignore[dict-item]
        assert orjson.loads(value) == expected


def test_encoding_leaves_the_object_alone() -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "7"}}
    codec.encode(obj)
    assert obj == {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "resourceVersion": "7"}}


def test_what_is_no_object_is_not_stamped() -> None:
    assert codec.stamp(b"\x00\x01", 5) == b"\x00\x01"


def test_a_deleted_object_has_the_revision_of_its_deletion() -> None:
    row = builtin.registry().get("", "v1", "pods")
    assert row is not None
    value = codec.stamp(codec.encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}}), 3)
    kv = KeyValue("/registry/pods/d/a", value, 3, 3, 1)
    assert orjson.loads(codec.deleted_bytes(kv, row, 9))["metadata"] == {"resourceVersion": "9", "name": "a"}
    assert codec.decoded(kv)["metadata"]["resourceVersion"] == "3"
    assert codec.decoded(kv) is codec.decoded(kv)
