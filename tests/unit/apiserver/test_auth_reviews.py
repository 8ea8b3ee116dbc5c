"""Reviews, impersonation and the node authorizer."""

from __future__ import annotations

from typing import Any

import pytest

from pinnace.api.errors import ApiError
from pinnace.api.types import Object
from pinnace.apiserver.auth.authorize import Authorizers
from pinnace.apiserver.auth.impersonate import Impersonators
from pinnace.apiserver.auth.node import NodeAuthorizer
from pinnace.apiserver.auth.policy import Policy
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.auth.reviews import Reviews
from pinnace.apiserver.bootstrap import policy as defaults
from pinnace.apiserver.bootstrap.reconcile import key_of
from pinnace.apiserver.request import Attributes, User
from pinnace.core.clock import VirtualClock

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
DAVE = User("dave", uid="7", groups=("devs", "system:authenticated"), extra={"scopes": ("a", "b")})
RBAC = "/registry/rbac.authorization.k8s.io/"


@pytest.fixture
def policy() -> Policy:
    made = Policy()
    for obj in defaults.rbac_objects():
        made.put(key_of(obj), obj)
    rules = [{"verbs": ["list", "get"], "apiGroups": [""], "resources": ["pods"]}]
    made.put(f"{RBAC}roles/o24/r", {"metadata": {"name": "r", "namespace": "o24"}, "rules": rules})
    made.put(
        f"{RBAC}rolebindings/o24/rb",
        {
            "metadata": {"name": "rb", "namespace": "o24"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "dave"}],
        },
    )
    return made


def reviews(policy: Policy) -> Reviews:
    rbac = RbacAuthorizer(policy)
    tokens: Any = None
    return Reviews(Authorizers(rbac), rbac, tokens, VirtualClock())


def ask(policy: Policy, plural: str, spec: Object, user: User = DAVE, namespace: str = "") -> Object:
    group = "authentication.k8s.io" if plural == "selfsubjectreviews" else "authorization.k8s.io"
    return reviews(policy).handlers[group, plural]({"spec": spec}, user, namespace)


def test_can_i(policy: Policy) -> None:
    spec = {"resourceAttributes": {"namespace": "o24", "verb": "list", "resource": "pods"}}
    answer = ask(policy, "selfsubjectaccessreviews", spec)
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "rb/o24" of Role "r" to User "dave"',
    }
    assert answer["kind"] == "SelfSubjectAccessReview"
    assert ask(policy, "selfsubjectaccessreviews", {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}})[
        "status"
    ] == {"allowed": False}
    assert ask(policy, "selfsubjectaccessreviews", spec, ADMIN)["status"]["allowed"]


def test_can_another(policy: Policy) -> None:
    spec = {"user": "dave", "resourceAttributes": {"namespace": "o24", "verb": "create", "resource": "pods"}}
    assert ask(policy, "subjectaccessreviews", spec, ADMIN)["status"] == {"allowed": False}
    spec["resourceAttributes"] = {"namespace": "o24", "verb": "get", "resource": "pods"}
    assert ask(policy, "localsubjectaccessreviews", spec, ADMIN, "o24")["status"]["allowed"]
    with pytest.raises(ApiError, match=r"must match metadata\.namespace"):
        ask(policy, "localsubjectaccessreviews", spec, ADMIN, "other")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"user": "x"}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            {"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {}},
            "cannot be specified in combination with resourceAttributes",
        ),
        ({"resourceAttributes": {}}, "at least one of user or group must be specified"),
    ],
)
def test_what_cannot_be_asked(policy: Policy, spec: Object, message: str) -> None:
    with pytest.raises(ApiError, match=message) as caught:
        ask(policy, "subjectaccessreviews", spec)
    assert caught.value.code == 422


def test_what_can_i(policy: Policy) -> None:
    status = ask(policy, "selfsubjectrulesreviews", {"namespace": "o24"})["status"]
    assert {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]} in status["resourceRules"]
    assert any("/api/*" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    assert status["incomplete"] is False
    with pytest.raises(ApiError, match="no namespace on request"):
        ask(policy, "selfsubjectrulesreviews", {})


def test_who_am_i(policy: Policy) -> None:
    answer = ask(policy, "selfsubjectreviews", {})
    assert answer["status"] == {
        "userInfo": {
            "username": "dave",
            "uid": "7",
            "groups": ["devs", "system:authenticated"],
            "extra": {"scopes": ["a", "b"]},
        }
    }


def test_impersonation(policy: Policy) -> None:
    impersonator = Impersonators(Authorizers(RbacAuthorizer(policy)))
    as_ann = {"impersonate-user": "ann", "impersonate-group": "devs\nops", "impersonate-extra-scopes": "x"}
    ann = impersonator.impersonate(ADMIN, as_ann)
    assert ann == User("ann", groups=("devs", "ops", "system:authenticated"), extra={"scopes": ("x",)})
    account = impersonator.impersonate(ADMIN, {"impersonate-user": "system:serviceaccount:a:b"})
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")
    nobody = impersonator.impersonate(ADMIN, {"impersonate-user": "system:anonymous"})
    assert nobody.groups == ("system:unauthenticated",)
    assert impersonator.impersonate(DAVE, {}) is DAVE
    with pytest.raises(ApiError) as caught:
        impersonator.impersonate(DAVE, as_ann)
    assert caught.value.message == (
        'users "ann" is forbidden: User "dave" cannot impersonate resource "users" in API group "" at the cluster scope'
    )
    with pytest.raises(ApiError, match="without impersonating a user name"):
        impersonator.impersonate(ADMIN, {"impersonate-group": "devs"})


def test_an_editor_may_act_as_the_service_accounts_of_its_namespace(policy: Policy) -> None:
    policy.put(
        f"{RBAC}rolebindings/a/edit",
        {
            "metadata": {"name": "edit", "namespace": "a"},
            "roleRef": {"kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "Group", "name": "devs"}],
        },
    )
    impersonator = Impersonators(Authorizers(RbacAuthorizer(policy)))
    assert impersonator.impersonate(DAVE, {"impersonate-user": "system:serviceaccount:a:web"}).name.endswith(":web")
    with pytest.raises(ApiError):
        impersonator.impersonate(DAVE, {"impersonate-user": "system:serviceaccount:b:web"})


NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
POD: Object = {
    "metadata": {"name": "p", "namespace": "a"},
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": "web",
        "containers": [
            {"env": [{"valueFrom": {"secretKeyRef": {"name": "s1"}}}], "envFrom": [{"configMapRef": {"name": "c1"}}]}
        ],
        "volumes": [
            {"name": "v", "secret": {"secretName": "s2"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
        ],
    },
}


def node_may(
    nodes: NodeAuthorizer, verb: str, resource: str, name: str, *, namespace: str = "a", group: str = ""
) -> tuple[bool, str]:
    resource, _, subresource = resource.partition("/")
    return nodes.authorize(Attributes(NODE, verb, "", group, "v1", resource, subresource, namespace, name))


def test_a_node_reads_what_its_pods_need_and_nothing_else() -> None:
    nodes = NodeAuthorizer()
    assert node_may(nodes, "get", "secrets", "s1") == (
        False,
        "no relationship found between node 'n1' and this object",
    )
    before = nodes.generation
    nodes.put_pod("/registry/pods/a/p", POD)
    assert nodes.generation > before
    for resource, name in (
        ("secrets", "s1"),
        ("secrets", "s2"),
        ("configmaps", "c1"),
        ("configmaps", "kube-root-ca.crt"),
    ):
        assert node_may(nodes, "get", resource, name) == (True, "")
    assert node_may(nodes, "create", "serviceaccounts/token", "web")[0]
    assert not node_may(nodes, "create", "serviceaccounts/token", "other")[0]
    assert not node_may(nodes, "get", "secrets", "s1", namespace="b")[0]
    assert node_may(nodes, "list", "secrets", "") == (False, "No Object name found")
    assert not node_may(nodes, "update", "secrets", "s1")[0]
    before = nodes.generation
    nodes.remove_pod("/registry/pods/a/p")
    assert nodes.generation > before
    assert not node_may(nodes, "get", "secrets", "s1")[0]


def test_a_node_writes_only_its_own_node_and_lease() -> None:
    nodes = NodeAuthorizer()
    assert node_may(nodes, "patch", "nodes/status", "n1", namespace="")[0]
    assert not node_may(nodes, "patch", "nodes/status", "n2", namespace="")[0]
    lease = {"namespace": "kube-node-lease", "group": "coordination.k8s.io"}
    assert node_may(nodes, "update", "leases", "n1", **lease)[0]
    assert not node_may(nodes, "update", "leases", "n2", **lease)[0]
    assert node_may(nodes, "list", "pods", "", namespace="")[0]
    assert not node_may(nodes, "create", "deployments", "", group="apps")[0]
    assert nodes.authorize(Attributes(DAVE, "get", "", "", "v1", "nodes", "", "", "n1")) == (False, "")
