"""Bring a cluster's bootstrap objects up to date before the API server is ready.

What is missing is written in transactions under way at once, so a new cluster costs one fsync. What exists is compared,
by the rule of its kind, and written only where it lacks something: roles get missing rules and keep others, bindings
get missing subjects, unless their ``autoupdate`` annotation says false; flow control follows the defaults while its
annotation says true; the API server's Service and endpoints follow its address. Other writers come later: nothing else
runs yet, so a lost race means a second API server on the same store, whose defaults are as good. While the cluster
runs, ``keep`` makes again what must never be missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from pinnace.api import meta
from pinnace.api.types import Object
from pinnace.apiserver.auth import rules
from pinnace.apiserver.bootstrap import objects, policy, tracking
from pinnace.apiserver.resources import codec
from pinnace.core.clock import Clock, timestamp
from pinnace.store.protocol import TXN_COMPARES, Compare, Put, Store, Txn

_PLURALS = {
    "Namespace": "namespaces",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "FlowSchema": "flowschemas",
    "PriorityLevelConfiguration": "prioritylevelconfigurations",
    "PriorityClass": "priorityclasses",
    "Service": "services",
    "Endpoints": "endpoints",
    "EndpointSlice": "endpointslices",
    "ConfigMap": "configmaps",
    "ServiceCIDR": "servicecidrs",
}

#: Seconds between two looks of ``keep``, as upstream.
PERIOD = 10.0

#: ``(stored, wanted)``: the object to store instead (a copy), or None if the stored one is fine.
Merge = Callable[[Object, Object], Object | None]


def key_of(obj: Object) -> str:
    """Where the store keeps ``obj``."""
    group = str(obj["apiVersion"]).rpartition("/")[0]
    parts = ["/registry", group, _PLURALS[obj["kind"]], meta.namespace(obj), meta.name(obj)]
    return "/".join(part for part in parts if part)


async def bootstrap(
    store: Store,
    clock: Clock,
    *,
    endpoint: objects.Endpoint | None = None,
    client_authority: Object | None = None,
    service_cidr: str = "10.96.0.0/16",
    alone: bool = True,
) -> None:
    """See the module's docstring. ``endpoint`` is None for an API server that is not reached over the network. One that
    is not ``alone`` leaves the Endpoints of its Service to ``peers``."""
    wanted = [*objects.namespaces(), *policy.rbac_objects(), *policy.flow_objects(), *objects.priority_classes()]
    wanted.append(objects.service_range(service_cidr, timestamp(clock.now())))
    if endpoint is not None:
        wanted += objects.kubernetes_service(endpoint)[: None if alone else 1]
    if client_authority is not None:
        wanted.append(client_authority)
    for _ in range(5):  # a second API server may write the same at the same time
        await store.sync()
        if await ensure(store, clock, wanted):
            return


async def keep(store: Store, clock: Clock, wanted: Sequence[Object]) -> None:
    """For ever: whichever of ``wanted`` somebody deleted is back within ``PERIOD`` seconds. Raises StoreError."""
    while True:
        await clock.sleep(PERIOD, routine=True)
        await ensure(store, clock, [obj for obj in wanted if store.get(key_of(obj)) is None])


async def ensure(store: Store, clock: Clock, wanted: Sequence[Object]) -> bool:
    """Bring ``wanted`` up to date; False if somebody else wrote some of them meanwhile. Raises StoreError."""
    changes = _changes(store, clock, wanted)
    parts = [changes[at : at + TXN_COMPARES] for at in range(0, len(changes), TXN_COMPARES)]
    txns = [Txn([compare for compare, _ in part], [put for _, put in part]) for part in parts]
    return all(answer.succeeded for answer in await asyncio.gather(*map(store.commit, txns)))


def _changes(store: Store, clock: Clock, wanted: Iterable[Object]) -> list[tuple[Compare, Put]]:
    changes: list[tuple[Compare, Put]] = []
    now = timestamp(clock.now())
    for obj in wanted:
        key = key_of(obj)
        kv = store.get(key)
        if kv is None:
            fresh: Object | None = _fresh(obj, now)
        else:
            stored = codec.decoded(kv)
            fresh = _MERGES.get(obj["kind"], _keep)(stored, obj)
            if fresh is not None and not fresh["metadata"].get("uid"):
                fresh = _fresh(fresh, now)
            elif fresh is not None:
                tracking.track_change(fresh, stored, now)
        if fresh is not None:
            changes.append((Compare(key, kv.mod_revision if kv else 0), Put(key, codec.encode(fresh))))
    return changes


def _fresh(obj: Object, now: str) -> Object:
    """``obj`` as the API server itself creates it."""
    made = {**obj, "metadata": {**obj["metadata"], "uid": meta.new_uid(), "creationTimestamp": now}}
    tracking.track_new(made, now)
    return made


def _keep(stored: Object, wanted: Object) -> Object | None:
    return None


def _with_metadata(stored: Object, wanted: Object) -> Object | None:
    """A copy with the labels and annotations that are missing; None if none is."""
    missing = {
        field: {key: value for key, value in (wanted["metadata"].get(field) or {}).items() if key not in held}
        for field in ("labels", "annotations")
        for held in [meta.metadata(stored).get(field) or {}]
    }
    if not any(missing.values()):
        return None
    merged: Object = meta.copy(stored)
    for field, values in missing.items():
        if values:
            merged["metadata"][field] = {**values, **(merged["metadata"].get(field) or {})}
    return merged


def _role(stored: Object, wanted: Object) -> Object | None:
    if meta.annotations(stored).get(policy.AUTO_UPDATE) == "false":
        return None
    merged = _with_metadata(stored, wanted)
    if "aggregationRule" in wanted:
        selectors = wanted["aggregationRule"]["clusterRoleSelectors"]
        held = (stored.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        if any(selector not in held for selector in selectors):
            merged = merged or meta.copy(stored)
            merged["aggregationRule"] = {"clusterRoleSelectors": held + [s for s in selectors if s not in held]}
        return merged
    if stored.get("rules") != wanted["rules"]:
        missing = rules.uncovered(rules.compile_rules(wanted["rules"]), rules.compile_rules(stored.get("rules")))
        if missing:
            merged = merged or meta.copy(stored)
            merged["rules"] = (stored.get("rules") or []) + [rules.decompile(rule) for rule in missing]
    return merged


def _binding(stored: Object, wanted: Object) -> Object | None:
    if meta.annotations(stored).get(policy.AUTO_UPDATE) == "false":
        return None
    if stored.get("roleRef") != wanted["roleRef"]:  # cannot change: another object of the same name
        return {**meta.copy(wanted), "metadata": {**meta.copy(wanted["metadata"]), "uid": ""}}
    merged = _with_metadata(stored, wanted)
    held = stored.get("subjects") or []
    missing = [subject for subject in wanted.get("subjects") or () if subject not in held]
    if missing:
        merged = merged or meta.copy(stored)
        merged["subjects"] = held + missing
    return merged


def _flow(stored: Object, wanted: Object) -> Object | None:
    if meta.annotations(stored).get(policy.AUTO_UPDATE_SPEC) != "true" or stored.get("spec") == wanted["spec"]:
        return None
    merged: Object = meta.copy(stored)
    merged["spec"] = wanted["spec"]
    merged["metadata"]["generation"] = meta.generation(stored) + 1
    return merged


def _follow(*fields: str) -> Merge:
    """Keep the object, but with ``fields`` as wanted."""

    def merge(stored: Object, wanted: Object) -> Object | None:
        merged = _with_metadata(stored, wanted)
        for field in fields:
            if stored.get(field) != wanted[field]:
                merged = merged or meta.copy(stored)
                merged[field] = wanted[field]
        return merged

    return merge


_MERGES: dict[str, Merge] = {
    "ClusterRole": _role,
    "Role": _role,
    "ClusterRoleBinding": _binding,
    "RoleBinding": _binding,
    "FlowSchema": _flow,
    "PriorityLevelConfiguration": _flow,
    "Namespace": _with_metadata,
    "Service": _follow("spec"),
    "Endpoints": _follow("subsets"),
    "EndpointSlice": _follow("endpoints", "ports", "addressType"),
    "ConfigMap": _follow("data"),
}
