"""Who owns the fields of what a cluster begins with: those that upstream's API server has, and nobody the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from pinnace.apiserver.auth.aggregation import RoleAggregation
from pinnace.apiserver.bootstrap import objects
from pinnace.apiserver.bootstrap.reconcile import bootstrap
from pinnace.apiserver.resources import codec
from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Put, Store, Txn

ROLES = "/registry/rbac.authorization.k8s.io/clusterroles/"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = open_memory(stamp=codec.stamp, clock=VirtualClock())
    await bootstrap(opened, VirtualClock(), endpoint=objects.Endpoint("10.96.0.1", "192.0.2.1", 6443))
    yield opened
    await opened.close()


def owners(store: Store, key: str) -> dict[tuple[str, str], Any]:
    kv = store.get(key)
    assert kv is not None, key
    entries = codec.decoded(kv)["metadata"].get("managedFields", [])
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in entries}


async def test_a_namespace_and_the_service(store: Store) -> None:
    labels = {".": {}, "f:kubernetes.io/metadata.name": {}}
    assert owners(store, "/registry/namespaces/default") == {
        ("kube-apiserver", "Update"): {"f:metadata": {"f:labels": labels}}
    }
    port = {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}
    assert owners(store, "/registry/services/default/kubernetes") == {
        ("kube-apiserver", "Update"): {
            "f:metadata": {"f:labels": {".": {}, "f:component": {}, "f:provider": {}}},
            "f:spec": {
                "f:clusterIP": {},
                "f:internalTrafficPolicy": {},
                "f:ipFamilyPolicy": {},
                "f:ports": {".": {}, 'k:{"port":443,"protocol":"TCP"}': port},
                "f:sessionAffinity": {},
                "f:type": {},
            },
        }
    }


async def test_other_managers_have_their_part(store: Store) -> None:
    flow = owners(store, "/registry/flowcontrol.apiserver.k8s.io/flowschemas/catch-all")
    assert list(flow) == [("api-priority-and-fairness-config-producer-v1", "Update")]
    ranges = owners(store, "/registry/networking.k8s.io/servicecidrs/kubernetes")
    assert list(ranges) == [("kubernetes-service-cidr-controller", "Apply"), ("kube-apiserver", "Update")]
    assert ranges["kube-apiserver", "Update"] == {"f:spec": {"f:cidrs": {}}}
    admin = owners(store, f"{ROLES}admin")
    assert admin["clusterrole-aggregation-controller", "Apply"] == {"f:rules": {}}
    assert "f:rules" not in admin["kube-apiserver", "Update"]


async def test_aggregated_rules_are_applied_by_their_controller(store: Store) -> None:
    mine = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "mine", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["x.y"], "resources": ["zs"], "verbs": ["get"]}],
    }
    await store.commit(Txn((), (Put(f"{ROLES}mine", codec.encode(mine)),)))
    await RoleAggregation(store, VirtualClock()).settle()
    assert owners(store, f"{ROLES}view")["clusterrole-aggregation-controller", "Apply"] == {"f:rules": {}}


async def test_a_change_by_the_api_server_is_its_own_again(store: Store) -> None:
    moved = objects.Endpoint("10.96.0.1", "192.0.2.7", 6443)
    await bootstrap(store, VirtualClock(), endpoint=moved)
    kv = store.get("/registry/endpoints/default/kubernetes")
    assert kv is not None
    assert codec.decoded(kv)["subsets"][0]["addresses"] == [{"ip": "192.0.2.7"}]
    assert owners(store, "/registry/endpoints/default/kubernetes") == {
        ("kube-apiserver", "Update"): {
            "f:metadata": {"f:labels": {".": {}, "f:endpointslice.kubernetes.io/skip-mirror": {}}},
            "f:subsets": {},
        }
    }
