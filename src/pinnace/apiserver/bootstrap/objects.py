"""The other objects every cluster has: system namespaces, priority classes, and the API server's own Service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from pinnace.api.types import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
SERVICE = "kubernetes"


def namespaces() -> list[Object]:
    return [
        {
            "kind": "Namespace",
            "apiVersion": "v1",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        for name in NAMESPACES
    ]


def priority_classes() -> list[Object]:
    return [
        {
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name, "generation": 1},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }
        for name, value, description in (
            (
                "system-node-critical",
                2000001000,
                "Used for system critical pods that must not be moved from their current node.",
            ),
            (
                "system-cluster-critical",
                2000000000,
                "Used for system critical pods that must run in the cluster, but can be moved to another node if "
                "necessary.",
            ),
        )
    ]


class Endpoint(NamedTuple):
    """Where the API server answers: ``service_ip`` inside the cluster, ``address`` and ``port`` behind it."""

    service_ip: str
    address: str
    port: int


def kubernetes_service(endpoint: Endpoint) -> list[Object]:
    """``default/kubernetes``: the Service, its Endpoints and its EndpointSlice."""
    return [
        {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {
                "name": SERVICE,
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": endpoint.port}],
                "clusterIP": endpoint.service_ip,
                "clusterIPs": [endpoint.service_ip],
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "ipFamilies": ["IPv6" if ":" in endpoint.service_ip else "IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
            },
            "status": {"loadBalancer": {}},
        },
        *kubernetes_endpoints([endpoint]),
    ]


def kubernetes_endpoints(endpoints: Sequence[Endpoint]) -> list[Object]:
    """The Endpoints of ``default/kubernetes`` where it is served at all of ``endpoints`` (at least one), and an
    EndpointSlice for each of their ports."""
    by_port: dict[int, list[str]] = {}
    for endpoint in sorted(endpoints, key=lambda one: (one.port, one.address)):
        by_port.setdefault(endpoint.port, []).append(endpoint.address)
    return [
        {
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": {
                "name": SERVICE,
                "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": [
                {"addresses": [{"ip": address} for address in addresses], "ports": [_https(port)]}
                for port, addresses in by_port.items()
            ],
        },
        *(
            {
                "kind": "EndpointSlice",
                "apiVersion": "discovery.k8s.io/v1",
                "metadata": {
                    "name": f"{SERVICE}-{port}" if number else SERVICE,
                    "namespace": "default",
                    "generation": 1,
                    "labels": {"kubernetes.io/service-name": SERVICE},
                },
                "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
                "ports": [_https(port)],
            }
            for number, (port, addresses) in enumerate(by_port.items())
        ),
    ]


def _https(port: int) -> Object:
    return {"name": "https", "port": port, "protocol": "TCP"}


def service_range(cidr: str, now: str) -> Object:
    """The ServiceCIDR that cluster IPs come from."""
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": now,
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    return {
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": SERVICE},
        "spec": {"cidrs": [cidr]},
        "status": {"conditions": [ready]},
    }


def client_authority(client_ca: str, front_proxy_ca: str) -> Object:
    """``kube-system/extension-apiserver-authentication``: how extension API servers verify clients. PEM texts."""
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": client_ca,
            "requestheader-allowed-names": orjson.dumps(["front-proxy-client"]).decode(),
            "requestheader-client-ca-file": front_proxy_ca,
            "requestheader-extra-headers-prefix": orjson.dumps(["X-Remote-Extra-"]).decode(),
            "requestheader-group-headers": orjson.dumps(["X-Remote-Group"]).decode(),
            "requestheader-username-headers": orjson.dumps(["X-Remote-User"]).decode(),
        },
    }
