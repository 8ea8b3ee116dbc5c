"""What happens to an object between a client's request and the store, kind by kind (upstream's REST strategies).

Objects have the types of their schema by then (decoding refuses others) and their defaults. ``prepare_create`` drops
what clients may not set and sets ``metadata.generation``; ``prepare_update`` keeps what an endpoint may not change.
Both change only the object they are handed first. ``metadata.uid`` and ``metadata.creationTimestamp`` are set before
``prepare_create``; parts of ``old`` that are kept become shared.
"""

from __future__ import annotations

from typing import Any

from pinnace.api import meta
from pinnace.api.patches.json_patch import equal
from pinnace.api.strategy import job, kinds, namespace, pod, workloads
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import GVK, Object

_RULES: dict[tuple[str, str], Rules] = {
    **kinds.RULES,
    **pod.RULES,
    **job.RULES,
    **namespace.RULES,
    **workloads.RULES,
}
_PLAIN = Rules()
#: Metadata that a status endpoint leaves as it was, where upstream resets it (``ResetObjectMetaForStatus``).
_STATUS_METADATA = (
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
)
_ENVELOPE = frozenset(("apiVersion", "kind", "metadata"))


def rules_of(gvk: GVK) -> Rules:
    return _RULES.get((gvk.group, gvk.kind), _PLAIN)


def prepare_create(gvk: GVK, obj: Object) -> None:
    """Make a new object what the store takes, in place; kinds without rules are left as they are."""
    rules = rules_of(gvk)
    if rules.generation:
        obj.setdefault("metadata", {})["generation"] = 1
    if rules.status and not rules.keep_status_on_create:
        _set(obj, "status", meta.copy(rules.initial_status))
    if rules.on_create is not None:
        rules.on_create(obj)


def prepare_update(gvk: GVK, new: Object, old: Object, subresource: str = "") -> None:
    """Make ``new`` a change that ``subresource`` (``""``: the object itself) may make to ``old``, in place.

    Raises ``metadata.generation`` by one where the change asks for work, as upstream does for the kind.
    """
    rules = rules_of(gvk)
    _keep(new.setdefault("metadata", {}), meta.metadata(old), ("generation",))
    special = rules.subresources.get(subresource)
    if special is not None:
        special(new, old)
    elif subresource == "status":
        _keep_all_but(new, old, _ENVELOPE | {"status"})
        if rules.reset_metadata:
            _keep(new["metadata"], meta.metadata(old), _STATUS_METADATA)
        elif rules.status_keeps_labels:
            _keep(new["metadata"], meta.metadata(old), ("labels",))
        if rules.on_status_update is not None:
            rules.on_status_update(new, old)
        return
    elif subresource == "":
        if rules.status:
            _keep(new, old, ("status",))
        if rules.on_update is not None:
            rules.on_update(new, old)
    if rules.generation and subresource != "binding" and _asks_for_work(rules, new, old):
        new["metadata"]["generation"] = meta.generation(old) + 1


def _asks_for_work(rules: Rules, new: Object, old: Object) -> bool:
    if rules.generation == "spec":
        if not equal(new.get("spec"), old.get("spec")):
            return True
    elif any(
        not equal(new.get(name), old.get(name)) for name in (new.keys() | old.keys()) - _ENVELOPE if name != "status"
    ):
        return True
    return rules.generation_counts_annotations and meta.annotations(new) != meta.annotations(old)


def _set(obj: Object, name: str, value: Any) -> None:
    if value is None:
        obj.pop(name, None)
    else:
        obj[name] = value


def _keep(new: Object, old: Object, names: tuple[str, ...]) -> None:
    for name in names:
        _set(new, name, old.get(name))


def _keep_all_but(new: Object, old: Object, free: frozenset[str]) -> None:
    for name in (new.keys() | old.keys()) - free:
        _set(new, name, old.get(name))
