"""Services and EndpointSlices for the network's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from pinnace.api.types import Object

Maker = Callable[..., Object]


@pytest.fixture
def service() -> Maker:
    def make(
        name: str = "web", cluster_ip: str | None = "10.96.0.20", ports: Iterable[Object] = ({"port": 80},), **spec: Any
    ) -> Object:
        full = [{"protocol": "TCP", **port} for port in ports]
        addresses = {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip]} if cluster_ip else {}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"type": "ClusterIP", "ports": full, **addresses, **spec},
        }

    return make


@pytest.fixture
def slice() -> Maker:
    """``endpoints`` are addresses, or dicts with more than that."""

    def make(
        *endpoints: str | Object, service: str = "web", ports: Iterable[Object] = ({"port": 8080},), **more: Any
    ) -> Object:
        entries = [{"addresses": [e], "conditions": {"ready": True}} if isinstance(e, str) else e for e in endpoints]
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{service}-x",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "protocol": "TCP", **port} for port in ports],
            "endpoints": entries,
            **more,
        }

    return make
