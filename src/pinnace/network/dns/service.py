"""The Service ``kube-system/kube-dns``: its address for Pods, and the slice that leads to the server."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.errors import is_reason
from pinnace.api.resources import ENDPOINT_SLICES, SERVICES
from pinnace.api.types import Object
from pinnace.client.client import Client
from pinnace.network.slices import SERVICE_NAME

NAME, NAMESPACE = "kube-dns", "kube-system"
MANAGER = "network.pinnace"
_PORTS = (("dns", "UDP"), ("dns-tcp", "TCP"))


def service(cluster_ip: str) -> Object:
    """As kubeadm makes it, but without a selector: no Pods stand behind it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "type": "ClusterIP",
            "ports": [{"name": name, "port": 53, "protocol": protocol, "targetPort": 53} for name, protocol in _PORTS],
        },
    }


def slice(address: str, port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": NAME,
            "namespace": NAMESPACE,
            "labels": {SERVICE_NAME: NAME, "endpointslice.kubernetes.io/managed-by": MANAGER, "k8s-app": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": [{"name": name, "port": port, "protocol": protocol} for name, protocol in _PORTS],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True, "serving": True, "terminating": False}}],
    }


async def publish(client: Client, *, cluster_ip: str, address: str, port: int) -> None:
    """Make the Service lead to the server at ``address``. One with a selector is someone's own DNS and is left as it
    is. Raises what ``Client`` raises; call again then."""
    try:
        held = await client.create(SERVICES, service(cluster_ip))
    except Exception as error:
        if not is_reason(error, "AlreadyExists"):
            raise
        held = await client.get(SERVICES, NAME, NAMESPACE)
    if held["spec"].get("selector"):
        return
    wanted = slice(address, port)
    try:
        await client.create(ENDPOINT_SLICES, wanted)
        return
    except Exception as error:
        if not is_reason(error, "AlreadyExists"):
            raise
    held = await client.get(ENDPOINT_SLICES, NAME, NAMESPACE)
    if any(held.get(part) != wanted[part] for part in ("ports", "endpoints")):
        fresh = meta.copy(held)
        fresh.update(ports=wanted["ports"], endpoints=wanted["endpoints"])
        await client.update(ENDPOINT_SLICES, fresh)
