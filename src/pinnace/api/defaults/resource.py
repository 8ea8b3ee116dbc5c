"""Defaults of dynamic resource allocation; the versions differ only in where a request's details are."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill_empty, given, items
from pinnace.api.types import Object

_GROUP = "resource.k8s.io"


def _request(details: Object) -> None:
    fill_empty(details, allocationMode="ExactCount")
    if details["allocationMode"] == "ExactCount":
        fill_empty(details, count=1)
    for toleration in items(details, "tolerations"):
        fill_empty(toleration, operator="Equal")


def _claim_spec(spec: Object) -> None:
    for request in items(child(spec, "devices"), "requests"):
        alternatives = list(items(request, "firstAvailable"))
        for alternative in alternatives:
            _request(alternative)
        exactly = given(request, "exactly")
        if exactly is not None:
            _request(exactly)
        elif request.get("deviceClassName"):  # v1beta1 has the details in the request itself
            _request(request)


def claim(obj: Object) -> None:
    _claim_spec(child(obj, "spec"))
    child(obj, "status")


def claim_template(obj: Object) -> None:
    spec = child(obj, "spec")
    child(spec, "metadata")
    _claim_spec(child(spec, "spec"))


DEFAULTS = {
    (_GROUP, "ResourceClaim"): claim,
    (_GROUP, "ResourceClaimTemplate"): claim_template,
}
