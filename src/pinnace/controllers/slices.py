"""EndpointSlices, computed: a Service's Pods as endpoints, and the fewest writes that bring its slices there. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.controllers import podstate

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE = "topology.kubernetes.io/zone"
MAX_ENDPOINTS = 100


class Group(NamedTuple):
    """Endpoints that serve the same ports."""

    ports: list[Object]
    endpoints: list[Object]


@dataclass
class Plan:
    """Slices to write. ``create`` holds (ports, endpoints); ``update`` whole objects; ``delete`` existing ones."""

    create: list[Group] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


# -- a Service's Pods as endpoints


def is_headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def address_types(service: Object) -> list[str]:
    """``IPv4`` and/or ``IPv6``, as the Service's families say."""
    spec = service["spec"]
    families = spec.get("ipFamilies")
    if not families:
        families = ["IPv6" if ":" in (spec.get("clusterIP") or "") else "IPv4"]
    return list(families)


def pod_addresses(pod: Object, address_type: str) -> list[str]:
    """The Pod's addresses of one family."""
    status = pod.get("status") or {}
    listed = [str(entry["ip"]) for entry in status.get("podIPs") or () if entry.get("ip")]
    if not listed and status.get("podIP"):
        listed = [str(status["podIP"])]
    return [ip for ip in listed if (":" in ip) == (address_type == "IPv6")]


def ports_of(service: Object, pod: Object) -> list[Object]:
    """The Service's ports as this Pod has them; a port that the Pod does not name is left out."""
    ports: list[Object] = []
    for wanted in service["spec"].get("ports") or ():
        protocol = wanted.get("protocol") or "TCP"
        number = target_port(wanted, pod)
        if number is None:
            continue
        port: Object = {"name": wanted.get("name") or "", "port": number, "protocol": protocol}
        if wanted.get("appProtocol"):
            port["appProtocol"] = wanted["appProtocol"]
        ports.append(port)
    return ports


def target_port(service_port: Object, pod: Object) -> int | None:
    target = service_port.get("targetPort")
    if isinstance(target, str):
        return podstate.container_port(pod, target, service_port.get("protocol") or "TCP")
    return int(target or service_port["port"])


def is_endpoint(pod: Object) -> bool:
    """Whether a selected Pod appears in slices at all: it has an address and has not ended."""
    status = pod.get("status") or {}
    return not podstate.is_terminal(pod) and bool(status.get("podIPs") or status.get("podIP"))


def endpoint(service: Object, pod: Object, addresses: list[str], node: Object | None) -> Object:
    serving = podstate.is_ready(pod)
    terminating = meta.is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    result: Object = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": "Pod",
            "namespace": meta.namespace(pod),
            "name": meta.name(pod),
            "uid": meta.uid(pod),
        },
    }
    if podstate.node_of(pod):
        result["nodeName"] = podstate.node_of(pod)
    if node is not None and (zone := meta.labels(node).get(ZONE)):
        result["zone"] = zone
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == meta.name(service):
        result["hostname"] = pod["spec"]["hostname"]
    hints = _hints(service, result)
    if hints:
        result["hints"] = hints
    return result


def _hints(service: Object, entry: Object) -> Object:
    """Who should prefer this endpoint, by the Service's trafficDistribution."""
    wanted = service["spec"].get("trafficDistribution")
    hints: Object = {}
    if not wanted or not entry["conditions"]["ready"]:
        return hints
    if wanted in ("PreferClose", "PreferSameZone", "PreferSameNode") and entry.get("zone"):
        hints["forZones"] = [{"name": entry["zone"]}]
    if wanted == "PreferSameNode" and entry.get("nodeName"):
        hints["forNodes"] = [{"name": entry["nodeName"]}]
    return hints


def groups(service: Object, pods: Iterable[Object], nodes: Mapping[str, Object], address_type: str) -> list[Group]:
    """The endpoints of one address family, by the ports they serve."""
    found: dict[bytes, Group] = {}
    for pod in pods:
        addresses = pod_addresses(pod, address_type)
        if not is_endpoint(pod) or not addresses:
            continue
        ports = ports_of(service, pod)
        group = found.setdefault(_ports_key(ports), Group(ports, []))
        group.endpoints.append(endpoint(service, pod, addresses[:1], nodes.get(podstate.node_of(pod))))
    return list(found.values())


def labels(source: Object, service_name: str, manager: str, *, headless: bool) -> dict[str, str]:
    """The labels of slices: those of the Service (or Endpoints) and the reserved ones."""
    kept = {k: v for k, v in meta.labels(source).items() if k not in (MANAGED_BY, SERVICE_NAME, HEADLESS)}
    own = {MANAGED_BY: manager, SERVICE_NAME: service_name}
    if headless:
        own[HEADLESS] = ""
    return {**kept, **own}


# -- from the slices there are to those there should be


def _ports_key(ports: Iterable[Object] | None) -> bytes:
    rows = sorted(orjson.dumps(port, option=orjson.OPT_SORT_KEYS) for port in ports or ())
    return b"".join(rows)


def _endpoint_key(entry: Object) -> tuple[str, ...]:
    ref = entry.get("targetRef") or {}
    return (str(ref.get("uid") or ""), *entry["addresses"])


def plan(
    wanted: list[Group],
    existing: list[Object],
    wanted_labels: dict[str, str],
    limit: int = MAX_ENDPOINTS,
    *,
    whole: bool = True,
) -> Plan:
    """What to write so that ``existing`` slices (of one address type) hold ``wanted``, at most ``limit`` endpoints in
    each. Endpoints stay in the slice they are in; a slice that is written anyway is filled up first. ``whole``: the
    Service has no other slices."""
    result = Plan()
    by_ports: dict[bytes, list[Object]] = {}
    for held in existing:
        by_ports.setdefault(_ports_key(held.get("ports")), []).append(held)
    for group in wanted:
        _plan_group(group, by_ports.pop(_ports_key(group.ports), []), wanted_labels, limit, result)
    for left in by_ports.values():
        result.delete += left
    if whole and len(result.delete) == len(existing) and not result.create:
        _plan_placeholder(result, wanted_labels)
    while result.create and result.delete:  # write over a slice rather than make one and delete another
        group, reused = result.create.pop(0), result.delete.pop(0)
        result.update.append(_changed(reused, group.ports, group.endpoints, wanted_labels))
    return result


def pod_of(entry: Object) -> str:
    """The key of an endpoint's Pod; "" if it has none."""
    ref = entry.get("targetRef") or {}
    return f"{ref.get('namespace')}/{ref.get('name')}" if ref.get("kind") == "Pod" else ""


def plan_part(
    wanted: list[Group],
    affected: list[Object],
    others: list[Object],
    changed: Set[str],
    wanted_labels: dict[str, str],
    limit: int = MAX_ENDPOINTS,
) -> Plan:
    """The same where nothing changed but Pods with these keys: ``wanted`` are their endpoints, and only ``affected``
    slices hold some of them so far. One of the ``others`` takes endpoints that are new, if it has room for them all."""
    groups: dict[bytes, Group] = {}
    for held in affected:
        group = groups.setdefault(_ports_key(held.get("ports")), Group(held.get("ports") or [], []))
        group.endpoints.extend(e for e in held.get("endpoints") or () if pod_of(e) and pod_of(e) not in changed)
    there = {_endpoint_key(entry) for held in affected for entry in held.get("endpoints") or ()}
    existing = list(affected)
    for given in wanted:
        key = _ports_key(given.ports)
        group = groups.setdefault(key, Group(given.ports, []))
        group.endpoints.extend(given.endpoints)
        new = sum(1 for entry in given.endpoints if _endpoint_key(entry) not in there)
        fitting = [one for one in others if len(one.get("endpoints") or ()) + new <= limit] if new else []
        fullest = max(
            (one for one in fitting if _ports_key(one.get("ports")) == key),
            key=lambda one: len(one.get("endpoints") or ()),
            default=None,
        )
        if fullest is not None:
            existing.append(fullest)
            group.endpoints.extend(fullest.get("endpoints") or ())
    filled = [group for group in groups.values() if group.endpoints]
    return plan(filled, existing, wanted_labels, limit, whole=len(existing) == len(affected) + len(others))


def _plan_placeholder(result: Plan, wanted_labels: dict[str, str]) -> None:
    """A Service without endpoints has one empty slice, which tells that it was looked at."""
    for held in result.delete:
        if not held.get("endpoints") and not held.get("ports") and meta.labels(held) == wanted_labels:
            result.delete.remove(held)
            return
    result.create.append(Group([], []))


def _plan_group(group: Group, existing: list[Object], wanted_labels: dict[str, str], limit: int, result: Plan) -> None:
    waiting = {_endpoint_key(entry): entry for entry in group.endpoints}
    kept: list[tuple[Object, list[Object], bool]] = []  # slice, its endpoints, whether it must be written
    for held in existing:
        now: list[Object] = []
        for entry in held.get("endpoints") or ():
            wanted = waiting.get(_endpoint_key(entry))
            if wanted is not None:
                del waiting[_endpoint_key(entry)]
                now.append(wanted)
        if not now and not (meta.labels(held) == wanted_labels and not group.endpoints):
            result.delete.append(held)
            continue
        dirty = now != list(held.get("endpoints") or ()) or meta.labels(held) != wanted_labels
        kept.append((held, now, dirty))
    new = list(waiting.values())
    # First those that are written anyway, then the fullest that take all that is left.
    for index, (held, now, dirty) in enumerate(kept):
        if dirty and new:
            room = limit - len(now)
            kept[index] = (held, now + new[:room], True)
            new = new[room:]
    if new:
        clean = [index for index, (_, now, dirty) in enumerate(kept) if not dirty and len(now) + len(new) <= limit]
        if clean:
            index = max(clean, key=lambda i: len(kept[i][1]))
            held, now, _ = kept[index]
            kept[index] = (held, now + new, True)
            new = []
    for start in range(0, len(new), limit):
        result.create.append(Group(group.ports, new[start : start + limit]))
    result.update += [_changed(held, group.ports, now, wanted_labels) for held, now, dirty in kept if dirty]


def _changed(held: Object, ports: list[Object], endpoints: list[Object], wanted_labels: dict[str, str]) -> Object:
    metadata = {**held["metadata"], "labels": wanted_labels}
    return {**held, "metadata": metadata, "ports": ports, "endpoints": endpoints}
