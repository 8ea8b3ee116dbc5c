"""Bootstrap objects: what a new cluster holds, what a start brings up to date, what it leaves alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.aggregation import RoleAggregation
from pinnace.apiserver.auth.authorize import Authorizers, refused
from pinnace.apiserver.auth.policy import Policy
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.bootstrap import objects
from pinnace.apiserver.bootstrap.reconcile import bootstrap, keep
from pinnace.apiserver.request import Attributes, User
from pinnace.apiserver.resources import codec
from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Delete, Put, Store, Txn

RBAC = "/registry/rbac.authorization.k8s.io/"
ENDPOINT = objects.Endpoint("10.96.0.1", "192.0.2.1", 6443)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = open_memory(stamp=codec.stamp, clock=VirtualClock())
    await bootstrap(opened, VirtualClock(), endpoint=ENDPOINT)
    yield opened
    await opened.close()


def get(store: Store, key: str) -> Object:
    kv = store.get(key)
    assert kv is not None, key
    return codec.decoded(kv)


async def put(store: Store, key: str, obj: Object) -> None:
    await store.commit(Txn((), (Put(key, codec.encode(obj)),)))


def allowed(
    store: Store, user: User, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = ""
) -> bool:
    policy = Policy()
    policy.follow(store).cancel()
    resource, _, subresource = resource.partition("/")
    return Authorizers(RbacAuthorizer(policy)).authorize(
        Attributes(user, verb, "", group, "v1", resource, subresource, namespace, name)
    )[0]


async def test_a_new_cluster_is_a_few_commits_at_once(store: Store) -> None:
    assert store.revision < 10
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        assert get(store, f"/registry/namespaces/{name}")["status"] == {"phase": "Active"}
    admin = get(store, f"{RBAC}clusterroles/cluster-admin")
    assert meta.uid(admin)
    assert meta.resource_version(admin)
    assert meta.annotations(admin) == {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    assert get(store, "/registry/services/default/kubernetes")["spec"]["clusterIP"] == "10.96.0.1"
    slice_ = get(store, "/registry/discovery.k8s.io/endpointslices/default/kubernetes")
    assert slice_["endpoints"][0]["addresses"] == ["192.0.2.1"]
    assert get(store, "/registry/scheduling.k8s.io/priorityclasses/system-node-critical")["value"] == 2000001000
    exempt = get(store, "/registry/flowcontrol.apiserver.k8s.io/prioritylevelconfigurations/exempt")
    assert exempt["spec"]["type"] == "Exempt"


async def test_bootstrap_is_quick_and_a_restart_writes_nothing(store: Store) -> None:
    before = store.revision
    began = time.process_time()
    await bootstrap(store, VirtualClock(), endpoint=ENDPOINT)
    assert time.process_time() - began < 0.25  # it takes some 10 ms
    assert store.revision == before


async def test_roles_get_missing_rules_and_keep_others(store: Store) -> None:
    key = f"{RBAC}clusterroles/system:node"
    role = meta.copy(get(store, key))
    mine = {"verbs": ["get"], "apiGroups": ["mine"], "resources": ["things"]}
    role["rules"] = [*role["rules"][:2], mine]
    role["metadata"]["labels"] = {}
    await put(store, key, role)
    await bootstrap(store, VirtualClock(), endpoint=ENDPOINT)
    node = User("n", groups=("g",))
    await put(
        store,
        f"{RBAC}clusterrolebindings/test",
        {
            "kind": "ClusterRoleBinding",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "test"},
            "roleRef": {"kind": "ClusterRole", "name": "system:node"},
            "subjects": [{"kind": "Group", "name": "g"}],
        },
    )
    assert allowed(store, node, "get", "things", group="mine")
    assert allowed(store, node, "update", "nodes/status", name="n")
    assert meta.labels(get(store, key)) == {"kubernetes.io/bootstrapping": "rbac-defaults"}


async def test_what_a_user_took_over_stays(store: Store) -> None:
    key = f"{RBAC}clusterrolebindings/system:discovery"
    binding = meta.copy(get(store, key))
    binding["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false"
    binding["subjects"] = []
    await put(store, key, binding)
    await bootstrap(store, VirtualClock(), endpoint=ENDPOINT)
    assert get(store, key)["subjects"] == []


async def test_bindings_get_subjects_back_and_their_role(store: Store) -> None:
    key = f"{RBAC}clusterrolebindings/cluster-admin"
    binding = meta.copy(get(store, key))
    uid = meta.uid(binding)
    binding["subjects"] = []
    await put(store, key, binding)
    await bootstrap(store, VirtualClock(), endpoint=ENDPOINT)
    assert get(store, key)["subjects"][0]["name"] == "system:masters"
    binding["roleRef"]["name"] = "view"
    await put(store, key, binding)
    await bootstrap(store, VirtualClock(), endpoint=ENDPOINT)
    assert get(store, key)["roleRef"]["name"] == "cluster-admin"
    assert meta.uid(get(store, key)) not in ("", uid)


async def test_the_api_servers_endpoints_follow_its_address(store: Store) -> None:
    await bootstrap(store, VirtualClock(), endpoint=objects.Endpoint("10.96.0.1", "192.0.2.1", 7443))
    endpoints = get(store, "/registry/endpoints/default/kubernetes")
    assert endpoints["subsets"][0]["ports"][0]["port"] == 7443
    assert get(store, "/registry/services/default/kubernetes")["spec"]["ports"][0]["targetPort"] == 7443


async def bind(store: Store, role: str, user: str, namespace: str = "") -> None:
    kind = "rolebindings" if namespace else "clusterrolebindings"
    where = f"{namespace}/b" if namespace else "b"
    await put(
        store,
        f"{RBAC}{kind}/{where}",
        {
            "kind": "RoleBinding",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": "b", "namespace": namespace},
            "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}],
        },
    )


async def test_the_users_roles(store: Store) -> None:
    ann = User("ann", groups=("system:authenticated",))
    assert not allowed(store, ann, "list", "pods", namespace="default")
    assert allowed(store, ann, "create", "selfsubjectaccessreviews", group="authorization.k8s.io")
    await bind(store, "view", "ann", "default")
    assert allowed(store, ann, "list", "pods", namespace="default")
    assert not allowed(store, ann, "list", "pods", namespace="other")
    assert not allowed(store, ann, "list", "secrets", namespace="default")
    assert not allowed(store, ann, "delete", "pods", namespace="default")
    await bind(store, "edit", "ann", "default")
    assert allowed(store, ann, "list", "secrets", namespace="default")
    assert allowed(store, ann, "create", "pods/exec", namespace="default")
    assert not allowed(store, ann, "create", "roles", group="rbac.authorization.k8s.io", namespace="default")
    await bind(store, "admin", "ann", "default")
    assert allowed(store, ann, "watch", "configmaps", namespace="default")
    assert allowed(store, ann, "create", "roles", group="rbac.authorization.k8s.io", namespace="default")
    assert not allowed(store, ann, "list", "nodes")


async def test_controllers_have_their_roles(store: Store) -> None:
    account = User("system:serviceaccount:kube-system:replicaset-controller", groups=("system:serviceaccounts",))
    assert allowed(store, account, "create", "pods", namespace="default")
    assert not allowed(store, account, "create", "secrets", namespace="default")
    manager = User("system:kube-controller-manager")
    assert allowed(store, manager, "list", "anything", group="example.com")


def test_the_policy_follows_the_store_without_one() -> None:
    policy = Policy()
    role = {
        "metadata": {"name": "r", "namespace": "a"},
        "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}],
    }
    binding = {
        "metadata": {"name": "b", "namespace": "a"},
        "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}],
    }
    authorizer = Authorizers(RbacAuthorizer(policy))
    asked = Attributes(User("system:serviceaccount:a:s"), "get", "", "", "v1", "pods", "", "a", "p")
    policy.put(f"{RBAC}rolebindings/a/b", binding)
    before = authorizer.generation
    assert authorizer.authorize(asked) == (False, 'RBAC: role.rbac.authorization.k8s.io "r" not found')
    policy.put(f"{RBAC}roles/a/r", role)
    assert authorizer.generation > before
    assert authorizer.authorize(asked) == (
        True,
        'RBAC: allowed by RoleBinding "b/a" of Role "r" to ServiceAccount "s/a"',
    )
    policy.remove(f"{RBAC}rolebindings/a/b")
    assert authorizer.authorize(asked) == (False, "")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            Attributes(User("x"), "list", "", "", "v1", "pods", "", "default"),
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"',
        ),
        (
            Attributes(User("x"), "get", "", "apps", "v1", "deployments", "scale", "d", "web"),
            'deployments.apps "web" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" '
            'in the namespace "d"',
        ),
        (
            Attributes(User("x"), "list", "", "", "v1", "nodes"),
            'nodes is forbidden: User "x" cannot list resource "nodes" in API group "" at the cluster scope',
        ),
        (Attributes(User("x"), "get", "/metrics"), 'forbidden: User "x" cannot get path "/metrics"'),
    ],
)
def test_refusals_are_worded_as_clients_know_them(attributes: Attributes, message: str) -> None:
    error = refused(attributes)
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


async def test_aggregated_roles_follow_what_their_selectors_choose(store: Store) -> None:
    aggregation = RoleAggregation(store, VirtualClock())
    aggregation.start()
    things = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}
    label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    key = f"{RBAC}clusterroles/things"
    role: Object = {
        "kind": "ClusterRole",
        "apiVersion": "v1",
        "metadata": {"name": "things", "labels": label},
        "rules": [things],
    }
    await put(store, key, role)
    for _ in range(20):
        await asyncio.sleep(0)
    for name in ("view", "edit", "admin"):
        assert things in get(store, f"{RBAC}clusterroles/{name}")["rules"]
    settled = store.revision
    await aggregation.settle()
    assert store.revision == settled
    await put(store, key, {**role, "rules": []})
    for _ in range(20):
        await asyncio.sleep(0)
    assert things not in get(store, f"{RBAC}clusterroles/admin")["rules"]
    aggregation.close()


async def test_the_servers_own_service_comes_back(store: Store) -> None:
    clock = VirtualClock()
    wanted = [*objects.namespaces(), *objects.kubernetes_service(ENDPOINT)]
    task = asyncio.create_task(keep(store, clock, wanted))
    keys = ["/registry/services/default/kubernetes", "/registry/endpoints/default/kubernetes"]
    old = {key: get(store, key)["metadata"]["uid"] for key in keys}
    await store.commit(Txn((), tuple(Delete(key) for key in keys)))
    await clock.advance(10.1)
    for key in keys:
        assert get(store, key)["metadata"]["uid"] != old[key]
    assert get(store, keys[0])["spec"]["clusterIP"] == "10.96.0.1"
    revision = store.revision
    await clock.advance(60)
    assert store.revision == revision  # what is there is left alone
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
