"""The decisions inside the verbs, as functions: deletion, binding, eviction, tokens, negotiation, event expiry."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api import builtin
from pinnace.api.errors import ApiError
from pinnace.apiserver import expiry
from pinnace.apiserver.resources import binding, body, codec, delete, eviction, negotiation, scale, streams
from pinnace.apiserver.resources import list as listing
from pinnace.core.clock import VirtualClock, timestamp
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Put, Txn

REGISTRY = builtin.registry()
PODS = REGISTRY.get("", "v1", "pods")
MAPS = REGISTRY.get("", "v1", "configmaps")
NAMESPACES = REGISTRY.get("", "v1", "namespaces")
assert PODS is not None
assert MAPS is not None
assert NAMESPACES is not None


def pod(*, node: str = "n1", phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    spec = {"terminationGracePeriodSeconds": 30, **({"nodeName": node} if node else {})}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "a", "uid": "u", "resourceVersion": "5", **metadata},
        "spec": spec,
        "status": {"phase": phase},
    }


class TestDeletion:
    def test_what_nothing_holds_goes_at_once(self) -> None:
        assert MAPS is not None
        assert delete.mark(MAPS, {"kind": "ConfigMap", "metadata": {"name": "a"}}, {}, 0.0) is None

    def test_a_running_pod_gets_its_grace(self) -> None:
        assert PODS is not None
        marked = delete.mark(PODS, pod(), {}, 100.0)
        assert marked is not None
        assert marked["metadata"]["deletionTimestamp"] == timestamp(130.0)
        assert marked["metadata"]["deletionGracePeriodSeconds"] == 30

    @pytest.mark.parametrize("gone", [pod(node=""), pod(phase="Succeeded"), pod(phase="Failed")])
    def test_a_pod_that_does_not_run_goes_at_once(self, gone: dict[str, Any]) -> None:
        assert PODS is not None
        assert delete.mark(PODS, gone, {}, 0.0) is None

    def test_force(self) -> None:
        assert PODS is not None
        assert delete.mark(PODS, pod(), {"gracePeriodSeconds": 0}, 0.0) is None

    def test_grace_can_be_shortened_and_not_lengthened(self) -> None:
        assert PODS is not None
        marked = delete.mark(PODS, pod(), {}, 100.0)
        assert marked is not None
        shorter = delete.mark(PODS, marked, {"gracePeriodSeconds": 5}, 101.0)
        assert shorter is not None
        assert shorter["metadata"]["deletionTimestamp"] == timestamp(106.0)
        again = delete.mark(PODS, shorter, {"gracePeriodSeconds": 60}, 102.0)
        assert again is not None
        assert again["metadata"]["deletionGracePeriodSeconds"] == 5

    def test_propagation_becomes_a_finalizer(self) -> None:
        assert MAPS is not None
        held = {"kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["x/y", "orphan"]}}
        assert delete.wanted_finalizers(MAPS, held, {}) == ["x/y", "orphan"]
        assert delete.wanted_finalizers(MAPS, held, {"propagationPolicy": "Foreground"}) == [
            "x/y",
            "foregroundDeletion",
        ]
        assert delete.wanted_finalizers(MAPS, held, {"propagationPolicy": "Background"}) == ["x/y"]
        assert delete.wanted_finalizers(MAPS, held, {"orphanDependents": True}) == ["x/y", "orphan"]

    def test_a_namespace_waits_for_its_content(self) -> None:
        assert NAMESPACES is not None
        old = {"kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}
        marked = delete.mark(NAMESPACES, old, {}, 0.0)
        assert marked is not None
        assert marked["status"]["phase"] == "Terminating"
        assert "deletionGracePeriodSeconds" not in marked["metadata"]
        assert "deletionTimestamp" not in old["metadata"]  # type: ignore[operator]

    def test_preconditions(self) -> None:
        assert PODS is not None
        delete.check_preconditions(PODS, pod(), {"preconditions": {"uid": "u", "resourceVersion": "5"}})
        with pytest.raises(ApiError, match="the UID in the precondition"):
            delete.check_preconditions(PODS, pod(), {"preconditions": {"uid": "other"}})


class TestBinding:
    TARGET = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}  # noqa: RUF012

    def test_sets_the_node_and_the_condition(self) -> None:
        old = pod(node="")
        new = binding.bound(old, self.TARGET, 50.0)
        assert new["spec"]["nodeName"] == "n1"
        (condition,) = new["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
        assert "nodeName" not in old["spec"]
        assert "conditions" not in old["status"]

    @pytest.mark.parametrize(
        ("old", "message"),
        [
            (pod(node="n2"), 'pod a is already assigned to node "n2"'),
            (pod(node="", deletionTimestamp="x"), "pod a is being deleted, cannot be assigned to a host"),
        ],
    )
    def test_refuses(self, old: dict[str, Any], message: str) -> None:
        with pytest.raises(ApiError, match=message) as refused:
            binding.bound(old, self.TARGET, 50.0)
        assert (refused.value.code, refused.value.reason) == (409, "Conflict")


class TestEviction:
    def budget(self, allowed: int) -> dict[str, Any]:
        status = {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2, "observedGeneration": 1}
        return {"kind": "PodDisruptionBudget", "metadata": {"name": "b", "generation": 1}, "spec": {}, "status": status}

    def test_takes_one(self) -> None:
        taken = eviction.with_disruption(self.budget(1), "a", "now", ready=True)
        assert taken is not None
        assert taken["status"]["disruptionsAllowed"] == 0
        assert taken["status"]["disruptedPods"] == {"a": "now"}

    def test_none_left(self) -> None:
        with pytest.raises(ApiError) as refused:
            eviction.with_disruption(self.budget(0), "a", "now", ready=True)
        assert refused.value.code == 429
        assert refused.value.message == "Cannot evict pod as it would violate the pod's disruption budget."
        (cause,) = refused.value.status()["details"]["causes"]
        assert cause["message"] == "The disruption budget b needs 2 healthy pods and has 2 currently"


def test_scale_of_a_deployment() -> None:
    metadata = {"name": "d", "namespace": "n", "uid": "u", "resourceVersion": "1", "creationTimestamp": "t"}
    deployment = {
        "kind": "Deployment",
        "metadata": {**metadata, "labels": {"x": "y"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "d"}}},
        "status": {"replicas": 2},
    }
    assert scale.of(deployment) == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": 3},
        "status": {"replicas": 2, "selector": "app=d"},
    }


def test_continue_tokens() -> None:
    assert listing.decode_token(listing.encode_token(7, "default/a\0")) == (7, "default/a\0")
    for token in ("!", "e30", listing.encode_token(1, "../../secrets/")):
        with pytest.raises(ApiError) as refused:
            listing.decode_token(token)
        assert refused.value.code == 400


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", negotiation.PLAIN),
        ("application/json", negotiation.PLAIN),
        ("application/vnd.kubernetes.protobuf, application/json", negotiation.PLAIN),
        ("application/yaml", negotiation.Format(yaml=True, shape="")),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            negotiation.Format(yaml=False, shape="Table"),
        ),
        (
            "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            negotiation.Format(yaml=False, shape="PartialObjectMetadata"),
        ),
        ("application/json;as=Nonsense;v=v1;g=meta.k8s.io, application/json", negotiation.PLAIN),
    ],
)
def test_accept(accept: str, expected: negotiation.Format) -> None:
    assert negotiation.parse_accept(accept) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"{}x", "invalid character 'x' after top-level value"),
    ],
)
def test_json_errors_read_as_gos(text: bytes, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        body.parse_json(text, "Pod")
    assert f"json parse error: {message} (" in refused.value.message


def test_kubelet_address() -> None:
    node = {
        "metadata": {"name": "n"},
        "status": {
            "addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
        },
    }
    assert streams.kubelet_address(node) == ("10.0.0.1", 10251)
    with pytest.raises(ApiError, match="has no address"):
        streams.kubelet_address({"metadata": {"name": "n"}})


async def test_events_expire_an_hour_after_they_happened_last() -> None:
    clock = VirtualClock()
    store = open_memory(stamp=codec.stamp, clock=clock)
    now = clock.now()
    for name, age in (("old", 3700.0), ("young", 3500.0)):
        event = {"kind": "Event", "apiVersion": "v1", "metadata": {"name": name}, "lastTimestamp": timestamp(now - age)}
        await store.commit(Txn((), (Put(f"/registry/events/default/{name}", codec.encode(event)),)))
    assert await expiry.expire(store, now) == 1
    assert store.get("/registry/events/default/old") is None
    assert store.get("/registry/events/default/young") is not None
    await store.close()
