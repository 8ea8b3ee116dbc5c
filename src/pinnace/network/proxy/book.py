"""Everything the table holds, from whom: Services with their slices, and Pods with ports of the node. Pure.

Of Services that want the same address and port (an external IP claimed twice) the first in order of their names gets
it, as a whole.

Each method takes over one change of the cluster and returns the change of the table that follows. Slices are kept of
Services that have rules only; one that gets some comes with all its slices.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from pinnace.api.types import Object
from pinnace.network.proxy import fronts, hostports
from pinnace.network.proxy.fronts import Place
from pinnace.network.proxy.rules import ServiceRules
from pinnace.network.proxy.table import Change, Element, Elements, Table

_NOTHING: Elements = {}


class Book:
    """For one node. From one thread at a time."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._table = Table()
        self._services: dict[str, ServiceRules] = {}
        self._claims: dict[Element, set[str]] = {}
        self._pods: dict[str, Elements] = {}

    def elements(self) -> dict[Element, str]:
        """Everything that should be in the kernel."""
        return self._table.elements()

    def __contains__(self, service: object) -> bool:
        """Whether a Service has rules."""
        return service in self._services

    def local(self, service: str) -> int:
        """How many ready endpoints the Service has on the node."""
        rules = self._services.get(service)
        return rules.local if rules is not None else 0

    def service(self, key: str, service: Object | None, slices: Mapping[str, Object]) -> Change:
        """The Service is like this now (None: gone). ``slices`` are all it has, by their names, if it had no rules."""
        rules = self._services.get(key)
        if service is not None and not fronts.is_ours(service):
            service = None
        if rules is None:
            if service is None:
                return Change()
            rules = self._services[key] = ServiceRules(self._place)
            rules.load(slices)
        before = rules.leads
        change = self._table.apply(key, rules.follow(service))
        if service is None:
            del self._services[key]
        for owner in self._claim(key, before, rules.leads):
            ceded = {lead for lead in self._services[owner].leads if min(self._claims[lead]) != owner}
            change.extend(self._table.apply(owner, self._services[owner].cede(ceded)))
        return change

    def _claim(self, key: str, before: Set[Element], after: Set[Element]) -> set[str]:
        """A Service claims what leads to its chains. Those who are to look again what they have of it."""
        others: set[str] = set()
        for lead in before - after:
            self._claims[lead].remove(key)
            others |= self._claims[lead]
            if not self._claims[lead]:
                del self._claims[lead]
        for lead in after - before:
            claims = self._claims.setdefault(lead, set())
            claims.add(key)
            others |= claims if len(claims) > 1 else set()
        return others & self._services.keys()

    def slices(self, key: str, changed: Mapping[str, Object | None]) -> Change:
        """Slices of a Service, by their names, are like this now (None: they are gone, or another Service's)."""
        rules = self._services.get(key)
        return self._table.apply(key, rules.load(changed)) if rules is not None else Change()

    def pod(self, key: str, pod: Object | None) -> Change:
        """A Pod of this node is like this now (None: gone)."""
        before, after = self._pods.pop(key, _NOTHING), hostports.elements(pod) if pod is not None else _NOTHING
        if after:
            self._pods[key] = after
        return self._table.apply(hostports.PREFIX + key, Change.between(before, after))
