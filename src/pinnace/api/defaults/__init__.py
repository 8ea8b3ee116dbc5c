"""Defaults: what the API fills in where a client was silent, kind by kind, as Kubernetes 1.37 does.

Defaulting is idempotent, never removes what was said (but for fields that upstream's own defaulting clears), and
leaves malformed parts alone: validation and decoding report those.
"""

from __future__ import annotations

from collections.abc import Callable

from pinnace.api.defaults import (
    admissionregistration,
    apiextensions,
    apps,
    autoscaling,
    batch,
    certificates,
    core,
    discovery,
    flowcontrol,
    networking,
    pod,
    policy,
    rbac,
    resource,
    scheduling,
    service,
    storage,
    volumes,
)
from pinnace.api.types import GVK, Object

_BY_KIND: dict[tuple[str, str], Callable[[Object], None]] = {
    **core.DEFAULTS,
    **pod.DEFAULTS,
    **policy.DEFAULTS,
    **service.DEFAULTS,
    **volumes.DEFAULTS,
    **apps.DEFAULTS,
    **batch.DEFAULTS,
    **rbac.DEFAULTS,
    **networking.DEFAULTS,
    **discovery.DEFAULTS,
    **storage.DEFAULTS,
    **scheduling.DEFAULTS,
    **flowcontrol.DEFAULTS,
    **admissionregistration.DEFAULTS,
    **apiextensions.DEFAULTS,
    **certificates.DEFAULTS,
    **resource.DEFAULTS,
}
#: Kinds whose versions differ in shape.
_BY_VERSION: dict[GVK, Callable[[Object], None]] = {**autoscaling.DEFAULTS}


def apply(gvk: GVK, obj: Object) -> None:
    """Fill in the defaults of ``obj``, in place; a kind without any is left as it is."""
    default = _BY_VERSION.get(gvk) or _BY_KIND.get((gvk.group, gvk.kind))
    if default is not None:
        default(obj)
