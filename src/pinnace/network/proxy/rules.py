"""What nftables must hold for one Service: map and set elements. Pure.

Chains depend only on the number of slots, a power of two (``vip_2``, ``port_2``: choose among two); everything else is
an element of a map, so a change of endpoints is a change of as many elements. For a Service with port 80 at 10.96.0.10,
node port 30080 and the endpoints A and B::

    services            10.96.0.10 . tcp . 80            goto vip_2
    endpoints           10.96.0.10 . tcp . 80 . 0        A . 8080
    endpoints           10.96.0.10 . tcp . 80 . 1        B . 8080
    nodeports           tcp . 30080                      goto port_2
    nodeport_endpoints  tcp . 30080 . 0                  A . 8080
    nodeport_endpoints  tcp . 30080 . 1                  B . 8080
    hairpin             A . A                            (a Pod that reaches itself)
    cluster_ips         10.96.0.10                       (what no chain took is refused)

Where ``externalTrafficPolicy: Local`` leaves those from outside the node's own endpoints, ``inside`` and
``inside_nodeports`` lead Pods and the node to all of them. ``unserved`` says what becomes of connections to an address
that has no endpoints (refused), or none here (dropped). ``limited`` and ``allowed`` are a load balancer's source
ranges.

A Service with ``sessionAffinity: ClientIP`` has ``slots`` and ``sticky`` in place of ``endpoints`` (see ``chains``).
IPv4 only; whatever is no IPv4 address or port is left out, so that nothing but numbers gets into a rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from pinnace.api.types import Object
from pinnace.network.proxy import chains, fronts, slots
from pinnace.network.proxy.fronts import Front, Place, Plan
from pinnace.network.proxy.pools import Endpoint, PoolKey, Pools
from pinnace.network.proxy.slots import Moves
from pinnace.network.proxy.table import Change, Element

#: What the names of a kind's maps begin with, and the map that leads to its chains.
_MAPS = {
    "vip": ("", "services"),
    "outside": ("", "services"),
    "inside": ("inside_", "inside"),
    "port": ("nodeport_", "nodeports"),
    "localport": ("nodeport_", "nodeports"),
    "insideport": ("inside_nodeport_", "inside_nodeports"),
}


def elements(service: Object, slices: Iterable[Object], place: Place) -> dict[Element, str]:
    """All elements of one Service on that node. The same input in another order gives the same result."""
    rules = ServiceRules(place)
    rules.load({str(number): slice for number, slice in enumerate(slices)})
    rules.follow(service)
    return rules.elements()


class ServiceRules:
    """One Service's elements, kept current. What a change of a slice costs does not depend on the others."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._plan = fronts.NOTHING
        self._ceded: Set[Element] = frozenset()
        self._fronts: list[Front] = []  # that are not ceded
        self._pools = Pools(place.node)
        self._by_pool: dict[PoolKey, list[Front]] = {}
        self._unserved: dict[Element, str] = {}
        self._hairpin: dict[str, int] = {}  # addresses, and how many endpoints of the plan's pools have them

    @property
    def local(self) -> int:
        """How many ready endpoints are on the node."""
        return self._pools.local

    def follow(self, service: Object | None) -> Change:
        """The Service is like this now (None: gone). What asks for no other rules costs nothing."""
        plan = fronts.plan(service, self._place) if service is not None else fronts.NOTHING
        if plan == self._plan:
            return Change()
        return self._become(plan, self._ceded)

    @property
    def leads(self) -> set[Element]:
        """What leads to the Service's chains."""
        return {_lead(front) for front in self._plan.fronts}

    def cede(self, leads: Set[Element]) -> Change:
        """Leave these to another Service, and no others."""
        return self._become(self._plan, leads) if leads != self._ceded else Change()

    def _become(self, plan: Plan, ceded: Set[Element]) -> Change:
        before = self.elements()
        self._plan, self._ceded, self._by_pool, self._hairpin = plan, ceded, {}, {}
        self._unserved = plan.unserved(self._is_held)
        self._fronts = [front for front in plan.fronts if _lead(front) not in ceded]
        for front in self._fronts:
            self._by_pool.setdefault(front.pool, []).append(front)
        for pool in plan.pools:
            for endpoint in self._pools.held(pool):
                self._hairpin[endpoint.address] = self._hairpin.get(endpoint.address, 0) + 1
        return Change.between(before, self.elements())

    def load(self, changed: Mapping[str, Object | None]) -> Change:
        """These slices, by their names, are like this now (None: gone)."""
        change = Change()
        moves = self._pools.change(changed)
        for pool, moved in moves.items():
            for front in self._by_pool.get(pool, ()):
                self._move(front, moved, change)
            if pool in self._plan.pools:
                self._count_hairpins(moved, change)
            self._pools.forget_numbers(pool, moved.left)
        if any(not self._count_before(pool, moved) or not self._is_held(pool) for pool, moved in moves.items()):
            before, self._unserved = self._unserved, self._plan.unserved(self._is_held)
            refusals = Change.between(before, self._unserved)
            change.remove.update(refusals.remove)
            change.add.update(refusals.add)
        return change

    def elements(self) -> dict[Element, str]:
        """All of them."""
        found = {**self._plan.fixed, **self._unserved}
        for front in self._fronts:
            found.update(self._ways(front))
        found.update((_hairpin(address), "") for address in self._hairpin)
        return found

    # -- from a front to its endpoints

    def _ways(self, front: Front) -> Iterator[tuple[Element, str]]:
        held = self._pools.held(front.pool)
        if held:
            yield _lead(front), self._chain(front, len(held))
        for slot, endpoint in enumerate(held[: slots.MOST]):
            yield self._slot(front, slot, endpoint)
        if self._plan.timeout:
            for endpoint in held:
                yield self._sticky(front, endpoint)

    def _move(self, front: Front, moved: Moves[Endpoint], change: Change) -> None:
        before, after = self._count_before(front.pool, moved), len(self._pools.held(front.pool))
        leads = [self._chain(front, count) if count else None for count in (before, after)]
        if leads[0] != leads[1]:
            change.remove.update({_lead(front): leads[0]} if leads[0] else {})
            change.add.update({_lead(front): leads[1]} if leads[1] else {})
        for slot, (old, new) in moved.slots.items():
            if slot >= slots.MOST:
                continue
            change.remove.update([self._slot(front, slot, old)] if old else ())
            change.add.update([self._slot(front, slot, new)] if new else ())
        if self._plan.timeout:
            change.remove.update(self._sticky(front, endpoint) for endpoint in moved.left)
            change.add.update(self._sticky(front, endpoint) for endpoint in moved.came)

    def _chain(self, front: Front, count: int) -> str:
        return f"goto {chains.name(front.kind, slots.size(count), self._plan.timeout)}"

    def _slot(self, front: Front, slot: int, endpoint: Endpoint) -> tuple[Element, str]:
        maps, key = _MAPS[front.kind][0], f"{front.key} . {slot}"
        if self._plan.timeout:
            return Element(f"{maps}slots", key), self._number(front, endpoint)
        return Element(f"{maps}endpoints", key), f"{endpoint.address} . {endpoint.port}"

    def _sticky(self, front: Front, endpoint: Endpoint) -> tuple[Element, str]:
        key = f"{front.key} . {self._number(front, endpoint)}"
        return Element(f"{_MAPS[front.kind][0]}sticky", key), f"{endpoint.address} . {endpoint.port}"

    def _number(self, front: Front, endpoint: Endpoint) -> str:
        return f"{self._pools.number(front.pool, endpoint):#010x}"

    # -- counting

    def _is_held(self, pool: PoolKey) -> bool:
        return bool(self._pools.held(pool))

    def _count_before(self, pool: PoolKey, moved: Moves[Endpoint]) -> int:
        return len(self._pools.held(pool)) - len(moved.came) + len(moved.left)

    def _count_hairpins(self, moved: Moves[Endpoint], change: Change) -> None:
        for endpoint in moved.came:
            self._hairpin[endpoint.address] = count = self._hairpin.get(endpoint.address, 0) + 1
            if count == 1:
                change.add[_hairpin(endpoint.address)] = ""
        for endpoint in moved.left:
            self._hairpin[endpoint.address] -= 1
            if not self._hairpin[endpoint.address]:
                del self._hairpin[endpoint.address]
                change.remove[_hairpin(endpoint.address)] = ""


def _lead(front: Front) -> Element:
    return Element(_MAPS[front.kind][1], front.key)


def _hairpin(address: str) -> Element:
    return Element("hairpin", f"{address} . {address}")
