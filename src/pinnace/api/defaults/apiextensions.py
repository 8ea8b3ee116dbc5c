"""Defaults of CustomResourceDefinitions and APIServices."""

from __future__ import annotations

from pinnace.api.defaults.base import child, fill, fill_empty, given
from pinnace.api.types import Object


def custom_resource_definition(obj: Object) -> None:
    spec = child(obj, "spec")
    names = child(spec, "names")
    kind = names.get("kind")
    if isinstance(kind, str) and kind:
        fill_empty(names, singular=kind.lower(), listKind=f"{kind}List")
    conversion = child(spec, "conversion")
    fill_empty(conversion, strategy="None")
    client = given(given(conversion, "webhook") or {}, "clientConfig")
    reference = given(client or {}, "service")
    if reference is not None:
        fill(reference, port=443)


def api_service(obj: Object) -> None:
    reference = given(child(obj, "spec"), "service")
    if reference is not None:
        fill(reference, port=443)


DEFAULTS = {
    ("apiextensions.k8s.io", "CustomResourceDefinition"): custom_resource_definition,
    ("apiregistration.k8s.io", "APIService"): api_service,
}
