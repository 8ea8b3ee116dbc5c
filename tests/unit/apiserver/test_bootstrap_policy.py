"""The generated policy hangs together."""

from __future__ import annotations

import pytest

from pinnace.api import builtin, meta
from pinnace.api.types import Object
from pinnace.apiserver.bootstrap import objects, policy
from pinnace.apiserver.bootstrap.reconcile import key_of

EVERYTHING = [
    *objects.namespaces(),
    *policy.rbac_objects(),
    *policy.flow_objects(),
    *objects.priority_classes(),
    *objects.kubernetes_service(objects.Endpoint("10.96.0.1", "192.0.2.1", 6443)),
    objects.client_authority("a", "b"),
    objects.service_range("10.96.0.0/16", "2026-11-21T09:00:00Z"),
]


def test_every_object_once_where_the_registry_looks_for_it() -> None:
    registry = builtin.registry()
    for obj in EVERYTHING:
        row = registry.of_kind(meta.gvk(obj))
        assert row is not None, obj["kind"]
        assert key_of(obj) == row.key(meta.namespace(obj), meta.name(obj))
    assert len({key_of(obj) for obj in EVERYTHING}) == len(EVERYTHING)


@pytest.mark.parametrize("obj", EVERYTHING, ids=key_of)
def test_every_object_is_valid_and_complete(obj: Object) -> None:
    row = builtin.registry().of_kind(meta.gvk(obj))
    assert row is not None
    made = meta.copy(obj)
    made["metadata"]["uid"] = meta.new_uid()
    row.default(made)
    assert {k: v for k, v in made.items() if k != "metadata"} == {k: v for k, v in obj.items() if k != "metadata"}
    assert [str(error) for error in row.validate(made, None, "")] == []


def test_every_binding_names_a_role_that_exists() -> None:
    roles = {(obj["kind"], meta.namespace(obj), meta.name(obj)) for obj in policy.rbac_objects() if "rules" in obj}
    for obj in policy.rbac_objects():
        if "roleRef" in obj:
            kind = obj["roleRef"]["kind"]
            space = "" if kind == "ClusterRole" else meta.namespace(obj)
            assert (kind, space, obj["roleRef"]["name"]) in roles, meta.name(obj)


def test_admin_has_what_edit_has_and_edit_what_view_has() -> None:
    rules = {meta.name(role): role["rules"] for role in policy.cluster_roles()}
    assert all(rule in rules["edit"] for rule in rules["view"])
    assert all(rule in rules["admin"] for rule in rules["edit"])


def test_every_flow_schema_names_a_level_that_exists() -> None:
    levels = {meta.name(obj) for obj in policy.flow_objects() if obj["kind"] == "PriorityLevelConfiguration"}
    for obj in policy.flow_objects():
        if obj["kind"] == "FlowSchema":
            assert obj["spec"]["priorityLevelConfiguration"]["name"] in levels
