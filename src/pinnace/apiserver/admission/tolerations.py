"""DefaultTolerationSeconds and TaintNodesByCondition: what failing nodes mean for Pods, and new nodes to begin with."""

from __future__ import annotations

from pinnace.api.types import Object
from pinnace.apiserver.admission.base import CREATE, UPDATE
from pinnace.apiserver.request import AdmissionAttributes

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
SECONDS = 300


class DefaultTolerationSeconds:
    """Pods stay for five minutes on a node that fails, unless they say otherwise."""

    name = "DefaultTolerationSeconds"

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource) == ("", "pods", "") and operation in (CREATE, UPDATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        spec = (attributes.object or {}).get("spec")
        if not isinstance(spec, dict):
            return
        held = spec.get("tolerations") or []
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
            for key in (NOT_READY, UNREACHABLE)
            if not any(_tolerates(toleration, key) for toleration in held)
        ]
        if added:
            spec["tolerations"] = [*held, *added]


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)


class TaintNodesByCondition:
    """A new node takes no Pods until the node controller has seen that it is ready."""

    name = "TaintNodesByCondition"

    def wants(self, group: str, plural: str, subresource: str, operation: str) -> bool:
        return (group, plural, subresource, operation) == ("", "nodes", "", CREATE)

    def admit(self, attributes: AdmissionAttributes) -> None:
        node = attributes.object
        if node is None:
            return
        if not isinstance(node.get("spec"), dict):
            node["spec"] = {}
        taints = node["spec"].get("taints") or []
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            node["spec"]["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]
