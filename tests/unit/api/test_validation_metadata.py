"""Metadata and names: what clients read when theirs are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import errors
from pinnace.api.types import GVK, Object
from pinnace.api.validation import validate, validate_metadata

CONFIG_MAP = GVK("", "v1", "ConfigMap")
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def said(gvk: GVK, metadata: Object, old: Object | None = None, **fields: Any) -> list[str]:
    before = None if old is None else {"metadata": old, **fields}
    return [str(error) for error in validate(gvk, {"metadata": metadata, **fields}, before, "")]


def config_map(**metadata: Any) -> list[str]:
    return said(CONFIG_MAP, {"name": "a", "namespace": "b", **metadata})


def test_a_sound_object_has_no_problems() -> None:
    assert (
        config_map(labels={"app.kubernetes.io/name": "x", "empty": ""}, annotations={"a/b": "anything: at all"}) == []
    )


@pytest.mark.parametrize(
    ("gvk", "name", "namespaced", "problem"),
    [
        (CONFIG_MAP, "A_b", True, f'Invalid value: "A_b": {SUBDOMAIN}'),
        (GVK("", "v1", "Namespace"), "Bad.Name", False, f'Invalid value: "Bad.Name": {LABEL}'),
        (GVK("", "v1", "Namespace"), "a.b", False, 'Invalid value: "a.b": must not contain dots'),
        (GVK("rbac.authorization.k8s.io", "v1", "Role"), "a/b", True, "Invalid value: \"a/b\": may not contain '/'"),
        (GVK("rbac.authorization.k8s.io", "v1", "Role"), "..", True, "Invalid value: \"..\": may not be '..'"),
        (CONFIG_MAP, "", True, "Required value: name or generateName is required"),
    ],
)
def test_names_by_kind(gvk: GVK, name: str, namespaced: bool, problem: str) -> None:
    metadata = {"name": name, **({"namespace": "b"} if namespaced else {})}
    assert said(gvk, metadata) == [f"metadata.name: {problem}"]


def test_rbac_names_may_hold_colons() -> None:
    assert said(GVK("rbac.authorization.k8s.io", "v1", "ClusterRole"), {"name": "system:node"}) == []


def test_namespace_is_required_or_refused() -> None:
    assert said(CONFIG_MAP, {"name": "a"}) == ["metadata.namespace: Required value"]
    assert said(GVK("", "v1", "Node"), {"name": "a", "namespace": "b"}) == [
        "metadata.namespace: Forbidden: not allowed on this type"
    ]


def test_labels_and_annotations() -> None:
    assert config_map(labels={"a": "b c"}) == [
        'metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric '
        "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ]
    assert config_map(annotations={"/a": ""}) == [
        'metadata.annotations: Invalid value: "/a": prefix part must be non-empty'
    ]
    assert config_map(annotations={"a": "x" * (256 * 1024)}) == [
        "metadata.annotations: Too long: may not be more than 262144 bytes"
    ]


def test_owner_references_have_one_controller() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "u", "controller": True}
    problems = config_map(ownerReferences=[{**owner, "name": "a"}, {**owner, "name": "b"}, {"apiVersion": "v1"}])
    assert problems[0].endswith(
        'Only one reference can have Controller set to true. Found "true" in references for ReplicaSet/a and '
        "ReplicaSet/b"
    )
    assert problems[1:] == [
        f"metadata.ownerReferences[2].{key}: Required value: must not be empty" for key in ("kind", "name", "uid")
    ]


def test_what_updates_may_not_change() -> None:
    old = {"name": "a", "namespace": "b", "uid": "1", "resourceVersion": "5", "creationTimestamp": "x"}
    assert said(CONFIG_MAP, {**old}, old) == []
    assert said(CONFIG_MAP, {**old, "uid": "2", "resourceVersion": ""}, old) == [
        'metadata.resourceVersion: Invalid value: "": must be specified for an update',
        'metadata.uid: Invalid value: "2": field is immutable',
    ]
    deleting = {**old, "deletionTimestamp": "t", "finalizers": ["a/b"]}
    assert said(CONFIG_MAP, {**deleting, "finalizers": ["a/b", "c/d"]}, deleting) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new "
        'finalizers []string{"c/d"}'
    ]


def test_custom_resources_have_their_metadata_checked() -> None:
    problems = validate_metadata({"metadata": {"name": "a"}}, None, namespaced=False)
    assert problems == []
    problems = validate_metadata({"metadata": {"name": "a"}}, None, namespaced=True)
    assert [error.field for error in problems] == ["metadata.namespace"]


def test_values_are_quoted_as_go_does() -> None:
    assert errors.go_quote('a"\n\\é\x01') == '"a\\"\\n\\\\é\\x01"'
    assert errors.go_quote({"b": "<", "a": None}) == '{"a":null,"b":"\\u003c"}'
    assert [errors.go_quote(value) for value in (None, True, 3, -1.5, [])] == ["null", "true", "3", "-1.5", "[]"]
    assert str(errors.too_many("a", 2, 1)) == "a: Too many: 2: must have at most 1 item"
