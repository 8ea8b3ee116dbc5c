"""A Deployment's rollout, computed: which ReplicaSet is the current one, and the size each of them is to have.

Promises, for a rolling update in which every step is carried out: all ReplicaSets together never ask for more than
``replicas + maxSurge`` Pods, and no step takes away an available Pod while fewer than ``replicas - maxUnavailable``
are available. Pure: ReplicaSets come in as objects, sizes go out as numbers.

    >>> fenceposts({"strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}, 3)
    (1, 0)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import orjson

from pinnace.api import meta
from pinnace.api.types import Object

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
#: Annotations of a Deployment that its ReplicaSets do not inherit.
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        "deprecated.deployment.rollback.to",
    }
)
_REVISION_HISTORY_BYTES = 2000


class Scale(NamedTuple):
    """``replica_set`` is to have ``replicas``."""

    replica_set: Object
    replicas: int


# -- reading


def replicas_of(obj: Object) -> int:
    """``spec.replicas``, which defaults to 1."""
    value = obj["spec"].get("replicas")
    return 1 if value is None else int(value)


def available_of(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas") or 0)


def total(replica_sets: Iterable[Object]) -> int:
    """The Pods that the sets ask for."""
    return sum(map(replicas_of, replica_sets))


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def by_age(replica_sets: Iterable[Object]) -> list[Object]:
    """Oldest first, then by name."""
    return sorted(replica_sets, key=lambda rs: (meta.metadata(rs).get("creationTimestamp") or "", meta.name(rs)))


def revision(obj: Object) -> int:
    """The revision an object is annotated with, 0 if it has none or it is no number."""
    try:
        return int(meta.annotations(obj).get(REVISION, "0"))
    except ValueError:
        return 0


# -- the template


def _bare_template(template: Object) -> Object:
    """The template without the hash label, and without empty parts (which mean the same as absent ones)."""
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    bare: Object = _prune({**template, "metadata": metadata})
    return bare


def _prune(value: object) -> Object:
    pruned: Object = {}
    assert isinstance(value, dict)
    for key, item in value.items():
        if isinstance(item, dict):
            # An empty struct that is named means something: ``emptyDir: {}``.
            pruned[key] = _prune(item)
        elif item is not None and item != []:
            pruned[key] = item
    return pruned


def same_template(one: Object, other: Object) -> bool:
    """Whether two Pod templates are the same apart from the hash label."""
    return bool(_bare_template(one) == _bare_template(other))


def template_hash(template: Object, collisions: int | None) -> str:
    """A stable name for a template: FNV-1a over its canonical JSON, in the alphabet of generated names."""
    value = 2166136261
    data = orjson.dumps(_bare_template(template), option=orjson.OPT_SORT_KEYS)
    if collisions is not None:
        data += str(collisions).encode()
    for byte in data:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(meta.SUFFIX_ALPHABET[ord(digit) % len(meta.SUFFIX_ALPHABET)] for digit in str(value))


def find_new(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The ReplicaSet that has the Deployment's template: the oldest, should there be several."""
    template = deployment["spec"]["template"]
    return next((rs for rs in by_age(replica_sets) if same_template(rs["spec"]["template"], template)), None)


# -- sizes


def absolute(value: int | str | None, of: int, *, up: bool) -> int:
    """A number, or a percentage of ``of`` rounded up or down; None is 0."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    part = int(value.removesuffix("%")) * of / 100
    return math.ceil(part) if up else math.floor(part)


def fenceposts(spec: Object, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in Pods: surge rounded up, unavailable down; both 0 would never get anywhere, so
    then one may be unavailable."""
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = absolute(rolling.get("maxSurge"), desired, up=True)
    unavailable = absolute(rolling.get("maxUnavailable"), desired, up=False)
    return (0, 1) if surge == 0 and unavailable == 0 else (surge, unavailable)


def max_surge(deployment: Object) -> int:
    if not is_rolling(deployment):
        return 0
    return fenceposts(deployment["spec"], replicas_of(deployment))[0]


def max_unavailable(deployment: Object) -> int:
    desired = replicas_of(deployment)
    if not is_rolling(deployment) or desired == 0:
        return 0
    return min(fenceposts(deployment["spec"], desired)[1], desired)


def new_size(deployment: Object, replica_sets: Iterable[Object], new: Object) -> int:
    """The size the current ReplicaSet may grow to now. ``replica_sets`` are all, ``new`` (maybe of size 0) too."""
    desired = replicas_of(deployment)
    if not is_rolling(deployment):
        return desired
    room = desired + max_surge(deployment) - total(replica_sets)
    if room <= 0:
        return replicas_of(new)
    return replicas_of(new) + min(room, desired - replicas_of(new))


def new_step(deployment: Object, replica_sets: list[Object], new: Object) -> Scale | None:
    """How the current ReplicaSet changes next, if it does."""
    size, desired = replicas_of(new), replicas_of(deployment)
    if size == desired:
        return None
    wanted = desired if size > desired else new_size(deployment, replica_sets, new)
    return None if wanted == size else Scale(new, wanted)


def old_steps(deployment: Object, old: list[Object], new: Object) -> list[Scale]:
    """How the old ReplicaSets shrink next: first Pods that are not available anyhow, then available ones, as far as
    the minimum of available Pods stays held."""
    active = [rs for rs in by_age(old) if replicas_of(rs) > 0]
    if not active:
        return []
    sizes = {meta.uid(rs): replicas_of(rs) for rs in active}
    minimum = replicas_of(deployment) - max_unavailable(deployment)
    new_unavailable = replicas_of(new) - available_of(new)
    budget = sum(sizes.values()) + replicas_of(new) - minimum - new_unavailable
    if budget <= 0:
        return []
    for rs in active:
        gone = min(budget, max(sizes[meta.uid(rs)] - available_of(rs), 0))
        sizes[meta.uid(rs)] -= gone
        budget -= gone
    spare = sum(available_of(rs) for rs in [*old, new]) - minimum
    for rs in active:
        if spare <= 0:
            break
        gone = min(sizes[meta.uid(rs)], spare)
        sizes[meta.uid(rs)] -= gone
        spare -= gone
    return [Scale(rs, sizes[meta.uid(rs)]) for rs in active if sizes[meta.uid(rs)] != replicas_of(rs)]


# -- scaling while a rollout is under way, or paused


def annotated(replica_set: Object, name: str) -> int | None:
    try:
        return int(meta.annotations(replica_set)[name])
    except (KeyError, ValueError):
        return None


def is_scaling(deployment: Object, replica_sets: Iterable[Object]) -> bool:
    """Whether ``spec.replicas`` changed since the ReplicaSets were last sized."""
    active = (rs for rs in replica_sets if replicas_of(rs) > 0)
    sizes = (annotated(rs, DESIRED_REPLICAS) for rs in active)
    return any(size is not None and size != replicas_of(deployment) for size in sizes)


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """Whether the current ReplicaSet alone is all that the Deployment asks for."""
    if new is None:
        return False
    desired = replicas_of(deployment)
    return replicas_of(new) == desired == annotated(new, DESIRED_REPLICAS) and available_of(new) == desired


def scaling_steps(deployment: Object, replica_sets: list[Object], new: Object | None) -> list[Scale]:
    """What a change of ``spec.replicas`` means for the ReplicaSets: one that is alone takes it all; in the middle of a
    rolling update each takes a share in proportion to its size, so that a bad new template does not get it all."""
    desired = replicas_of(deployment)
    active = [rs for rs in by_age(replica_sets) if replicas_of(rs) > 0]
    if len(active) <= 1:
        only = active[0] if active else _newest(replica_sets, new)
        return [] if only is None else [Scale(only, desired)]
    if is_saturated(deployment, new):
        return [Scale(rs, 0) for rs in active if new is None or meta.uid(rs) != meta.uid(new)]
    if not is_rolling(deployment):
        return []
    allowed = desired + max_surge(deployment) if desired > 0 else 0
    to_add = allowed - total(active)
    # Growing, the newest of equals gets more; shrinking, the oldest loses more.
    order = sorted(active[::-1] if to_add > 0 else active, key=replicas_of, reverse=True)
    left = to_add
    sizes: dict[str, int] = {}
    for rs in order:
        share = _share(deployment, rs, to_add, to_add - left) if to_add != 0 else 0
        sizes[meta.uid(rs)] = replicas_of(rs) + share
        left -= share
    first = meta.uid(order[0])
    sizes[first] = max(sizes[first] + left, 0)
    return [Scale(rs, sizes[meta.uid(rs)]) for rs in order]


def _newest(replica_sets: list[Object], new: Object | None) -> Object | None:
    if new is not None:
        return new
    ordered = by_age(replica_sets)
    return ordered[-1] if ordered else None


def _share(deployment: Object, replica_set: Object, to_add: int, added: int) -> int:
    """The part of ``to_add`` that is this set's, never more than what is left of it."""
    size, desired = replicas_of(replica_set), replicas_of(deployment)
    if size == 0:
        return 0
    if desired == 0:
        share = -size
    else:
        was_max = annotated(replica_set, MAX_REPLICAS) or int((deployment.get("status") or {}).get("replicas") or 0)
        wanted = size * (desired + max_surge(deployment)) / was_max if was_max else size
        share = math.floor(wanted + 0.5) - size  # half away from zero; sizes are not negative
    allowed = to_add - added
    return min(share, allowed) if to_add > 0 else max(share, allowed)


# -- annotations and history


def max_revision(replica_sets: Iterable[Object]) -> int:
    return max(map(revision, replica_sets), default=0)


def size_annotations(deployment: Object) -> dict[str, str]:
    """What the ReplicaSets remember of the Deployment's size, to tell scaling from rolling."""
    desired = replicas_of(deployment)
    return {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(desired + max_surge(deployment))}


def inherited_annotations(deployment: Object) -> dict[str, str]:
    return {k: v for k, v in meta.annotations(deployment).items() if k not in NOT_COPIED}


def new_annotations(deployment: Object, new: Object, wanted_revision: int) -> dict[str, str]:
    """The annotations that an existing current ReplicaSet should have; a higher revision replaces the old one, which
    is kept in the history."""
    wanted = {**meta.annotations(new), **inherited_annotations(deployment)}
    held = wanted.get(REVISION, "")
    if revision(new) < wanted_revision:
        wanted[REVISION] = str(wanted_revision)
        if held:
            past = [text for text in wanted.get(REVISION_HISTORY, "").split(",") if text]
            while past and len(",".join([*past, held])) > _REVISION_HISTORY_BYTES:
                past.pop(0)
            wanted[REVISION_HISTORY] = ",".join([*past, held])
    return wanted


def to_clean_up(deployment: Object, old: list[Object]) -> list[Object]:
    """The old ReplicaSets beyond the history limit, those of the lowest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = [rs for rs in old if not meta.is_deleting(rs)]
    surplus = len(alive) - int(limit)
    if surplus <= 0:
        return []
    chosen = sorted(alive, key=lambda rs: (revision(rs), meta.metadata(rs).get("creationTimestamp") or ""))[:surplus]
    return [rs for rs in chosen if _is_idle(rs)]


def _is_idle(replica_set: Object) -> bool:
    status = replica_set.get("status") or {}
    observed = int(status.get("observedGeneration") or 0) >= meta.generation(replica_set)
    return replicas_of(replica_set) == 0 and not status.get("replicas") and observed
