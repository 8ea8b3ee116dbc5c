"""Which PersistentVolume a claim gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pinnace.api import meta, quantity, selectors
from pinnace.api.types import Object

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Object) -> str:
    """The storage class a claim asks for, or a volume is of; ``""`` for none."""
    return meta.annotations(obj).get(_OLD_CLASS) or str(obj["spec"].get("storageClassName") or "")


def is_claimed_by(volume: Object, claim: Object) -> bool:
    """Whether the volume's claimRef means this claim: by name, and by uid if it has one."""
    ref = volume["spec"].get("claimRef")
    if not ref or ref.get("name") != meta.name(claim) or ref.get("namespace") != meta.namespace(claim):
        return False
    return ref.get("uid") in (None, "", meta.uid(claim))


def fits(volume: Object, claim: Object) -> bool:
    """Whether the volume has what the claim asks for, apart from being free."""
    want, have = claim["spec"], volume["spec"]
    if meta.is_deleting(volume) or (have.get("volumeMode") or "Filesystem") != (want.get("volumeMode") or "Filesystem"):
        return False
    if not set(want.get("accessModes") or ()) <= set(have.get("accessModes") or ()):
        return False
    asked = ((want.get("resources") or {}).get("requests") or {}).get("storage", "0")
    if quantity.compare((have.get("capacity") or {}).get("storage", "0"), asked) < 0:
        return False
    if (have.get("volumeAttributesClassName") or "") != (want.get("volumeAttributesClassName") or ""):
        return False
    return class_of(volume) == class_of(claim) and _selected(volume, claim)


def _selected(volume: Object, claim: Object) -> bool:
    selector = claim["spec"].get("selector")
    return selector is None or selectors.label_selector(selector).matches(meta.labels(volume))


def best(volumes: Iterable[Object], claim: Object) -> Object | None:
    """The volume that is reserved for the claim, else the smallest free one that fits."""
    fitting: list[Object] = []
    for volume in volumes:
        if is_claimed_by(volume, claim):
            return volume
        free = not volume["spec"].get("claimRef") and (volume.get("status") or {}).get("phase") == "Available"
        if free and fits(volume, claim):
            fitting.append(volume)
    return min(
        fitting,
        key=lambda volume: (quantity.parse(volume["spec"]["capacity"]["storage"]), meta.name(volume)),
        default=None,
    )
