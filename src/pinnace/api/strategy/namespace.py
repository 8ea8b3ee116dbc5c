"""Namespaces: the finalizer every one starts with, the phase, and the finalize endpoint."""

from __future__ import annotations

from pinnace.api import meta
from pinnace.api.strategy.rules import Rules
from pinnace.api.types import Object

FINALIZER = "kubernetes"


def _create(namespace: Object) -> None:
    namespace["status"] = {"phase": "Active"}
    spec = namespace["spec"] = dict(namespace.get("spec") or {})
    finalizers = list(spec.get("finalizers") or ())
    spec["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    _name_label(namespace)


def _name_label(namespace: Object) -> None:
    name = meta.name(namespace)
    if name:  # generated names are only known by now
        metadata = namespace["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": name}


def _update(new: Object, old: Object) -> None:
    new["spec"] = {**(new.get("spec") or {})}
    new["spec"].pop("finalizers", None)
    finalizers = (old.get("spec") or {}).get("finalizers")
    if finalizers:
        new["spec"]["finalizers"] = finalizers
    new["status"] = old.get("status") or {}


def _finalize(new: Object, old: Object) -> None:
    new["status"] = old.get("status") or {}


RULES = {
    ("", "Namespace"): Rules(
        status=True,
        keep_status_on_create=True,
        on_create=_create,
        on_update=_update,
        subresources={"finalize": _finalize},
    )
}
