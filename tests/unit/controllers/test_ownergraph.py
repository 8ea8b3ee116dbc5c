"""The graph of owners, held against what it is computed from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinnace.api.resources import CONFIG_MAPS
from pinnace.api.types import Object
from pinnace.controllers.ownergraph import FOREGROUND, ORPHAN, OwnerGraph

UIDS = st.sampled_from("abcdef")
OBJECTS = st.tuples(
    UIDS,
    st.dictionaries(UIDS, st.booleans(), max_size=3),
    st.sampled_from([(False, []), (True, []), (True, [FOREGROUND]), (True, [ORPHAN])]),
)


def config_map(uid: str, owners: dict[str, bool], deleting: bool, finalizers: list[str]) -> Object:
    refs = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": owner, "blockOwnerDeletion": block}
        for owner, block in owners.items()
    ]
    metadata: Object = {"name": uid, "namespace": "default", "uid": uid, "ownerReferences": refs}
    if deleting:
        metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


@given(st.lists(st.one_of(OBJECTS, UIDS), max_size=40))
def test_dependents_are_those_that_name_their_owner(
    changes: list[tuple[str, dict[str, bool], tuple[bool, list[str]]] | str],
) -> None:
    graph = OwnerGraph()
    model: dict[str, dict[str, bool]] = {}
    for change in changes:
        if isinstance(change, str):
            work = graph.gone(change)
            if model.pop(change, None) is not None:
                # Whoever named it as an owner is looked at.
                assert {uid for uid, owners in model.items() if change in owners} <= set(work.examine)
        else:
            uid, owners, (deleting, finalizers) = change
            before = model.get(uid)
            work = graph.observe(CONFIG_MAPS, config_map(uid, owners, deleting, finalizers))
            model[uid] = owners
            if owners and before != owners:
                assert uid in work.examine
        assert len(graph) == len(model)
        for owner in model:
            node = graph.get(owner)
            assert node is not None
            expected = {uid for uid, owners in model.items() if owner in owners}
            assert {dependent.uid for dependent in graph.dependents(node)} == expected
            blocking = {uid for uid, owners in model.items() if owners.get(owner)}
            assert {dependent.uid for dependent in graph.blocking(node)} == blocking


def test_the_same_again_is_no_work() -> None:
    graph = OwnerGraph()
    obj = config_map("a", {"b": True}, False, [])
    assert graph.observe(CONFIG_MAPS, obj).examine == ["a"]
    again = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "2", "labels": {"x": "y"}}}
    assert graph.observe(CONFIG_MAPS, again).examine == []


def test_what_foreground_and_orphan_begin() -> None:
    graph = OwnerGraph()
    graph.observe(CONFIG_MAPS, config_map("owner", {}, False, []))
    graph.observe(CONFIG_MAPS, config_map("child", {"owner": True}, False, []))
    begun = graph.observe(CONFIG_MAPS, config_map("owner", {}, True, [FOREGROUND]))
    assert set(begun.examine) == {"owner", "child"}
    assert graph.gone("child").examine == ["owner"]
    assert graph.observe(CONFIG_MAPS, config_map("other", {}, True, [ORPHAN])).orphan == ["other"]
