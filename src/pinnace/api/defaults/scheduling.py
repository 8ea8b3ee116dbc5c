"""Defaults of PriorityClasses and of RuntimeClass overhead."""

from __future__ import annotations

from pinnace.api.defaults.base import fill, given, resource_lists
from pinnace.api.types import Object


def priority_class(obj: Object) -> None:
    fill(obj, preemptionPolicy="PreemptLowerPriority")


def runtime_class(obj: Object) -> None:
    overhead = given(obj, "overhead")
    if overhead is not None:
        resource_lists(overhead, "podFixed")


DEFAULTS = {
    ("scheduling.k8s.io", "PriorityClass"): priority_class,
    ("node.k8s.io", "RuntimeClass"): runtime_class,
}
