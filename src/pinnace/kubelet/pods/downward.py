"""The downward API: what a container may learn of its own Pod."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from pinnace.api import meta, quantity
from pinnace.api.errors import go_quote
from pinnace.api.types import Object

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")


class UnknownField(ValueError):
    """A field or resource that the downward API does not have."""


def field(pod: Object, path: str, node_ips: Sequence[str], pod_ips: Sequence[str]) -> str:
    """The value of a ``fieldRef``. Raises UnknownField."""
    spec = pod["spec"]
    if subscript := _SUBSCRIPT.fullmatch(path):
        of = meta.labels(pod) if subscript[1] == "labels" else meta.annotations(pod)
        return of.get(subscript[2], "")
    simple = {
        "metadata.name": meta.name(pod),
        "metadata.namespace": meta.namespace(pod),
        "metadata.uid": meta.uid(pod),
        "spec.nodeName": str(spec.get("nodeName") or ""),
        "spec.serviceAccountName": str(spec.get("serviceAccountName") or ""),
        "status.hostIP": node_ips[0] if node_ips else "",
        "status.hostIPs": ",".join(node_ips),
        "status.podIP": pod_ips[0] if pod_ips else "",
        "status.podIPs": ",".join(pod_ips),
    }
    if path in simple:
        return simple[path]
    if path in ("metadata.labels", "metadata.annotations"):
        of = meta.labels(pod) if path == "metadata.labels" else meta.annotations(pod)
        return "\n".join(f"{key}={go_quote(value)}" for key, value in sorted(of.items()))
    raise UnknownField(f"unsupported fieldPath: {path}")


def resource(container: Object, path: str, divisor: str, allocatable: Mapping[str, str]) -> str:
    """The value of a ``resourceFieldRef``; a limit that is not set is what the node has. Raises UnknownField."""
    group, _, name = path.partition(".")
    if group not in ("limits", "requests") or not name:
        raise UnknownField(f"unsupported container resource: {path}")
    resources = container.get("resources") or {}
    amount = (resources.get(group) or {}).get(name)
    if amount is None and group == "requests":
        amount = (resources.get("limits") or {}).get(name) if name in (resources.get("limits") or {}) else "0"
    if amount is None:
        amount = allocatable.get(name, "0")
    unit = quantity.parse(divisor or "1")
    if not unit:
        unit = quantity.parse("1")
    return str(math.ceil(quantity.parse(amount).nano / unit.nano))
