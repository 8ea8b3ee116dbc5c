"""The node authorizer: a kubelet may read what its own Pods need, and write what is its own.

It keeps which Pods run on which node and what they refer to, followed in the store. ``generation`` goes up when those
references change after an answer was taken from them; so a busy cluster without such questions costs callers nothing.
Everything about a node's own Node, Lease, CSINode and Pods is decided from the request alone, then RBAC (which binds
``system:nodes`` to nothing) has the last word, and NodeRestriction looks at the objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.auth.rules import Rule
from pinnace.apiserver.request import Attributes, User
from pinnace.apiserver.resources import codec
from pinnace.store.protocol import Event, Store, Watch, prefix_end

USER_PREFIX = "system:node:"
GROUP = "system:nodes"
_PODS = "/registry/pods/"
_VOLUMES = "/registry/persistentvolumes/"
_READS = frozenset(("get", "list", "watch"))
_ANY_WRITE = frozenset(("create", "update", "patch", "delete"))

#: (resource, namespace, name)
Reference = tuple[str, str, str]


def node_name(user: User) -> str | None:
    """The node whose kubelet ``user`` is; None if it is none."""
    if GROUP not in user.groups or not user.name.startswith(USER_PREFIX):
        return None
    return user.name.removeprefix(USER_PREFIX) or None


def _rule(verbs: str, group: str, *resources: str) -> Rule:
    return Rule(frozenset(verbs.split()), frozenset((group,)), frozenset(resources))


#: What every node may do without a look at the objects (upstream's NodeRules, less what is decided below).
_RULES = (
    _rule("create", "authentication.k8s.io", "tokenreviews"),
    _rule("create", "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
    _rule("get list watch", "", "services", "nodes"),
    _rule("create update patch", "", "nodes", "nodes/status"),
    _rule("create update patch", "", "events"),
    _rule("create update patch", "events.k8s.io", "events"),
    _rule("get list watch create delete", "", "pods"),
    _rule("update patch", "", "pods/status"),
    _rule("create", "", "pods/eviction"),
    _rule("get", "", "endpoints"),
    _rule("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    _rule("get list watch", "certificates.k8s.io", "clustertrustbundles"),
    _rule("create get list watch", "certificates.k8s.io", "podcertificaterequests"),
    _rule("get list watch", "storage.k8s.io", "csidrivers"),
    _rule("get list watch", "node.k8s.io", "runtimeclasses"),
)
#: Core resources a node may read only where one of its Pods refers to them.
_REFERRED = frozenset(("secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes"))


class NodeAuthorizer:
    """One mode of ``authorize.Authorizers``. Fed by ``follow`` or, in tests, ``put_pod`` and ``remove_pod``."""

    def __init__(self) -> None:
        self.generation = 0
        self._answered = False
        self._pods: dict[str, tuple[str, frozenset[Reference]]] = {}  # key -> (node, what it refers to)
        self._counts: dict[tuple[str, Reference], int] = {}
        self._claims: dict[Reference, str] = {}  # claim -> volume
        self._store: Store | None = None
        self._watches: tuple[Watch, ...] = ()

    def follow(self, store: Store) -> None:
        """Take the references from ``store``: from the first question about them on, so that a cluster whose kubelets
        never ask pays nothing."""
        self._store = store

    def close(self) -> None:
        for watch in self._watches:
            watch.cancel()

    def _start(self) -> None:
        if self._store is None or self._watches:
            return
        store, revision = self._store, self._store.revision
        for kv in store.range(_PODS, prefix_end(_PODS), revision=revision).items:
            self.put_pod(kv.key, codec.decoded(kv))
        for kv in store.range(_VOLUMES, prefix_end(_VOLUMES), revision=revision).items:
            self._put_volume(codec.decoded(kv))
        self._watches = (
            store.watch(_PODS, prefix_end(_PODS), revision, self._take_pods),
            store.watch(_VOLUMES, prefix_end(_VOLUMES), revision, self._take_volumes),
        )

    def _take_pods(self, events: Sequence[Event] | None) -> None:
        for event in events or ():
            if event.current is None:
                self.remove_pod(event.key)
                continue
            value = event.current.value
            # A Pod's node is set once, and what it refers to grows only by ephemeral containers.
            news = b'"ephemeralContainers"' if event.key in self._pods else b'"nodeName"'
            if news in value:
                self.put_pod(event.key, codec.decoded(event.current))

    def _take_volumes(self, events: Sequence[Event] | None) -> None:
        for event in events or ():
            if event.current is not None:
                self._put_volume(codec.decoded(event.current))

    def _put_volume(self, volume: Object) -> None:
        claim = (volume.get("spec") or {}).get("claimRef") or {}
        if claim:
            where = ("persistentvolumeclaims", str(claim.get("namespace")), str(claim.get("name")))
            self._claims[where] = meta.name(volume)
            self._changed()

    def put_pod(self, key: str, pod: Object) -> None:
        self.remove_pod(key)
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            return
        references = frozenset(pod_references(pod))
        self._pods[key] = (node, references)
        for reference in references:
            edge = (node, reference)
            self._counts[edge] = self._counts.get(edge, 0) + 1
        self._changed()

    def remove_pod(self, key: str) -> None:
        node, references = self._pods.pop(key, ("", frozenset()))
        for reference in references:
            edge = (node, reference)
            if self._counts[edge] == 1:
                del self._counts[edge]
            else:
                self._counts[edge] -= 1
        if node:
            self._changed()

    def _changed(self) -> None:
        if self._answered:
            self.generation += 1
            self._answered = False

    # -- answering

    def authorize(self, attributes: Attributes) -> tuple[bool, str]:
        node = node_name(attributes.user)
        if node is None or not attributes.resource:
            return False, ""
        group, resource, subresource = attributes.group, attributes.resource, attributes.subresource
        if group == "" and resource in _REFERRED:
            return self._read_referred(node, attributes)
        if group == "" and resource == "serviceaccounts":
            return self._token(node, attributes)
        if group == "coordination.k8s.io" and resource == "leases":
            return _own(node, attributes, namespace="kube-node-lease")
        if group == "storage.k8s.io" and resource == "csinodes":
            return _own(node, attributes)
        if group == "storage.k8s.io" and resource == "volumeattachments":
            return attributes.verb == "get" and not subresource, "can only get individual resources of this type"
        if group == "resource.k8s.io" and resource == "resourceslices":
            return not subresource, "cannot access this subresource"
        if group == "" and resource == "nodes" and attributes.verb in _ANY_WRITE and attributes.name not in ("", node):
            return False, f"node '{node}' cannot write another node"
        return any(rule.allows(attributes) for rule in _RULES), ""

    def _read_referred(self, node: str, attributes: Attributes) -> tuple[bool, str]:
        resource = attributes.resource
        if resource == "persistentvolumeclaims" and attributes.subresource == "status":
            if attributes.verb not in ("get", "update", "patch"):
                return False, "can only get/update/patch this type"
        elif attributes.subresource:
            return False, "cannot read subresource"
        elif attributes.verb not in (_READS if resource in ("secrets", "configmaps") else ("get",)):
            return False, "can only read resources of this type"
        if not attributes.name:
            return False, "No Object name found"
        self._start()
        self._answered = True
        if resource == "persistentvolumes":
            allowed = any(
                volume == attributes.name and (node, claim) in self._counts for claim, volume in self._claims.items()
            )
        else:
            allowed = (node, (resource, attributes.namespace, attributes.name)) in self._counts
        return allowed, "" if allowed else f"no relationship found between node '{node}' and this object"

    def _token(self, node: str, attributes: Attributes) -> tuple[bool, str]:
        if attributes.verb == "get" and not attributes.subresource:
            pass  # kubelets read the accounts of their Pods' image credentials
        elif attributes.verb != "create" or attributes.subresource != "token":
            return False, "can only create tokens for individual service accounts"
        if not attributes.name:
            return False, "can only create tokens for individual service accounts"
        self._start()
        self._answered = True
        allowed = (node, ("serviceaccounts", attributes.namespace, attributes.name)) in self._counts
        return allowed, "" if allowed else f"no relationship found between node '{node}' and this object"


def _own(node: str, attributes: Attributes, namespace: str = "") -> tuple[bool, str]:
    """An object named as the node."""
    if attributes.verb not in ("get", "create", "update", "patch", "delete"):
        return False, "can only get, create, update, patch, or delete this type"
    if attributes.subresource:
        return False, "cannot access this subresource"
    if namespace and attributes.namespace != namespace:
        return False, f"can only access leases in the {namespace!r} system namespace"
    if attributes.verb != "create" and attributes.name != node:
        return False, "can only access the object with the same name as the requesting node"
    return True, ""


def pod_references(pod: Object) -> Iterator[Reference]:
    """What a Pod's spec names that its kubelet reads."""
    namespace, spec = meta.namespace(pod), pod.get("spec") or {}
    if "kubernetes.io/config.mirror" in meta.annotations(pod):
        return
    if account := spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, account
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name", "")
    for containers in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(containers) or ():
            yield from _container_references(namespace, container)
    for volume in spec.get("volumes") or ():
        yield from _volume_references(pod, namespace, volume)


def _container_references(namespace: str, container: Object) -> Iterator[Reference]:
    sources = [source for entry in container.get("env") or () for source in [entry.get("valueFrom") or {}]]
    for source in [*sources, *(container.get("envFrom") or ())]:
        for field, resource in (
            ("secretKeyRef", "secrets"),
            ("secretRef", "secrets"),
            ("configMapKeyRef", "configmaps"),
            ("configMapRef", "configmaps"),
        ):
            if source.get(field):
                yield resource, namespace, source[field].get("name", "")


def _volume_references(pod: Object, namespace: str, volume: Object) -> Iterator[Reference]:
    if volume.get("secret"):
        yield "secrets", namespace, volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmaps", namespace, volume["configMap"].get("name", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("secret"):
            yield "secrets", namespace, source["secret"].get("name", "")
        if source.get("configMap"):
            yield "configmaps", namespace, source["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", namespace, f"{meta.name(pod)}-{volume.get('name', '')}"
    for driver in ("csi", "cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
        source = volume.get(driver) or {}
        secret = source.get("nodePublishSecretRef" if driver == "csi" else "secretRef")
        if secret:
            yield "secrets", namespace, secret.get("name", "")
