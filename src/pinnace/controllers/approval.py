"""Which certificate requests of nodes are approved without anybody's word: pure, but for the question who may ask.

A client certificate as kubelets have it is approved for whoever may create ``certificatesigningrequests/nodeclient``
(a machine that joins) or, if it is the node's own again, ``.../selfnodeclient``. A serving certificate is approved for
the node itself, for names and addresses that its Node object has; upstream leaves that to the cluster's operator. The
process that has many simulated nodes asks in the name of one of them.

Imported when the first request is to be looked at: ``cryptography`` costs start-up time and memory.
"""

from __future__ import annotations

from base64 import b64decode

from cryptography import x509
from cryptography.x509.oid import NameOID

from pinnace.api import meta
from pinnace.api.types import Object

CLIENT, SERVING = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"
USER_PREFIX, GROUP = "system:node:", "system:nodes"
SIMULATED, SIMULATED_NODE_HOST = "pinnace.dev/simulated", "system:pinnace:simulated-node-host"
_BASE = {"digital signature", "key encipherment"}


def parsed(request: Object) -> x509.CertificateSigningRequest | None:
    """What the node signed; None if it is none of a node."""
    spec = request["spec"]
    purpose = {CLIENT: "client auth", SERVING: "server auth"}.get(spec.get("signerName"))
    usages = set(spec.get("usages") or ())
    if purpose is None or purpose not in usages or usages - _BASE - {purpose} or "digital signature" not in usages:
        return None
    try:
        found = x509.load_pem_x509_csr(b64decode(spec["request"]))
    except ValueError:
        return None
    organizations = [name.value for name in found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if organizations != [GROUP] or not common_name(found).startswith(USER_PREFIX):
        return None
    return found


def common_name(found: x509.CertificateSigningRequest) -> str:
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def client_kinds(request: Object) -> list[tuple[str, str]]:
    """For a client certificate: (what its requester must be allowed to create, the words of the approval), in the order
    in which to ask."""
    found = parsed(request)
    if found is None or request["spec"]["signerName"] != CLIENT or _names(found) is not None:
        return []
    kinds = [("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.")]
    if common_name(found) == request["spec"].get("username"):
        words = "Auto approving self kubelet client certificate after SubjectAccessReview."
        kinds.insert(0, ("selfnodeclient", words))
    return kinds


def serving_node(request: Object) -> str:
    """For a serving certificate that a node asks for itself, or its host for a simulated one: the node, else ""."""
    found = parsed(request)
    if found is None or request["spec"]["signerName"] != SERVING:
        return ""
    user = str(request["spec"].get("username") or "")
    if user == SIMULATED_NODE_HOST:
        return common_name(found).removeprefix(USER_PREFIX)
    if common_name(found) != user or GROUP not in (request["spec"].get("groups") or ()):
        return ""
    return user.removeprefix(USER_PREFIX)


def serves_as(request: Object, node: Object) -> bool:
    """Whether all names of a serving certificate are ``node``'s own, and there is one; and ``node`` is its asker's."""
    found = parsed(request)
    if request["spec"].get("username") == SIMULATED_NODE_HOST and meta.annotations(node).get(SIMULATED) != "true":
        return False
    names = None if found is None else _names(found)
    if names is None:
        return False
    addresses = (node.get("status") or {}).get("addresses") or ()
    own = {str(entry.get("address")) for entry in addresses} | {meta.name(node)}
    wanted = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    wanted |= set(names.get_values_for_type(x509.DNSName))
    return len(list(names)) == len(wanted) and bool(wanted) and wanted <= own


def _names(found: x509.CertificateSigningRequest) -> x509.SubjectAlternativeName | None:
    try:
        return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
