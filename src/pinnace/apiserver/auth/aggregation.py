"""Aggregated ClusterRoles: a role with an ``aggregationRule`` has the rules of all roles that its selectors choose.

``RoleAggregation`` keeps it so in the store: after every change of a ClusterRole it computes all aggregated ones anew
until nothing changes, since one may take in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

import orjson

from pinnace.api import meta, selectors
from pinnace.api.types import Object
from pinnace.apiserver.auth.policy import CLUSTER_ROLES
from pinnace.apiserver.resources import codec
from pinnace.core.clock import Clock, timestamp
from pinnace.store.protocol import TXN_COMPARES, Compare, Event, Put, Store, StoreError, Txn, Watch, prefix_end

log = logging.getLogger(__name__)

#: Aggregated roles that take in each other settle in as many rounds as they are deep; a cycle settles as well.
_ROUNDS = 20
_RETRY_SECONDS = 5.0


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules ``role`` gets from ``roles`` by its ``aggregationRule``: by the roles' names, each rule once. Raises
    SelectorError for a selector that validation would refuse."""
    chosen: list[Object] = []
    known: set[bytes] = set()
    for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        matches = selectors.label_selector(selector).matches
        for other in sorted(roles, key=meta.name):
            if meta.name(other) == meta.name(role) or not matches(meta.labels(other)):
                continue
            for rule in other.get("rules") or ():
                text = orjson.dumps(rule, option=orjson.OPT_SORT_KEYS)
                if text not in known:
                    known.add(text)
                    chosen.append(rule)
    return chosen


def _with_rules(role: Object, rules: list[Object], now: str) -> Object:
    """``role`` with these rules, which are the aggregation's from then on."""
    from pinnace.apiserver.bootstrap import tracking  # not before something is aggregated

    config = {"apiVersion": role["apiVersion"], "kind": role["kind"], "rules": rules}
    return tracking.applied(role, config, tracking.ROLE_AGGREGATION, now)


class RoleAggregation:
    """See the module's docstring. ``start`` within the event loop that owns the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._watch: Watch | None = None
        self._changed = asyncio.Event()
        self._changed.set()  # what an earlier process did not get to
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watch = self._store.watch(CLUSTER_ROLES, prefix_end(CLUSTER_ROLES), self._store.revision, self._take)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="auth/role-aggregation")

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._task is not None:
            self._task.cancel()

    def _take(self, events: Sequence[Event] | None) -> None:
        if events:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.settle()
            except StoreError as error:
                log.warning("aggregated cluster roles are not up to date: %s", error)
                await self._clock.sleep(_RETRY_SECONDS)
                self._changed.set()

    async def settle(self) -> None:
        """Bring every aggregated role up to date. Raises StoreError."""
        now = timestamp(self._clock.now())
        for _ in range(_ROUNDS):
            stored = self._store.range(CLUSTER_ROLES, prefix_end(CLUSTER_ROLES)).items
            roles = [codec.decoded(kv) for kv in stored]
            writes = [
                (Compare(kv.key, kv.mod_revision), Put(kv.key, codec.encode(_with_rules(role, rules, now))))
                for kv, role in zip(stored, roles, strict=True)
                if role.get("aggregationRule") and (rules := self._rules(role, roles)) is not None
            ]
            if not writes:
                return
            del writes[TXN_COMPARES:]  # the rest in the next round
            await self._store.commit(Txn([compare for compare, _ in writes], [put for _, put in writes]))

    @staticmethod
    def _rules(role: Object, roles: list[Object]) -> list[Object] | None:
        """None if it has the right ones."""
        try:
            rules = aggregated_rules(role, roles)
        except selectors.SelectorError as error:
            log.warning("cluster role %s has a selector that cannot be understood: %s", meta.name(role), error)
            return None
        return rules if rules != (role.get("rules") or []) else None
