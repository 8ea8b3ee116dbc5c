"""Kinds whose only default is that their spec is there: it is a value in Go, never absent."""

from __future__ import annotations

from pinnace.api.defaults.base import child
from pinnace.api.types import Object


def with_spec(obj: Object) -> None:
    child(obj, "spec")


DEFAULTS = {
    ("policy", "PodDisruptionBudget"): with_spec,
    ("coordination.k8s.io", "Lease"): with_spec,
    ("networking.k8s.io", "ServiceCIDR"): with_spec,
}
