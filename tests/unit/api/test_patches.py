from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinnace.api import meta
from pinnace.api.errors import ApiError
from pinnace.api.patches import json_patch, merge_patch, strategic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("doc", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1]}, [{"op": "remove", "path": "/a/0"}], {"a": []}),
        ({"a/b": 1, "c~d": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/c~0d"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1.0}], {"a": 1}),
        ({}, [{"op": "test", "path": "/a", "value": None}], {}),
    ],
)
def test_json_patch(doc: Any, operations: list[dict[str, Any]], expected: Any) -> None:
    before = meta.copy(doc)
    assert json_patch.apply(doc, operations) == expected
    assert doc == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/t", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/none/b", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "move", "from": "/o", "path": "/o/x"},
        {"op": "copy", "from": "/none", "path": "/a"},
        {"op": "nope", "path": "/a"},
        {"path": "/a"},
    ],
)
def test_a_json_patch_that_does_not_apply_is_422(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch.apply({"a": 1, "l": [1, 2], "o": {}, "t": True}, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert caught.value.message == "the server rejected our request due to an error in our request"


def test_what_is_no_json_patch_is_refused() -> None:
    for bad in ({}, "x", [1], None):
        with pytest.raises(ApiError) as caught:
            json_patch.apply({}, bad)
        assert caught.value.code == 400
    with pytest.raises(ApiError) as caught:
        json_patch.apply({}, [{"op": "test", "path": "/a", "value": None}] * 10_001)
    assert caught.value.code == 413
    assert caught.value.message == (
        "Request entity is too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    )


@given(JSON, JSON, st.text("ab/~", max_size=2))
def test_add_then_test_then_remove_restores_the_document(value: Any, doc: Any, key: str) -> None:
    base = {"other": doc}
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    steps = [
        {"op": "add", "path": path, "value": value},
        {"op": "test", "path": path, "value": value},
        {"op": "remove", "path": path},
    ]
    assert json_patch.apply(base, steps) == base


@pytest.mark.parametrize(
    ("doc", "patch", "expected"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(doc: Any, patch: Any, expected: Any) -> None:
    before = meta.copy(doc)
    assert merge_patch.merge(doc, patch) == expected
    assert doc == before


def test_a_merge_patch_is_an_object() -> None:
    with pytest.raises(ApiError) as caught:
        merge_patch.apply({}, [1])
    assert caught.value.code == 400
    assert "cannot unmarshal array" in caught.value.message


@given(JSON, JSON)
def test_merging_twice_is_merging_once(doc: Any, patch: Any) -> None:
    once = merge_patch.merge(doc, patch)
    assert merge_patch.merge(once, patch) == once


@dataclass
class Info:
    kind: str = "array"
    ref: str = ""
    patch_strategy: set[str] = field(default_factory=set)
    merge_key: str = ""


SCHEMA = {
    "Pod": {"spec": Info("object", "Spec"), "metadata": Info("object", "Meta")},
    "Meta": {"finalizers": Info(patch_strategy={"merge"}), "labels": Info("map")},
    "Spec": {
        "containers": Info(ref="Container", patch_strategy={"merge"}, merge_key="name"),
        "tolerations": Info(ref="Toleration"),
        "strategy": Info("object", "Strategy", {"retainKeys"}),
        "affinity": Info("object", "Affinity", {"replace"}),
    },
    "Container": {"env": Info(ref="Env", patch_strategy={"merge"}, merge_key="name"), "args": Info()},
}
POD: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"]},
    "spec": {
        "containers": [
            {"name": "a", "image": "1", "env": [{"name": "E", "value": "1"}], "args": ["p", "q"]},
            {"name": "b", "image": "2"},
        ],
        "tolerations": [{"key": "t"}],
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
        "affinity": {"podAffinity": {"x": 1}},
    },
}


def patched(patch: dict[str, Any]) -> dict[str, Any]:
    before = meta.copy(POD)
    result = strategic.apply(POD, patch, "Pod", lambda definition: SCHEMA.get(definition, {}))
    assert before == POD
    return result


def spec(patch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = patched({"spec": patch})["spec"]
    return found


def test_lists_merge_by_key() -> None:
    containers = spec({"containers": [{"name": "a", "image": "9", "env": [{"name": "F", "value": "2"}]}]})["containers"]
    assert containers == [
        {
            "name": "a",
            "image": "9",
            "env": [{"name": "F", "value": "2"}, {"name": "E", "value": "1"}],
            "args": ["p", "q"],
        },
        {"name": "b", "image": "2"},
    ]


def test_new_elements_come_first() -> None:
    assert [c["name"] for c in spec({"containers": [{"name": "z"}]})["containers"]] == ["z", "a", "b"]


def test_elements_can_be_deleted_and_lists_replaced() -> None:
    assert [c["name"] for c in spec({"containers": [{"name": "a", "$patch": "delete"}]})["containers"]] == ["b"]
    assert spec({"containers": [{"$patch": "replace"}, {"name": "n"}]})["containers"] == [{"name": "n"}]
    assert spec({"containers": None}).get("containers") is None


def test_atomic_lists_and_replaced_objects() -> None:
    assert spec({"tolerations": [{"key": "u"}]})["tolerations"] == [{"key": "u"}]
    assert spec({"containers": [{"name": "a", "args": ["z"]}]})["containers"][0]["args"] == ["z"]
    assert spec({"affinity": {"nodeAffinity": {}}})["affinity"] == {"nodeAffinity": {}}


def test_object_directives() -> None:
    assert spec({"strategy": {"$patch": "replace", "type": "Recreate"}})["strategy"] == {"type": "Recreate"}
    assert spec({"strategy": {"$patch": "delete"}})["strategy"] == {}
    assert spec({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}})["strategy"] == {"type": "Recreate"}


def test_primitive_lists_merge_and_lose_elements() -> None:
    assert patched({"metadata": {"finalizers": ["z", "x"]}})["metadata"]["finalizers"] == ["z", "x", "y"]
    removed = patched({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}})
    assert removed["metadata"]["finalizers"] == ["y"]


def test_set_element_order() -> None:
    order = [{"name": "b"}, {"name": "a"}]
    assert [c["name"] for c in spec({"$setElementOrder/containers": order})["containers"]] == ["b", "a"]
    change = {"$setElementOrder/containers": [{"name": "n"}, {"name": "b"}], "containers": [{"name": "n"}]}
    assert [c["name"] for c in spec(change)["containers"]] == ["n", "a", "b"]
    finalizers = patched({"metadata": {"$setElementOrder/finalizers": ["z", "y"], "finalizers": ["z"]}})
    assert finalizers["metadata"]["finalizers"] == ["z", "x", "y"]


def test_nulls_delete_and_do_not_arrive_in_new_objects() -> None:
    assert patched({"metadata": {"labels": {"a": None, "b": "2"}}})["metadata"]["labels"] == {"b": "2"}
    assert spec({"new": {"kept": 1, "dropped": None}})["new"] == {"kept": 1}


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array"),
        (
            {"spec": {"containers": [{"image": "x"}]}},
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        ({"spec": {"containers": [{"name": ["a"]}]}}, 400, "the merge key name must be a scalar"),
        ({"spec": {"strategy": {"$retainKeys": ["type"], "other": 1}}}, 400, strategic.BAD_RETAIN_KEYS),
        ({"spec": {"$patch": "explode"}}, 500, "unknown patch type: explode in map: map[$patch:explode]"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, 400, strategic.BAD_PRIMITIVE_LIST),
        ({"spec": {"$setElementOrder/containers": 1}}, 400, strategic.BAD_ORDER_LIST),
    ],
)
def test_bad_strategic_patches(patch: Any, code: int, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        patched(patch)
    assert caught.value.code == code
    assert message in caught.value.message


@given(st.permutations(["a", "b", "c", "d"]), st.lists(st.sampled_from("abcdefg"), unique=True))
def test_merging_keeps_every_element_once_and_the_patch_in_its_order(held: list[str], given_: list[str]) -> None:
    doc = {"spec": {"containers": [{"name": name, "old": True} for name in held]}}
    patch = {"spec": {"containers": [{"name": name, "new": True} for name in given_]}}
    merged = strategic.apply(doc, patch, "Pod", lambda definition: SCHEMA.get(definition, {}))
    names = [c["name"] for c in merged["spec"]["containers"]]
    assert sorted(names) == sorted({*held, *given_})
    assert [n for n in names if n in given_] == given_
    assert [n for n in names if n not in given_] == [n for n in held if n not in given_]
    again = strategic.apply(merged, patch, "Pod", lambda definition: SCHEMA.get(definition, {}))
    assert again == merged


def test_patches_too_deep_to_be_meant_are_refused() -> None:
    deep: Any = {}
    for _ in range(5000):
        deep = {"spec": deep}
    with pytest.raises(ApiError, match="exceeded max depth"):
        merge_patch.apply({}, deep)
    with pytest.raises(ApiError, match="exceeded max depth"):
        json_patch.apply({}, [{"op": "add", "path": "/a", "value": deep}])
    with pytest.raises(ApiError, match="exceeded max depth"):
        strategic.apply({}, deep, "")


def test_the_real_schema_knows_the_merge_keys() -> None:
    deployment: dict[str, Any] = {
        "spec": {
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {
                "spec": {
                    "containers": [
                        {"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
                        {"name": "side", "image": "busybox"},
                    ],
                    "volumes": [{"name": "v", "emptyDir": {}}],
                    "tolerations": [{"key": "a"}],
                }
            },
        }
    }
    patch = {
        "spec": {
            "strategy": {"$retainKeys": ["type"], "type": "Recreate"},
            "template": {
                "spec": {
                    "$setElementOrder/containers": [{"name": "web"}],
                    "containers": [
                        {"name": "web", "image": "nginx:2", "ports": [{"containerPort": 80, "name": "http"}]},
                    ],
                    "volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}],
                    "tolerations": [{"key": "b"}],
                }
            },
        }
    }
    spec = strategic.apply(deployment, patch, "io.k8s.api.apps.v1.Deployment")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"] == {
        "containers": [
            {
                "name": "web",
                "image": "nginx:2",
                "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}],
            },
            {"name": "side", "image": "busybox"},
        ],
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
        "tolerations": [{"key": "b"}],
    }
