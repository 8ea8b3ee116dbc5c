"""Give Services their cluster IPs and node ports, on creation and update, as kube-apiserver's Service storage does.

``allocate`` runs during admission: it fills in what a Service leaves open, reserves what it names, and appends to
``undo`` how to give that back. What Services hold is followed in the store, which also frees what they drop.

Where other API servers allocate too (a store that is shared), what one has reserved the others do not know. There every
Service that gets something new is written together with one key, ``FENCE``, if nobody else has written that since the
state in which what it gets was seen to be free. Whoever comes second looks again.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from functools import partial

from pinnace.api import errors, meta
from pinnace.api.errors import ApiError, FieldError, go_quote
from pinnace.api.types import Object
from pinnace.apiserver.allocation import carry
from pinnace.apiserver.allocation.pool import FullError, Pool, TakenError
from pinnace.apiserver.request import Charge, OutrunError
from pinnace.apiserver.resources import codec
from pinnace.store.local import LocalStore
from pinnace.store.protocol import Event, Store, Watch, prefix_end

PREFIX = "/registry/services/"
HEADLESS = "None"
FENCE = "/registry/ranges/services"
Undo = list[Callable[[], None]]


class ServiceAllocator:
    """One IP family, one range of addresses, one of node ports."""

    def __init__(self, *, cidr: str = "10.96.0.0/16", node_ports: tuple[int, int] = (30000, 32767)) -> None:
        self._network = ipaddress.ip_network(cidr)
        self._family = f"IPv{self._network.version}"
        first, count = int(self._network.network_address), self._network.num_addresses
        last = first + count - (2 if self._network.version == 4 else 1)  # without the broadcast address
        self._addresses = Pool(first + 1, last, lower=0 if count <= 16 else min(max(16, count // 16), 256))
        ports = node_ports[1] - node_ports[0] + 1
        self._ports = Pool(*node_ports, lower=0 if ports < 48 else min(max(16, ports // 32), 128))
        self._watch: Watch | None = None
        self._store: Store | None = None

    @property
    def shared(self) -> bool:
        """Whether other API servers allocate from the same ranges."""
        return self._store is not None and not isinstance(self._store, LocalStore)

    def follow(self, store: Store) -> None:
        """Take in what stored Services hold, and every change from here on. Idempotent; before ``allocate``."""
        if self._watch is not None:
            return
        self._store = store
        revision = store.revision
        for kv in store.range(PREFIX, prefix_end(PREFIX), revision=revision).items:
            self._hold(codec.decoded(kv))
        self._watch = store.watch(PREFIX, prefix_end(PREFIX), revision, self._take)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()

    def _take(self, events: Sequence[Event] | None) -> None:
        for event in events or ():
            if event.current is not None:
                self._hold(codec.decoded(event.current))
            else:
                owner = event.key.removeprefix(PREFIX)
                self._addresses.set_held(owner, ())
                self._ports.set_held(owner, ())

    def _hold(self, service: Object) -> None:
        spec, owner = service.get("spec") or {}, meta.key(service)
        addresses = (number for text in carry.addresses(spec) if (number := self._number(text)) is not None)
        self._addresses.set_held(owner, addresses)
        self._ports.set_held(owner, carry.node_ports(spec))

    def charges(self, new: Object, old: Object | None) -> list[Charge]:
        """What to write with ``new`` so that nobody else gets what it gets. Raises OutrunError if somebody has."""
        assert self._store is not None
        owner = meta.key(new)
        before = self._numbers((old or {}).get("spec") or {})
        gained = [pair for pair in self._numbers(new.get("spec") or {}) if pair not in before]
        if any(pool.owner(number) != owner for pool, number in gained):
            raise OutrunError
        if not gained:
            return []
        fence = self._store.get(FENCE)
        return [Charge(FENCE, fence.mod_revision if fence else 0, {"metadata": {"name": owner}})]

    def _numbers(self, spec: Object) -> list[tuple[Pool, int]]:
        """What a Service with ``spec`` holds of which pool."""
        addresses = [number for text in carry.addresses(spec) if (number := self._number(text)) is not None]
        found = [(self._addresses, number) for number in addresses]
        found += [(self._ports, number) for number in carry.node_ports(spec)]
        return [(pool, number) for pool, number in found if number in pool]

    def _number(self, text: str) -> int | None:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        return int(address) if address in self._network else None

    # -- one Service

    def allocate(self, new: Object, old: Object | None, undo: Undo, *, dry_run: bool = False) -> None:
        """Complete ``new`` in place. Raises ApiError 422, or 500 when a range is full; then everything taken so far is
        in ``undo``. A dry run takes nothing in the end."""
        spec = new.get("spec")
        if not isinstance(spec, dict):
            return  # validation says so
        mine: Undo = undo if not dry_run else []
        try:
            if old is not None:
                carry.carry_over(spec, old.get("spec") or {})
            self._families(new, spec)
            self._cluster_ip(new, spec, old, mine)
            self._node_ports(new, spec, mine)
            self._health_check_port(new, spec, mine)
        finally:
            if dry_run:
                for give_back in mine:
                    give_back()

    def _families(self, new: Object, spec: Object) -> None:
        """Set ``ipFamilies`` and ``ipFamilyPolicy``."""
        if spec.get("type") == "ExternalName":
            return
        families, policy = spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
        if spec.get("clusterIP") == HEADLESS and not spec.get("selector"):
            # nothing is allocated and nothing selected: it may speak both
            spec.setdefault("ipFamilyPolicy", "SingleStack" if len(families) == 1 else "RequireDualStack")
            if not families:
                other = "IPv6" if self._family == "IPv4" else "IPv4"
                single = spec["ipFamilyPolicy"] == "SingleStack"
                spec["ipFamilies"] = [self._family] if single else [self._family, other]
            return
        problems: list[FieldError] = []
        if policy == "RequireDualStack":
            detail = "this cluster is not configured for dual-stack services"
            problems.append(errors.invalid_value("spec.ipFamilyPolicy", policy, detail))
        problems += [
            errors.invalid_value(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")
            for i, family in enumerate(families)
            if family != self._family and family in ("IPv4", "IPv6")
        ]
        if problems:
            raise _invalid(new, problems)
        if not policy:
            spec["ipFamilyPolicy"] = "SingleStack"
        if not families:
            spec["ipFamilies"] = [self._family]

    def _cluster_ip(self, new: Object, spec: Object, old: Object | None, undo: Undo) -> None:
        if spec.get("type") not in ("ClusterIP", "NodePort", "LoadBalancer"):
            return
        owner = meta.key(new)
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if wanted == HEADLESS:
            spec["clusterIP"] = HEADLESS
            spec["clusterIPs"] = [HEADLESS]
            return
        if not wanted:
            try:
                number = self._addresses.choose(owner)
            except FullError as error:
                raise errors.internal("failed to allocate a serviceIP: range is full") from error
            undo.append(partial(self._addresses.release, number, owner))
            wanted = str(ipaddress.ip_address(number))
        elif wanted not in carry.addresses((old or {}).get("spec") or {}):
            self._named_ip(new, wanted, owner, undo)
        spec["clusterIP"] = wanted
        if not spec.get("clusterIPs"):
            spec["clusterIPs"] = [wanted]

    def _named_ip(self, new: Object, wanted: str, owner: str, undo: Undo) -> None:
        number = self._number(wanted)
        if number is None or number not in self._addresses:
            try:
                ipaddress.ip_address(wanted)
            except ValueError:
                return  # validation says that it is no address
            why = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self._network}"
            raise _invalid(new, [_ip_problem(wanted, why)])
        try:
            self._addresses.reserve(number, owner)
        except TakenError as error:
            raise _invalid(new, [_ip_problem(wanted, "provided IP is already allocated")]) from error
        undo.append(partial(self._addresses.release, number, owner))

    def _node_ports(self, new: Object, spec: Object, undo: Undo) -> None:
        """Ports of one Service with the same number and different protocols get the same node port."""
        needed = carry.needs_node_ports(spec)
        if not needed and spec.get("type") != "LoadBalancer":
            return
        owner = meta.key(new)
        taken: dict[tuple[int, str], int] = {}  # (node port, protocol)
        by_number: dict[int, int] = {}
        for index, port in carry.ports(spec):
            protocol, chosen = str(port.get("protocol") or "TCP"), port.get("nodePort") or 0
            if chosen:
                if (chosen, protocol) not in taken:
                    self._named_port(new, f"spec.ports[{index}].nodePort", chosen, owner, undo)
            elif needed:
                shared = by_number.get(port.get("port", 0))
                if shared is not None and (shared, protocol) not in taken:
                    chosen = shared
                else:
                    chosen = self._chosen_port(owner, undo)
                port["nodePort"] = chosen
            else:
                continue
            taken[chosen, protocol] = index
            by_number.setdefault(port.get("port", 0), chosen)

    def _chosen_port(self, owner: str, undo: Undo) -> int:
        try:
            number = self._ports.choose(owner)
        except FullError as error:
            raise errors.internal("failed to allocate a nodePort: range is full") from error
        undo.append(partial(self._ports.release, number, owner))
        return number

    def _named_port(self, new: Object, field: str, number: object, owner: str, undo: Undo) -> None:
        if not isinstance(number, int):
            return  # validation says so
        if number not in self._ports:
            valid = f"{self._ports.first}-{self._ports.last}"
            why = f"provided port is not in the valid range. The range of valid ports is {valid}"
            raise _invalid(new, [errors.invalid_value(field, number, why)])
        try:
            self._ports.reserve(number, owner)
        except TakenError as error:
            why = "provided port is already allocated"
            raise _invalid(new, [errors.invalid_value(field, number, why)]) from error
        undo.append(partial(self._ports.release, number, owner))

    def _health_check_port(self, new: Object, spec: Object, undo: Undo) -> None:
        if spec.get("type") != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
            return
        if spec.get("healthCheckNodePort"):
            self._named_port(new, "spec.healthCheckNodePort", spec["healthCheckNodePort"], meta.key(new), undo)
        else:
            spec["healthCheckNodePort"] = self._chosen_port(meta.key(new), undo)


def _ip_problem(wanted: str, why: str) -> FieldError:
    shown = f"[]string{{{go_quote(wanted)}}}"
    text = f"Invalid value: {shown}: failed to allocate IP {wanted}: {why}"
    return FieldError("FieldValueInvalid", "spec.clusterIPs", text)


def _invalid(service: Object, problems: list[FieldError]) -> ApiError:
    return errors.invalid("", "Service", meta.name(service), problems)
