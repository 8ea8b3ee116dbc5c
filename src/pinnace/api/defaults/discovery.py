"""Defaults of EndpointSlices."""

from __future__ import annotations

from pinnace.api.defaults.base import fill, items
from pinnace.api.types import Object


def endpoint_slice(obj: Object) -> None:
    for port in items(obj, "ports"):
        fill(port, name="", protocol="TCP")


DEFAULTS = {("discovery.k8s.io", "EndpointSlice"): endpoint_slice}
