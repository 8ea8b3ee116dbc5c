"""Ports of the node that lead to one Pod (``hostPort``), as elements of the same maps that Services use. Pure.

The source of connections is kept. A port on one address of the node (``hostIP``) is a key of ``services``, one on all
of them a key of ``nodeports``.
"""

from __future__ import annotations

from collections.abc import Iterator

from pinnace.api.types import Object
from pinnace.network.proxy import chains
from pinnace.network.proxy.fronts import PROTOCOLS
from pinnace.network.proxy.pools import ipv4
from pinnace.network.proxy.table import Element

#: Of the names of Pods among the table's owners: no Service's begins so.
PREFIX = "pod "


def wants(pod: Object | None) -> bool:
    """Whether the Pod has such ports."""
    return pod is not None and next(_ports(pod), None) is not None


def elements(pod: Object) -> dict[Element, str]:
    """What a Pod of this node contributes while it runs."""
    found: dict[Element, str] = {}
    status = pod.get("status") or {}
    address = ipv4(status.get("podIP"))
    if not address or status.get("phase") in ("Succeeded", "Failed"):
        return found
    for port in _ports(pod):
        protocol = PROTOCOLS.get(port.get("protocol") or "TCP")
        host = ipv4(port.get("hostIP")) if port.get("hostIP") else "0.0.0.0"
        if protocol is None or not host:  # of the other family
            continue
        number, where = int(port["hostPort"]), f"{address} . {int(port['containerPort'])}"
        if host == "0.0.0.0":
            front, key = "nodeport", f"{protocol} . {number}"
            found[Element("nodeports", key)] = f"goto {chains.name('localport', 1)}"
        else:
            front, key = "", f"{host} . {protocol} . {number}"
            found[Element("services", key)] = f"goto {chains.name('vip', 1)}"
        found[Element(f"{front}_endpoints" if front else "endpoints", f"{key} . 0")] = where
        found[Element("hairpin", f"{address} . {address}")] = ""
    return found


def _ports(pod: Object) -> Iterator[Object]:
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        yield from (port for port in container.get("ports") or () if port.get("hostPort"))
