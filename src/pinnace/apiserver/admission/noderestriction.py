"""NodeRestriction: a kubelet changes its own Node, Lease and Pods, and only what is a kubelet's to say about them."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import go_quote
from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, DELETE, UPDATE, View, refuse
from pinnace.apiserver.auth.node import node_name
from pinnace.apiserver.request import AdmissionAttributes

MIRROR = "kubernetes.io/config.mirror"
RESTRICTED = "node-restriction.kubernetes.io"
#: Labels of Kubernetes' own name spaces that a kubelet may set on its node.
KUBELET_LABELS = frozenset(
    (
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)
KUBELET_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_WANTED = {
    ("", "nodes"),
    ("", "pods"),
    ("", "serviceaccounts"),
    ("coordination.k8s.io", "leases"),
    ("storage.k8s.io", "csinodes"),
}


class NodeRestriction:
    name = "NodeRestriction"

    def __init__(self, view: View) -> None:
        self._view = view

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural) in _WANTED and operation in (CREATE, UPDATE, DELETE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        node = node_name(attributes.user)
        if node is None:
            return
        plural, subresource = attributes.resource.plural, attributes.subresource
        if plural == "nodes":
            self._node(attributes, node)
        elif plural == "pods":
            self._pod(attributes, node, subresource)
        elif plural == "serviceaccounts" and subresource == "token":
            self._token(attributes, node)
        elif plural == "leases":
            if attributes.namespace != "kube-node-lease":
                raise refuse(attributes, 'can only access leases in the "kube-node-lease" system namespace')
            if _object_name(attributes) != node:
                raise refuse(attributes, "can only access node lease with the same name as the requesting node")
        elif plural == "csinodes" and _object_name(attributes) != node:
            raise refuse(attributes, "can only access CSINode with the same name as the requesting node")

    def _node(self, attributes: AdmissionAttributes, node: str) -> None:
        name = _object_name(attributes)
        if name != node:
            raise refuse(attributes, f"node {go_quote(node)} is not allowed to modify node {go_quote(name)}")
        new, old = attributes.object, attributes.old_object
        if new is None:
            return
        if old is None:
            wrong = sorted(key for key in meta.labels(new) if not _may_set(key))
            if wrong:
                raise refuse(
                    attributes, f"node {go_quote(node)} is not allowed to set the following labels: {', '.join(wrong)}"
                )
            return
        if ((new.get("spec") or {}).get("taints") or []) != ((old.get("spec") or {}).get("taints") or []):
            raise refuse(attributes, f"node {go_quote(node)} is not allowed to modify taints")
        owners = [meta.metadata(obj).get("ownerReferences") or [] for obj in (old, new)]
        if owners[0] != owners[1]:  # the garbage collector would delete the node for it
            raise refuse(attributes, f"node {go_quote(node)} is not allowed to modify ownerReferences")
        before, after = meta.labels(old), meta.labels(new)
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        wrong = sorted(key for key in changed if not _may_set(key))
        if wrong:
            raise refuse(attributes, f"node {go_quote(node)} is not allowed to modify labels: {', '.join(wrong)}")

    def _pod(self, attributes: AdmissionAttributes, node: str, subresource: str) -> None:
        if subresource == "":
            if attributes.operation == CREATE and attributes.object is not None:
                self._mirror_pod(attributes, attributes.object, node)
            elif attributes.operation == DELETE and not _runs_on(attributes.old_object, node):
                raise refuse(attributes, f"node {go_quote(node)} can only delete pods with spec.nodeName set to itself")
            elif attributes.operation == UPDATE:
                raise refuse(
                    attributes,
                    f"unexpected operation UPDATE, node {go_quote(node)} can only create and delete mirror pods",
                )
        elif subresource == "status":
            if not _runs_on(attributes.old_object, node):
                raise refuse(
                    attributes,
                    f"node {go_quote(node)} can only update pod status for pods with spec.nodeName set to itself",
                )
            new, old = attributes.object, attributes.old_object
            if new is not None and old is not None and meta.labels(new) != meta.labels(old):
                raise refuse(attributes, f"node {go_quote(node)} cannot update labels through pod status")
        elif subresource == "eviction":
            pod = self._view.get("", "pods", attributes.namespace, attributes.name)
            if pod is not None and not _runs_on(pod, node):
                raise refuse(attributes, f"node {go_quote(node)} can only evict pods with spec.nodeName set to itself")

    def _mirror_pod(self, attributes: AdmissionAttributes, pod: Object, node: str) -> None:
        if MIRROR not in meta.annotations(pod):
            raise refuse(
                attributes,
                f'pod does not have "{MIRROR}" annotation, node {go_quote(node)} can only create mirror pods',
            )
        if not _runs_on(pod, node):
            raise refuse(attributes, f"node {go_quote(node)} can only create pods with spec.nodeName set to itself")
        spec = pod.get("spec") or {}
        if spec.get("serviceAccountName"):
            raise refuse(attributes, f"node {go_quote(node)} can not create pods that reference a service account")
        for volume in spec.get("volumes") or ():
            for kind, what in (("secret", "secrets"), ("configMap", "configmaps"), ("projected", "projected volumes")):
                if (volume or {}).get(kind):
                    raise refuse(attributes, f"node {go_quote(node)} can not create pods that reference {what}")

    def _token(self, attributes: AdmissionAttributes, node: str) -> None:
        reference = ((attributes.object or {}).get("spec") or {}).get("boundObjectRef") or {}
        if reference.get("kind") != "Pod" or reference.get("apiVersion") not in ("v1", None, ""):
            raise refuse(attributes, "node requested token not bound to a pod")
        if not reference.get("uid"):
            raise refuse(attributes, "node requested token with a pod binding without a uid")
        pod = self._view.get("", "pods", attributes.namespace, str(reference.get("name")))
        if pod is None or meta.uid(pod) != reference["uid"]:
            raise refuse(attributes, "the UID in the bound object reference does not match the UID in record")
        if not _runs_on(pod, node):
            raise refuse(attributes, "node requested token bound to a pod scheduled on a different node")


def _object_name(attributes: AdmissionAttributes) -> str:
    return attributes.name or meta.name(attributes.object or {})


def _runs_on(pod: Object | None, node: str) -> bool:
    return ((pod or {}).get("spec") or {}).get("nodeName") == node


def _may_set(label: str) -> bool:
    """Whether a kubelet may set ``label`` on its node."""
    domain, slash, _ = label.partition("/")
    if not slash:
        return True
    if domain == RESTRICTED or domain.endswith("." + RESTRICTED):
        return False
    if not any(domain == root or domain.endswith("." + root) for root in ("kubernetes.io", "k8s.io")):
        return True
    if label in KUBELET_LABELS:
        return True
    return any(domain == root or domain.endswith("." + root) for root in KUBELET_DOMAINS)
