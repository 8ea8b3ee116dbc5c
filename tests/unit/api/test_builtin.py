"""The built-in rows, and conversion between the versions of one resource."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import builtin, meta, schema_table
from pinnace.api.registry import Registry, Resource
from pinnace.api.types import GVK, GVR


@pytest.fixture(scope="module")
def registry() -> Registry:
    return builtin.registry()


def row(registry: Registry, group: str, version: str, plural: str) -> Resource:
    found = registry.get(group, version, plural)
    assert found is not None
    return found


def test_every_row_has_a_schema_with_its_kind_and_can_be_listed_by_kind(registry: Registry) -> None:
    for resource in registry:
        assert schema_table.of_kind(resource.gvk) == resource.definition != ""
        assert registry.of_kind(resource.gvk) is resource


def test_what_can_be_listed_can_be_watched_and_has_columns(registry: Registry) -> None:
    for resource in registry:
        if "list" in resource.verbs and resource.plural != "componentstatuses":
            assert "watch" in resource.verbs
        assert resource.columns and resource.columns[0].name


def test_pods_have_the_subresources_that_kubectl_uses(registry: Registry) -> None:
    pods = row(registry, "", "v1", "pods")
    assert set(pods.subresources) == {
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
        "status",
    }
    assert pods.subresources["binding"].kind == GVK("", "v1", "Binding")
    scale = row(registry, "apps", "v1", "deployments").subresources["scale"]
    assert (scale.kind, scale.verbs) == (GVK("autoscaling", "v1", "Scale"), {"get", "patch", "update"})


def test_versions_of_one_resource_share_their_place_in_the_store(registry: Registry) -> None:
    old, new = (row(registry, "autoscaling", version, "horizontalpodautoscalers") for version in ("v1", "v2"))
    assert old.storage == new.storage == new.gvr
    assert old.key("a", "b") == "/registry/autoscaling/horizontalpodautoscalers/a/b"
    events = row(registry, "events.k8s.io", "v1", "events")
    assert events.storage == GVR("", "v1", "events") and events.prefix == "/registry/events/"
    for resource in registry:
        stored = row(registry, *resource.storage)
        assert stored.storage == stored.gvr


@pytest.mark.parametrize(
    ("versions", "preferred"),
    [
        (["v1", "v2", "v1beta1"], "v2"),
        (["v1alpha3", "v1beta1"], "v1beta1"),
        (["v10", "v9"], "v10"),
        (["x", "v1alpha1"], "v1alpha1"),
    ],
)
def test_stable_and_newer_versions_are_preferred(versions: list[str], preferred: str) -> None:
    assert max(versions, key=builtin.version_priority) == preferred


def test_hooks_know_their_kind(registry: Registry) -> None:
    pod: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    pods = row(registry, "", "v1", "pods")
    pods.default(pod)
    assert pod["spec"]["restartPolicy"] == "Always"
    assert pods.selectable({"spec": {"nodeName": "n1"}})["spec.nodeName"] == "n1"


ROUND_TRIPS: list[tuple[GVR, dict[str, Any], dict[str, Any]]] = [
    (
        GVR("events.k8s.io", "v1", "events"),
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "regarding": {"name": "p"},
            "note": "it happened",
            "reportingController": "c",
            "deprecatedCount": 2,
        },
        {
            "apiVersion": "v1",
            "kind": "Event",
            "involvedObject": {"name": "p"},
            "message": "it happened",
            "reportingComponent": "c",
            "count": 2,
        },
    ),
    (
        GVR("autoscaling", "v1", "horizontalpodautoscalers"),
        {"apiVersion": "autoscaling/v1", "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}},
        {
            "apiVersion": "autoscaling/v2",
            "spec": {
                "maxReplicas": 3,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                    }
                ],
            },
        },
    ),
    (
        GVR("resource.k8s.io", "v1beta1", "resourceclaims"),
        {
            "apiVersion": "resource.k8s.io/v1beta1",
            "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "gpu", "count": 2}]}},
        },
        {
            "apiVersion": "resource.k8s.io/v1",
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}]}},
        },
    ),
    (
        GVR("resource.k8s.io", "v1beta1", "resourceslices"),
        {
            "apiVersion": "resource.k8s.io/v1beta1",
            "spec": {"devices": [{"name": "d", "basic": {"attributes": {"a": {"int": 1}}}}]},
        },
        {
            "apiVersion": "resource.k8s.io/v1",
            "spec": {"devices": [{"name": "d", "attributes": {"a": {"int": 1}}}]},
        },
    ),
    (
        GVR("networking.k8s.io", "v1beta1", "ipaddresses"),
        {"apiVersion": "networking.k8s.io/v1beta1", "spec": {"parentRef": {"name": "s"}}},
        {"apiVersion": "networking.k8s.io/v1", "spec": {"parentRef": {"name": "s"}}},
    ),
]


@pytest.mark.parametrize(("gvr", "served", "stored"), ROUND_TRIPS, ids=[str(trip[0].group) for trip in ROUND_TRIPS])
def test_conversion_to_the_stored_version_and_back(
    registry: Registry, gvr: GVR, served: dict[str, Any], stored: dict[str, Any]
) -> None:
    resource, obj = row(registry, *gvr), meta.copy(served)
    resource.to_storage(obj)
    assert obj == stored
    resource.from_storage(obj)
    assert obj == served


def test_what_autoscaling_v1_has_no_field_for_survives_in_annotations(registry: Registry) -> None:
    resource = row(registry, "autoscaling", "v1", "horizontalpodautoscalers")
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {"averageUtilization": 70}}}
    stored = {
        "apiVersion": "autoscaling/v2",
        "metadata": {"name": "h"},
        "spec": {"metrics": [memory], "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}},
        "status": {"conditions": [{"type": "AbleToScale", "status": "True"}]},
    }
    obj = meta.copy(stored)
    resource.from_storage(obj)
    assert obj["spec"] == {}
    assert set(obj["metadata"]["annotations"]) == {
        "autoscaling.alpha.kubernetes.io/metrics",
        "autoscaling.alpha.kubernetes.io/behavior",
        "autoscaling.alpha.kubernetes.io/conditions",
    }
    resource.to_storage(obj)
    assert obj == stored


@pytest.mark.parametrize("text", ["", "no json", '"x"', "{}", "5"])
def test_annotations_that_hold_no_metrics_are_no_metrics(registry: Registry, text: str) -> None:
    resource = row(registry, "autoscaling", "v1", "horizontalpodautoscalers")
    obj = {"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": text}}, "spec": {"maxReplicas": 1}}
    resource.to_storage(obj)
    assert obj["spec"] == {"maxReplicas": 1}
