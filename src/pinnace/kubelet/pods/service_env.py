"""Environment variables that tell of Services: ``WEB_SERVICE_HOST``, ``WEB_PORT_80_TCP_ADDR``, ..."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta
from pinnace.api.types import Object


def variables(services: Iterable[Object], namespace: str, *, links: bool) -> dict[str, str]:
    """Of the namespace's Services (if ``links``), and always of default/kubernetes, which the namespace's own Service
    of that name replaces."""
    chosen: dict[str, Object] = {}
    for service in services:
        address = (service.get("spec") or {}).get("clusterIP")
        if not address or address == "None":
            continue
        name, space = meta.name(service), meta.namespace(service)
        if space == namespace and links:
            chosen[name] = service
        elif space == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found.update(_of(chosen[name]))
    return found


def _of(service: Object) -> dict[str, str]:
    prefix = meta.name(service).upper().replace("-", "_")
    spec = service["spec"]
    address = spec["clusterIP"]
    host = f"[{address}]" if ":" in address else address
    ports = spec.get("ports") or []
    if not ports:
        return {}
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for position, port in enumerate(ports):
        protocol = str(port.get("protocol") or "TCP")
        url = f"{protocol.lower()}://{host}:{port['port']}"
        if position == 0:
            found[f"{prefix}_PORT"] = url
        base = f"{prefix}_PORT_{port['port']}_{protocol}"
        found[base] = url
        found[f"{base}_PROTO"] = protocol.lower()
        found[f"{base}_PORT"] = str(port["port"])
        found[f"{base}_ADDR"] = address
    return found
