"""Defaults of admission webhooks and admission policies."""

from __future__ import annotations

from collections.abc import Callable

from pinnace.api.defaults.base import child, fill, fill_empty, given, items
from pinnace.api.types import Object

_GROUP = "admissionregistration.k8s.io"


def _webhooks(mutating: bool) -> Callable[[Object], None]:
    def default(obj: Object) -> None:
        for hook in items(obj, "webhooks"):
            fill(hook, failurePolicy="Fail", matchPolicy="Equivalent", timeoutSeconds=10)
            fill(hook, namespaceSelector={}, objectSelector={})
            if mutating:
                fill(hook, reinvocationPolicy="Never")
            reference = given(child(hook, "clientConfig"), "service")
            if reference is not None:
                fill(reference, port=443)
            for rule in items(hook, "rules"):
                fill(rule, scope="*")

    return default


def _match_resources(constraints: Object) -> None:
    fill(constraints, matchPolicy="Equivalent", namespaceSelector={}, objectSelector={})
    for name in ("resourceRules", "excludeResourceRules"):
        for rule in items(constraints, name):
            fill(rule, scope="*")


def _policy(mutating: bool) -> Callable[[Object], None]:
    def default(obj: Object) -> None:
        spec = child(obj, "spec")
        fill(spec, failurePolicy="Fail")
        if mutating:
            fill_empty(spec, reinvocationPolicy="Never")
        constraints = given(spec, "matchConstraints")
        if constraints is not None:
            _match_resources(constraints)

    return default


def _binding(obj: Object) -> None:
    spec = child(obj, "spec")
    constraints = given(spec, "matchResources")
    if constraints is not None:
        _match_resources(constraints)
    reference = given(spec, "paramRef")
    if reference is not None and reference.get("parameterNotFoundAction") is None:
        reference["parameterNotFoundAction"] = "Deny"


DEFAULTS = {
    (_GROUP, "MutatingWebhookConfiguration"): _webhooks(True),
    (_GROUP, "ValidatingWebhookConfiguration"): _webhooks(False),
    (_GROUP, "ValidatingAdmissionPolicy"): _policy(False),
    (_GROUP, "MutatingAdmissionPolicy"): _policy(True),
    (_GROUP, "ValidatingAdmissionPolicyBinding"): _binding,
    (_GROUP, "MutatingAdmissionPolicyBinding"): _binding,
}
