"""The built-in admission plugins, through the default chain on a store."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pinnace.api import builtin, meta
from pinnace.api.errors import ApiError
from pinnace.api.registry import Registry
from pinnace.api.types import Object
from pinnace.apiserver.admission.chain import AdmissionChain, default_admission
from pinnace.apiserver.allocation.services import ServiceAllocator
from pinnace.apiserver.auth.authorize import Authorizers
from pinnace.apiserver.auth.policy import Policy
from pinnace.apiserver.auth.rbac import RbacAuthorizer
from pinnace.apiserver.bootstrap.reconcile import bootstrap
from pinnace.apiserver.request import AdmissionAttributes, User
from pinnace.apiserver.resources import codec
from pinnace.core.clock import VirtualClock
from pinnace.store.backends.memory import open_memory
from pinnace.store.protocol import Put, Store, Txn

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
DAVE = User("dave", groups=("devs", "system:authenticated"))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))
REGISTRY: Registry = builtin.registry()


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = VirtualClock()
        self.policy = Policy()
        self.policy.follow(store)
        self.allocator = ServiceAllocator()
        self.allocator.follow(store)
        rbac = RbacAuthorizer(self.policy)
        self.chain: AdmissionChain = default_admission(
            store, self.clock, REGISTRY, authorizer=Authorizers(rbac), rbac=rbac, allocator=self.allocator
        )

    async def put(self, plural: str, name: str, namespace: str = "", *, group: str = "", **fields: Any) -> Object:
        where = f"{namespace}/{name}" if namespace else name
        key = f"/registry/{group}/{plural}/{where}" if group else f"/registry/{plural}/{where}"
        metadata = {"name": name, "uid": f"{name}-uid", **fields.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        obj = {"kind": "K", "apiVersion": "v1", "metadata": metadata, **fields}
        await self.store.commit(Txn((), (Put(key, codec.encode(obj)),)))
        return obj

    async def admit(
        self,
        plural: str,
        obj: Object | None,
        *,
        old: Object | None = None,
        user: User = ADMIN,
        group: str = "",
        version: str = "v1",
        subresource: str = "",
        namespace: str = "default",
        operation: str = "",
        name: str = "x",
    ) -> Object:
        row = REGISTRY.get(group, version, plural)
        assert row is not None
        if obj is not None:
            obj.setdefault("metadata", {"name": name})
        operation = operation or ("UPDATE" if old is not None else "CREATE")
        attributes = AdmissionAttributes(
            operation, row, subresource, namespace if row.namespaced else "", name, obj, old, user
        )
        await self.chain.admit(attributes)
        return obj or {}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = open_memory(stamp=codec.stamp, clock=VirtualClock())
    await bootstrap(store, VirtualClock())
    made = World(store)
    await made.put("serviceaccounts", "default", "default")
    yield made
    await store.close()


async def refused(work: Any) -> str:
    with pytest.raises(ApiError) as caught:
        await work
    assert caught.value.code == 403
    return caught.value.message


def pod(**spec: Any) -> Object:
    return {"metadata": {"name": "x", "namespace": "default"}, "spec": {"containers": [{"name": "c"}], **spec}}


async def test_namespaces(world: World) -> None:
    with pytest.raises(ApiError) as caught:
        await world.admit("configmaps", {}, namespace="none")
    assert (caught.value.code, caught.value.message) == (404, 'namespaces "none" not found')
    await world.put("namespaces", "ending", status={"phase": "Terminating"})
    with pytest.raises(ApiError) as caught:
        await world.admit("configmaps", {}, namespace="ending", name="a")
    assert caught.value.message == (
        'configmaps "a" is forbidden: unable to create new content in namespace ending because it is being terminated'
    )
    assert caught.value.details is not None
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    await world.admit("configmaps", {}, old={}, namespace="ending")
    await world.admit("configmaps", None, namespace="none", operation="DELETE")
    assert await refused(world.admit("namespaces", None, operation="DELETE", name="default")) == (
        'namespaces "default" is forbidden: this namespace may not be deleted'
    )
    await world.admit("namespaces", None, operation="DELETE", name="kube-node-lease")


async def test_pods_get_the_token_volume(world: World) -> None:
    spec = (await world.admit("pods", pod(initContainers=[{"name": "i"}])))["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    sources = volume["projected"]["sources"]
    assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [
            {
                "name": volume["name"],
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ]
    again = (await world.admit("pods", {"metadata": {"name": "y"}, "spec": meta.copy(spec)}))["spec"]
    assert len(again["volumes"]) == 1


async def test_pods_without_the_token_volume(world: World) -> None:
    assert "volumes" not in (await world.admit("pods", pod(automountServiceAccountToken=False)))["spec"]
    await world.put("serviceaccounts", "quiet", "default", automountServiceAccountToken=False)
    assert "volumes" not in (await world.admit("pods", pod(serviceAccountName="quiet")))["spec"]
    spec = (await world.admit("pods", pod(serviceAccountName="quiet", automountServiceAccountToken=True)))["spec"]
    assert spec["volumes"]
    mounted = {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    spec = (await world.admit("pods", pod(containers=[{"name": "c", "volumeMounts": [mounted]}])))["spec"]
    assert "volumes" not in spec


async def test_pods_need_their_service_account(world: World) -> None:
    assert await refused(world.admit("pods", pod(serviceAccountName="web"))) == (
        'pods "x" is forbidden: error looking up service account default/web: serviceaccount "web" not found'
    )
    await world.put("serviceaccounts", "web", "default", imagePullSecrets=[{"name": "registry"}])
    assert (await world.admit("pods", pod(serviceAccountName="web")))["spec"]["imagePullSecrets"] == [
        {"name": "registry"}
    ]


async def test_pods_wait_for_a_new_namespaces_default_account(world: World) -> None:
    await world.put("namespaces", "new")
    waiting = asyncio.ensure_future(world.admit("pods", pod(), namespace="new"))
    await world.clock.advance(0.5)
    assert not waiting.done()
    await world.put("serviceaccounts", "default", "new")
    assert (await waiting)["spec"]["serviceAccountName"] == "default"
    await world.put("namespaces", "bare")
    waiting = asyncio.ensure_future(world.admit("pods", pod(), namespace="bare"))
    await world.clock.advance(2)
    assert 'serviceaccount "default" not found' in await refused(waiting)


async def test_without_controllers_pods_need_no_account(world: World) -> None:
    rbac = RbacAuthorizer(world.policy)
    chain = default_admission(
        world.store,
        world.clock,
        REGISTRY,
        authorizer=Authorizers(rbac),
        rbac=rbac,
        allocator=world.allocator,
        service_accounts=False,
    )
    row = REGISTRY.get("", "v1", "pods")
    assert row is not None
    made = pod()
    await chain.admit(AdmissionAttributes("CREATE", row, "", "kube-public", "x", made, None, ADMIN))
    assert "volumes" not in made["spec"]


async def test_tolerations_and_taints(world: World) -> None:
    mine = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    spec = (await world.admit("pods", pod(tolerations=[mine])))["spec"]
    assert spec["tolerations"] == [
        mine,
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        },
    ]
    spec = (await world.admit("pods", pod(tolerations=[{"operator": "Exists"}])))["spec"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    node = await world.admit("nodes", {"metadata": {"name": "n1"}}, name="n1")
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


async def test_priority(world: World) -> None:
    spec = (await world.admit("pods", pod()))["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
    spec = (await world.admit("pods", pod(priorityClassName="system-node-critical")))["spec"]
    assert spec["priority"] == 2000001000
    assert await refused(world.admit("pods", pod(priorityClassName="none"))) == (
        'pods "x" is forbidden: no PriorityClass with name none was found'
    )
    assert "must not be provided in pod spec" in await refused(world.admit("pods", pod(priority=7)))
    group = "scheduling.k8s.io"
    await world.put("priorityclasses", "usual", group=group, value=5, globalDefault=True, preemptionPolicy="Never")
    spec = (await world.admit("pods", pod()))["spec"]
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("usual", 5, "Never")
    assert "Only one default can exist" in await refused(
        world.admit("priorityclasses", {"metadata": {"name": "b"}, "globalDefault": True}, group=group, name="b")
    )
    old = pod(priority=5)
    assert (await world.admit("pods", pod(), old=old))["spec"]["priority"] == 5


async def limits(world: World, **limit: Any) -> None:
    await world.put("limitranges", "l", "default", spec={"limits": [{"type": "Container", **limit}]})


async def test_limit_ranges_give_defaults(world: World) -> None:
    await limits(world, default={"cpu": "500m", "memory": "1Gi"}, defaultRequest={"cpu": "100m"})
    made = await world.admit("pods", pod(containers=[{"name": "c", "resources": {"limits": {"cpu": "1"}}}]))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m"},
    }
    assert meta.annotations(made)["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; memory limit for container c"
    )


async def test_limit_ranges_bound(world: World) -> None:
    await limits(world, min={"cpu": "100m"}, max={"memory": "1Gi"}, maxLimitRequestRatio={"cpu": "2"})
    asked = {"requests": {"cpu": "50m"}, "limits": {"cpu": "200m", "memory": "2Gi"}}
    assert await refused(world.admit("pods", pod(containers=[{"name": "c", "resources": asked}]))) == (
        'pods "x" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, '
        "maximum memory usage per Container is 1Gi, but limit is 2Gi, "
        "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000]"
    )
    assert await refused(
        world.admit(
            "pods",
            pod(containers=[{"name": "c", "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}}]),
        )
    ) == (
        'pods "x" is forbidden: cpu max limit to request ratio per Container is 2, but no limit is specified or limit '
        "is 0"
    )


async def test_limit_ranges_bound_whole_pods_and_claims(world: World) -> None:
    spec = {
        "limits": [{"type": "Pod", "max": {"cpu": "1"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]
    }
    await world.put("limitranges", "l", "default", spec=spec)
    containers = [{"name": n, "resources": {"limits": {"cpu": "600m"}}} for n in "ab"]
    assert await refused(world.admit("pods", pod(containers=containers))) == (
        'pods "x" is forbidden: maximum cpu usage per Pod is 1, but limit is 1200m'
    )
    claim = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert await refused(world.admit("persistentvolumeclaims", claim)) == (
        'persistentvolumeclaims "x" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request '
        "is 2Gi"
    )


async def test_default_classes(world: World) -> None:
    mark = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}
    for name, created in (("old", "2020-01-01T00:00:00Z"), ("new", "2021-01-01T00:00:00Z")):
        await world.put("storageclasses", name, group="storage.k8s.io", metadata={**mark, "creationTimestamp": created})
    assert (await world.admit("persistentvolumeclaims", {"spec": {}}))["spec"] == {"storageClassName": "new"}
    none = {"spec": {"storageClassName": ""}}
    assert (await world.admit("persistentvolumeclaims", none))["spec"] == {"storageClassName": ""}
    await world.put(
        "ingressclasses",
        "nginx",
        group="networking.k8s.io",
        metadata={"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
    )
    ingress = await world.admit("ingresses", {"spec": {}}, group="networking.k8s.io")
    assert ingress["spec"] == {"ingressClassName": "nginx"}


async def test_runtime_classes(world: World) -> None:
    assert "not found" in await refused(world.admit("pods", pod(runtimeClassName="vm")))
    await world.put(
        "runtimeclasses",
        "vm",
        group="node.k8s.io",
        overhead={"podFixed": {"cpu": "250m"}},
        scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]},
    )
    spec = (await world.admit("pods", pod(runtimeClassName="vm", nodeSelector={"a": "b"})))["spec"]
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
    assert {"key": "vm", "operator": "Exists"} in spec["tolerations"]


async def test_claims_grow_where_their_class_allows(world: World) -> None:
    def claim(size: str) -> Object:
        return {
            "spec": {"storageClassName": "s", "resources": {"requests": {"storage": size}}},
            "status": {"phase": "Bound"},
        }

    assert "must support resize" in await refused(world.admit("persistentvolumeclaims", claim("2Gi"), old=claim("1Gi")))
    await world.put("storageclasses", "s", group="storage.k8s.io", allowVolumeExpansion=True)
    await world.admit("persistentvolumeclaims", claim("2Gi"), old=claim("1Gi"))


async def test_nodes_keep_to_themselves(world: World) -> None:
    node = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "mine": "1"}}}
    await world.admit("nodes", meta.copy(node), user=NODE, name="n1")
    assert await refused(world.admit("nodes", {"metadata": {"name": "n2"}}, user=NODE, name="n2")) == (
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    )
    bad = {"metadata": {"name": "n1", "labels": {"node-restriction.kubernetes.io/x": "1"}}}
    assert "is not allowed to set the following labels: node-restriction.kubernetes.io/x" in await refused(
        world.admit("nodes", bad, user=NODE, name="n1")
    )
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "1"}
    owned = {"metadata": {**node["metadata"], "ownerReferences": [owner]}}
    assert "not allowed to modify ownerReferences" in await refused(
        world.admit("nodes", owned, old=node, user=NODE, name="n1")
    )
    tainted = {**node, "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
    assert "not allowed to modify taints" in await refused(
        world.admit("nodes", meta.copy(node), old=tainted, user=NODE, name="n1")
    )
    assert "can only create mirror pods" in await refused(world.admit("pods", pod(nodeName="n1"), user=NODE))
    await world.admit("pods", pod(), old=pod(nodeName="n1"), subresource="status", user=NODE)
    assert "can only update pod status" in await refused(
        world.admit("pods", pod(), old=pod(nodeName="n2"), subresource="status", user=NODE)
    )
    await world.admit("pods", None, old=pod(nodeName="n1"), operation="DELETE", user=NODE)


async def test_nodes_ask_for_their_pods_tokens_only(world: World) -> None:
    for name, node in (("p1", "n1"), ("p2", "n2")):
        await world.put("pods", name, "default", spec={"nodeName": node})

    def ask(name: str) -> Any:
        request = {"spec": {"boundObjectRef": {"kind": "Pod", "name": name, "uid": f"{name}-uid"}}}
        return world.admit("serviceaccounts", request, subresource="token", user=NODE, name="default")

    await ask("p1")
    assert "scheduled on a different node" in await refused(ask("p2"))


RBAC = "rbac.authorization.k8s.io"


async def test_nobody_grants_more_than_they_have(world: World) -> None:
    await world.put(
        "rolebindings",
        "admins",
        "default",
        group=RBAC,
        roleRef={"kind": "ClusterRole", "name": "admin"},
        subjects=[{"kind": "User", "name": "dave"}],
    )

    def role(*verbs: str, resource: str = "pods") -> Object:
        return {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [*verbs]}]}

    await world.admit("roles", role("get", "delete"), group=RBAC, user=DAVE)
    assert await refused(
        world.admit("roles", role("get", "list", resource="nodes"), group=RBAC, user=DAVE, name="r")
    ) == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "dave" (groups=["devs" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}'
    )
    assert "not currently held" in await refused(world.admit("roles", role("*", resource="*"), group=RBAC, user=DAVE))
    await world.admit("roles", role("*", resource="*"), group=RBAC, user=ADMIN)

    def binding(name: str) -> Object:
        return {
            "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": "ann"}],
        }

    await world.admit("rolebindings", binding("view"), group=RBAC, user=DAVE)
    assert "not currently held" in await refused(
        world.admit("rolebindings", binding("cluster-admin"), group=RBAC, user=DAVE)
    )
    with pytest.raises(ApiError, match='"none" not found'):
        await world.admit("rolebindings", binding("none"), group=RBAC, user=DAVE)
    await world.admit("rolebindings", binding("cluster-admin"), old=binding("cluster-admin"), group=RBAC, user=DAVE)


async def test_certificate_requests(world: World) -> None:
    group = "certificates.k8s.io"
    request = {"spec": {"signerName": "kubernetes.io/kubelet-serving"}}
    assert await refused(
        world.admit(
            "certificatesigningrequests",
            meta.copy(request),
            old=meta.copy(request),
            group=group,
            subresource="approval",
            user=DAVE,
        )
    ) == (
        'certificatesigningrequests.certificates.k8s.io "x" is forbidden: user not permitted to approve requests with '
        'signerName "kubernetes.io/kubelet-serving"'
    )
    signed = {**request, "status": {"certificate": "x"}}
    assert "not permitted to sign" in await refused(
        world.admit(
            "certificatesigningrequests",
            signed,
            old=meta.copy(request),
            group=group,
            subresource="status",
            user=DAVE,
        )
    )
    claimed = {"spec": {"signerName": "example.com/a", "username": "somebody-else", "uid": "1"}}
    made = await world.admit("certificatesigningrequests", claimed, group=group, user=DAVE)
    assert made["spec"]["username"] == DAVE.name
    assert "uid" not in made["spec"]
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = csr.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    wanted = {"spec": {"signerName": "kubernetes.io/kube-apiserver-client", "request": base64.b64encode(pem).decode()}}
    assert "with system:masters group is not allowed" in await refused(
        world.admit("certificatesigningrequests", wanted, group=group)
    )


async def test_services_get_their_address_last(world: World) -> None:
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "ClusterIP", "selector": {"a": "b"}}}
    made = await world.admit("services", service, name="s")
    assert made["spec"]["clusterIP"].startswith("10.96.")


async def test_namespaces_say_what_pods_must_meet(world: World) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted"}
    await world.put("namespaces", "tight", metadata={"labels": labels})
    await world.put("serviceaccounts", "default", "tight")
    assert await refused(world.admit("pods", pod(hostNetwork=True), namespace="tight")) == (
        'pods "x" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
    await world.admit("pods", pod(hostNetwork=True))
    row = REGISTRY.get("apps", "v1", "deployments")
    assert row is not None
    deployment = {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}
    attributes = AdmissionAttributes("CREATE", row, "", "tight", "x", deployment, None, ADMIN)
    await world.chain.admit(attributes)
    assert attributes.warnings[0].startswith('would violate PodSecurity "restricted:latest": allowPrivilegeEscalation')
    wrong = {"metadata": {"name": "n", "labels": {"pod-security.kubernetes.io/enforce": "tight"}}}
    with pytest.raises(ApiError, match="must be one of privileged, baseline, restricted"):
        await world.admit("namespaces", wrong, name="n")
